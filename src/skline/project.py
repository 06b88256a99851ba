"""The root of a project, which commands find from any folder inside it, as git, DVC and uv do."""

import os
import re
from pathlib import Path

from skline.errors import SklineError
from skline.paths import ARTIFACT_DIGEST, DVC_LOCK

#: A folder that has this file is a project.
PROJECT_FILE = Path("dvc.yaml")


def find_project(folder: Path) -> Path | None:
    """Return the folder, or the nearest one above it, that is a project; None if there is none."""
    return next((each for each in (folder, *folder.parents) if (each / PROJECT_FILE).is_file()), None)


def how_to_get(output: Path, purpose: str = "to create it") -> str:
    """Say how to get an output of the pipeline that is not here: in a clone, DVC may have it elsewhere."""
    create = f"`dvc repro` {purpose}"
    return f"run `dvc pull` to fetch what {DVC_LOCK} records, or {create}" if _is_recorded(output) else f"run {create}"


def has_remote() -> bool:
    """Return whether the project in the current folder has a remote of DVC, from which data can be pulled."""
    files = (Path(".dvc/config"), Path(".dvc/config.local"))
    return any("remote " in path.read_text(encoding="utf-8") for path in files if path.is_file())


def _is_recorded(output: Path) -> bool:
    """Whether dvc.lock has a file, or a folder around it; read as text, because a service may have no YAML parser."""
    root = find_project(output.absolute().parent)
    if root is None or not (root / DVC_LOCK).is_file():
        return False
    lock = (root / DVC_LOCK).read_text(encoding="utf-8")
    names = {each.as_posix() for each in (output.absolute(), *output.absolute().parents) if root in each.parents}
    recorded = re.findall(r"^ *- path: (.+)$", lock, re.M)
    return any((root / name).as_posix() in names for name in recorded)


def require_project(*or_any: Path) -> None:
    """Raise SklineError unless the current folder is a project, or has one of these paths, as a deployment may."""
    if not PROJECT_FILE.is_file() and not any(path.exists() for path in or_any):
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
