"""What is different here from when an artifact was made: libraries, the engine's code, the project's code."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from skline import engine, paths
from skline.artifact import Manifest
from skline.artifact.provenance import PYTHON
from skline.registry.working_tree import run_git
from skline.release.registered import RegisteredVersion

#: Code of the project that a pipeline may refer to.
PROJECT_CODE = (paths.SOURCE / "model").as_posix()


def describe_differences(manifest: Manifest, registered: RegisteredVersion | None, root: Path = Path()) -> list[str]:
    """Return what differs from what the artifact was made with, one text each; empty if nothing does.

    Parameters
    ----------
    manifest : Manifest
    registered : RegisteredVersion or None
        The commit of the project's code; without it the code is not compared.
    root : Path
        Root of the project.
    """
    texts = [
        f"{name} {recorded} (installed: {present or 'none'})" for name, recorded, present in _other_libraries(manifest)
    ]
    if manifest.engine is not None and manifest.engine != engine.stage_digest("train"):
        texts.append(f"the engine's code for training and scoring ({manifest.engine}, here skline {engine.version()})")
    if registered is not None and registered.git_commit is not None:
        texts += _project_code(registered, root)
    return texts


def _other_libraries(manifest: Manifest) -> list[tuple[str, str, str | None]]:
    """Return name, recorded and installed version of each library of another version, patch releases included."""
    installed = {name: _installed_version(name) for name in manifest.libraries}
    return [
        (name, recorded, installed[name])
        for name, recorded in manifest.libraries.items()
        if installed[name] != recorded
    ]


def _installed_version(name: str) -> str | None:
    """Return the version of a library, or of Python without the patch release, as manifests record them."""
    if name == PYTHON:
        return ".".join(platform.python_version_tuple()[:2])
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _project_code(registered: RegisteredVersion, root: Path) -> list[str]:
    """Return what differs in the project's code from the commit that the artifact was registered from."""
    commit = registered.git_commit or ""
    changed = run_git(root, "diff", "--name-only", commit, "--", PROJECT_CODE)
    if changed is None:
        return [f"commit {commit[:12]}, of the project's code, is not in this repository"]
    texts = [f"{', '.join(changed.splitlines())} since commit {commit[:12]}"] if changed.strip() else []
    if registered.git_dirty:
        texts.append(
            f"it was registered from commit {commit[:12]} with uncommitted changes, which are not recorded here"
        )
    return texts
