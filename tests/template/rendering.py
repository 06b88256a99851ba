"""Helpers that copy the template into tagged repositories, and render and update projects with Copier."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
#: Environment in which git and Copier read and write no settings and caches of the user.
ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@example.invalid",
    "GIT_COMMITTER_NAME": "test", "GIT_COMMITTER_EMAIL": "test@example.invalid",
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


def run(folder: Path, *command: str, status: int = 0, environment: dict[str, str] | None = None) -> str:
    """Run a command without standard input; returns what it printed."""
    completed = subprocess.run(
        command, cwd=folder, env=os.environ | ENVIRONMENT | (environment or {}), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert completed.returncode == status, completed.stdout + completed.stderr
    return completed.stdout + completed.stderr


def git(folder: Path, *arguments: str) -> str:
    return run(folder, "git", *arguments)


def copier(folder: Path, *arguments: str, status: int = 0) -> str:
    return run(folder, sys.executable, "-m", "copier", *arguments, status=status)


def commit(folder: Path, message: str, tag: str | None = None) -> None:
    """Commit all changes; the first commit creates the repository."""
    if not (folder / ".git").exists():
        git(folder, "init", "-qb", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)
    if tag is not None:
        git(folder, "tag", tag)
        git(folder, "gc", "-q")  # Copier renders the name of every file, including those of .git


def tracked_files() -> list[str]:
    """Return the files of the repository that git tracks or would track."""
    names = git(ROOT, "ls-files", "-co", "--exclude-standard").splitlines()
    return [name for name in names if (ROOT / name).is_file()]


def template_files() -> list[str]:
    """Return the files that Copier reads, and few of the engine: rendering takes a tenth of the time."""
    left_out = ("tests/", "docs/", "benchmarks/", "reports/", "src/skline/")
    kept = ("tests/model/", "src/skline/features/")
    return [name for name in tracked_files() if name.startswith(kept) or not name.startswith(left_out)]


def copy_files(folder: Path, names: Iterable[str]) -> Path:
    """Copy files of the repository as they are now."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


def files(folder: Path) -> set[str]:
    """Return every file below a folder except those of .git."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def answers(project: Path) -> dict[str, Any]:
    """Return what Copier recorded in a project."""
    return dict(yaml.safe_load((project / ".copier-answers.yml").read_text()))


def requirement(project: Path) -> Any:
    """Return where pyproject.toml of a project takes the engine from; None for a package index."""
    return tomllib.loads((project / "pyproject.toml").read_text())["tool"]["uv"].get("sources", {}).get("skline")


def edit(folder: Path, name: str, old: str, new: str) -> None:
    """Replace the first occurrence of a text in a file."""
    text = (folder / name).read_text()
    assert old in text, f"{name} has no {old!r}"
    (folder / name).write_text(text.replace(old, new, 1))


def append(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a") as file:
        file.write(text)
