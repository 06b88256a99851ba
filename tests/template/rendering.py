"""Copies of the template in repositories of their own, with tags, and projects made from them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
#: Neither the user's git settings nor a stop for a question.
ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@example.invalid",
    "GIT_COMMITTER_NAME": "test", "GIT_COMMITTER_EMAIL": "test@example.invalid",
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


def run(folder: Path, *command: str) -> str:
    """Run a command that nobody answers questions of; returns what it printed."""
    done = subprocess.run(
        command, cwd=folder, env=os.environ | ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def git(folder: Path, *words: str) -> str:
    return run(folder, "git", *words)


def copier(folder: Path, *words: str) -> None:
    run(folder, sys.executable, "-m", "copier", *words)


def commit(folder: Path, message: str, tag: str | None = None) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)
    if tag is not None:
        git(folder, "tag", tag)
        git(folder, "gc", "-q")  # Copier renders the name of every file it meets, those of .git too


def owned() -> list[str]:
    """Every file of the root that git has, or would have."""
    names = git(ROOT, "ls-files", "-co", "--exclude-standard").splitlines()
    return [name for name in names if (ROOT / name).is_file()]


def copy_root(folder: Path) -> Path:
    """Copy the root's files, as they are now, into a repository of their own with the tag v1.0.0."""
    for name in owned():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    git(folder, "init", "-qb", "main")
    commit(folder, "start", "v1.0.0")
    return folder


def files(folder: Path) -> set[str]:
    """Every file below a folder but git's own."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }
