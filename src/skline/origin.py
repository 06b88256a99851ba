"""When, from what code and with what libraries a pipeline was fitted: written down by the process that fitted it.

Packaging reads it, so that the same pipeline packaged twice gives the same bytes.
"""

import datetime as dt
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

#: What `dvc repro` writes and git keeps: when a pipeline is fitted, earlier stages have changed some of it already.
RESULTS = ("dvc.lock", "artifact.sha256", "reports")
LIBRARIES = ("joblib", "numpy", "pandas", "scikit-learn", "scipy")


def origin() -> dict[str, Any]:
    """The manifest's facts about this moment, this working tree and this process."""
    commit, dirty = git_state(Path.cwd())
    return {
        "created_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "git_commit": commit,
        "git_dirty": dirty,
        "libraries": library_versions(),
    }


def git_state(root: Path) -> tuple[str | None, bool | None]:
    """Commit, and whether files differ from it that the line itself does not write; (None, None) outside git."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)  # noqa: S603, S607
        return done.stdout.strip()

    try:
        others = [".", *(f":(exclude){name}" for name in RESULTS)]
        changed = git("status", "--porcelain", "--untracked-files=no", "--", *others)
        return git("rev-parse", "HEAD"), bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return None, None


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide what the pipeline answers."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
