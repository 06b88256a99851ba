"""The provenance of a pipeline: time, git commit, engine and library versions, recorded by the process that fits it.

Packaging reads the record, so that the same pipeline packaged twice gives the same bytes.
"""

import datetime as dt
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

#: Outputs of `dvc repro` that git tracks: earlier stages have changed some of them when a pipeline is fitted.
RESULTS = ("dvc.lock", "artifact.sha256", "reports")
#: Name of the engine's distribution.
ENGINE = "skline"
LIBRARIES = ("joblib", "numpy", "pandas", "scikit-learn", "scipy")


def provenance() -> dict[str, Any]:
    """Return time, commit, and the versions of engine and libraries of this process, for the manifest."""
    commit, dirty = git_state(Path.cwd())
    return {
        "created_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "git_commit": commit,
        "git_dirty": dirty,
        "libraries": library_versions(),
    }


def git_state(root: Path) -> tuple[str | None, bool | None]:
    """Return the commit, and whether files other than results differ from it; (None, None) outside git."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)  # noqa: S603, S607
        return done.stdout.strip()

    try:
        others = [".", *(f":(exclude){name}" for name in RESULTS)]
        changed = git("status", "--porcelain", "--untracked-files=no", "--", *others)
        return git("rev-parse", "HEAD"), bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return None, None


def library_versions() -> dict[str, str]:
    """Return the versions of Python, of the engine, and of the libraries that determine the predictions."""
    return {"python": platform.python_version()} | {name: version(name) for name in (ENGINE, *LIBRARIES)}
