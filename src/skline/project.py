"""The root of a project, which commands find from any folder inside it, as git, DVC and uv do."""

import os
from pathlib import Path

from skline.errors import SklineError
from skline.paths import ARTIFACT_DIGEST

#: A folder that has this file is a project.
PROJECT_FILE = Path("dvc.yaml")


def find_project(folder: Path) -> Path | None:
    """Return the folder, or the nearest one above it, that is a project; None if there is none."""
    return next((each for each in (folder, *folder.parents) if (each / PROJECT_FILE).is_file()), None)


def require_project() -> None:
    """Raise SklineError unless the current folder is a project."""
    if not PROJECT_FILE.is_file():
        raise SklineError(
            f"{Path.cwd()} is not in a project: neither it nor a folder above it has a {PROJECT_FILE}; run the command "
            "in a project, or make one from the template (`uvx copier copy TEMPLATE NAME`)"
        )


def given_path(text: str) -> Path:
    """Return a path that the user gives; absolute if the current folder is below the root, which commands run in."""
    here = Path.cwd()
    return Path(text) if find_project(here) in (None, here) else here / Path(text).expanduser()


def enter_project() -> None:
    """Change to the root of the project around the current folder.

    Outside of a project, and in a folder with an artifact of its own, as a deployment has, stay here.
    """
    root = find_project(Path.cwd())
    if root is not None and not ARTIFACT_DIGEST.is_file():
        os.chdir(root)
