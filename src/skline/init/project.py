"""Change the files of a project. A file that a person has edited is never replaced without `--force`."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skline import paths
from skline.errors import SklineError
from skline.files import write_json, write_text
from skline.init import pyproject

#: The files that init writes, with params.yaml.
CONTRACT, SOURCE, PIPELINE = (Path("src/model") / name for name in ("contract.py", "source.py", "pipeline.py"))
WRITTEN = (CONTRACT, SOURCE, PIPELINE, paths.PARAMS)
#: The SHA-256 of these files as the template or an earlier init wrote them: a file that still has it was not edited.
PLACEHOLDERS = Path("src/model/placeholders.json")
README = Path("README.md")
DEMO_RESULTS = [
    paths.DVC_LOCK, paths.ARTIFACT_DIGEST, paths.ARTIFACT, paths.CONTRACT, paths.RAW.parent, paths.VALIDATED.parent,
    paths.SPLIT, paths.MODEL.parent, paths.LINEAGE, paths.VALIDATION, paths.SPLIT_REPORT, paths.METRICS, paths.SUMMARY,
    paths.EVALUATION, paths.PLOTS, paths.VERDICT, paths.REPORT, paths.COSTS,
]  # fmt: skip


def check_root(root: Path) -> None:
    """Raise SklineError if the folder is not the root of a project made from the template."""
    required = ("dvc.yaml", "pyproject.toml", "src/model")
    if missing := [name for name in required if not (root / name).exists()]:
        raise SklineError(f"this folder has no {', no '.join(missing)}; run `uv run skline init` in the project's root")


def reject_edited_files(root: Path) -> None:
    """Raise SklineError if a file that init would replace is not as the template or an earlier init wrote it."""
    digests = read_placeholders(root)["files"]
    edited = [
        path.as_posix()
        for path in WRITTEN
        if (root / path).exists() and digests.get(path.as_posix()) != digest(root / path)
    ]
    if edited:
        raise SklineError(
            f"{', '.join(edited)} {'was' if len(edited) == 1 else 'were'} edited and would be replaced. Nothing was "
            "written. Use --force to replace your version (commit it first)"
        )


def write_files(root: Path, files: Mapping[Path, str]) -> list[str]:
    """Write the files that differ, record all as placeholders, and remove the demo; returns what was done."""
    placeholders = read_placeholders(root)
    actions = []
    for path, text in files.items():
        if (root / path).exists() and (root / path).read_text(encoding="utf-8") == text:
            continue
        actions.append(f"{'replaced' if (root / path).exists() else 'wrote'} {path}")
        write_text(root / path, text)
    if placeholders["demo"]:
        actions += remove_demo(root)
    write_placeholders(root, {path: digest(root / path) for path in files}, demo=False)
    return actions


def read_placeholders(root: Path) -> dict[str, Any]:
    """Return the record of the placeholders: {"demo": bool, "files": {path: sha256}}."""
    try:
        return dict(json.loads((root / PLACEHOLDERS).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {"demo": False, "files": {}}
    except ValueError as error:
        raise SklineError(
            f"{PLACEHOLDERS} is not valid JSON ({error}); delete it, and run `uv run skline init` with --force"
        ) from None


def write_placeholders(root: Path, files: Mapping[Path, str], *, demo: bool) -> None:
    """Record the digests of the placeholders if they have changed."""
    placeholders = {"demo": demo, "files": {path.as_posix(): sha for path, sha in sorted(files.items())}}
    if placeholders != read_placeholders(root):
        write_json(root / PLACEHOLDERS, placeholders)


def digest(path: Path) -> str:
    """Return the SHA-256 of a text file, the same for both kinds of line ends."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def remove_demo(root: Path) -> list[str]:
    """Remove the demo's results, and its package from pyproject.toml; returns what was done."""
    actions = []
    for path in DEMO_RESULTS:
        if not (root / path).exists():
            continue
        shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()
        actions.append(f"removed {path} of the demo")
    return actions + pyproject.remove_demo(root)


def set_readme_title(root: Path, title: str, template_title: str = "# skline\n") -> list[str]:
    """Replace the template's title in README.md by the project's; a README with another title stays."""
    path = root / README
    if not path.exists() or not (content := path.read_text(encoding="utf-8")).startswith(template_title):
        return []
    write_text(path, f"# {title}\n{content.removeprefix(template_title)}")
    return ["set the title of README.md"]


def prepare_repository(root: Path) -> list[str]:
    """Create the git repository and the folder .dvc if they are missing; without git, configure DVC to run alone."""
    actions = []
    git = shutil.which("git")
    if git is None:
        actions.append(
            "git is not installed: DVC runs without it, but no version of your files is kept; install git, then run "
            "`skline init` again"
        )
    elif _command_fails(root, git, "rev-parse", "--is-inside-work-tree"):
        _run(root, git, "init", "-q", "-b", "main")
        actions.append("created a git repository; make the first commit: git add -A && git commit")
    if not (root / ".dvc").is_dir():
        _run(root, sys.executable, "-m", "dvc", "init", "-q", *([] if git else ["--no-scm"]))
        actions.append("created the folder .dvc")
    config = root / ".dvc/config"
    no_scm = config.exists() and "no_scm" in config.read_text(encoding="utf-8")
    if git is None and not no_scm:
        _run(root, sys.executable, "-m", "dvc", "config", "core.no_scm", "true")
    elif git is not None and no_scm:
        _run(root, sys.executable, "-m", "dvc", "config", "--unset", "core.no_scm")
    return actions


def track_table(root: Path, table: Path) -> list[str]:
    """Let DVC keep the versions of the project's table, unless git does; returns what was done.

    The copies that `dvc exp run --queue` makes get the table from DVC's cache, and clones from a remote. `dvc repro`
    records each later version.
    """
    record = table.with_name(f"{table.name}.dvc")
    git = shutil.which("git")
    if git is not None and not _command_fails(root, git, "ls-files", "--error-unmatch", table.as_posix()):
        return []
    if (root / record).exists():
        return []
    _run(root, sys.executable, "-m", "dvc", "add", "--quiet", table.as_posix())
    return [f"DVC keeps the versions of {table}: commit {record}; git ignores the table"]


def _command_fails(root: Path, *command: str) -> bool:
    """Whether a command exits with a status other than 0."""
    return subprocess.run(command, cwd=root, capture_output=True, check=False).returncode != 0  # noqa: S603


def _run(root: Path, *command: str) -> None:
    """Run a command; raises SklineError with its output if it fails."""
    completed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    if completed.returncode:
        output = " ".join((completed.stderr or completed.stdout).split())
        raise SklineError(f"`{' '.join(command)}` failed: {output}")
