"""The state of the git working tree that a result is recorded from."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

#: Outputs of `dvc repro` that git tracks: the pipeline itself may have changed them.
RESULTS = ("dvc.lock", "artifact.sha256", "reports", "releases/registered.jsonl")
_OTHERS = (".", *(f":(exclude){name}" for name in RESULTS))


def git_state(root: Path) -> tuple[str | None, bool | None]:
    """Return the commit, and whether files other than results differ from it; (None, None) outside git."""
    commit = run_git(root, "rev-parse", "HEAD")
    changed = run_git(root, "status", "--porcelain", "--untracked-files=no", "--", *_OTHERS)
    if commit is None or changed is None:
        return None, None
    return commit.strip(), bool(changed.strip())


def uncommitted_diff(root: Path) -> str:
    """Return the difference between the working tree and the last commit, without results; empty outside git."""
    return run_git(root, "diff", "HEAD", "--", *_OTHERS) or ""


def committed_text(root: Path, name: str, commit: str = "HEAD") -> str | None:
    """Return the content of a file of `root` in a commit; None outside git, or if the commit lacks it."""
    return run_git(root, "show", f"{commit}:./{name}")


def describe_uncommitted(root: Path, names: Iterable[str] = RESULTS) -> str | None:
    """Return the command that adds what has changed of files and folders of `root`; None if nothing has, or no git."""
    changed = [name for name in names if run_git(root, "status", "--porcelain", "--", name)]
    return f"to commit: git add {' '.join(changed)}" if changed else None


def run_git(root: Path, *arguments: str) -> str | None:
    """Return what git prints in the folder `root`; None if it fails or is not installed."""
    try:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout  # noqa: S603, S607
    except (OSError, subprocess.CalledProcessError):
        return None
