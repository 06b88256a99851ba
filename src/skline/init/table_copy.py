"""The copy of the table in the project: one file or several in data/source, where DVC keeps their versions."""

import filecmp
import shutil
from pathlib import Path
from typing import NamedTuple

from skline.errors import SklineError
from skline.files import atomic_write
from skline.init.project import track_table
from skline.sources.files import has_several_files
from skline.sources.many_files import find_parts, list_parts, split_pattern

FOLDER = Path("data/source")


class TableCopy(NamedTuple):
    """Where the files of a table are, and where in the project they belong.

    Attributes
    ----------
    uri : str
        The address of the table in the project: a file, a folder or a pattern.
    files : dict of Path to Path
        Each file, and its path in the project, relative to the root. A table in data/source is its own copy.
    tracked : list of Path
        What DVC keeps the versions of: the file, the folder, or, without a folder of their own, each file.
    """

    uri: str
    files: dict[Path, Path]
    tracked: list[Path]


def plan_copy(root: Path, table: str) -> TableCopy:
    """Return how a table, a file, a folder or a pattern on this machine, becomes a part of the project."""
    if not has_several_files(table):
        path = Path(table)
        copy = _path_in_project(root, path)
        return TableCopy(copy.as_posix(), {path.expanduser(): copy}, [copy])
    base, rest = split_pattern(table)
    copy = _path_in_project(root, Path(base))
    files = {part.path: copy / part.name for part in find_parts(table)}
    return TableCopy((copy / rest).as_posix(), files, list(files.values()) if copy == FOLDER else [copy])


def reject_other_tables(root: Path, copy: TableCopy) -> None:
    """Raise SklineError if a different file exists where one of the table would be copied to."""
    for path, destination in copy.files.items():
        if (root / destination).exists() and not _is_same_file(root / destination, path):
            raise SklineError(
                f"{destination} exists and differs from {path}. Nothing was written. Use --force to replace it, or "
                "rename one of the two"
            )


def reject_further_files(root: Path, copy: TableCopy) -> None:
    """Raise SklineError if the copy of several files would hold files that the table does not have."""
    expected = set(copy.files.values())
    address = str(root / copy.uri)
    for part in list_parts(address) if has_several_files(address) else []:
        if part.path.relative_to(root) not in expected:
            raise SklineError(
                f"{part.path.relative_to(root)} is not a file of the table, and would be read with it. Nothing was "
                "written. Delete it, or rename the folder"
            )


def copy_files(root: Path, copy: TableCopy) -> list[str]:
    """Copy the table into the project; returns what was done."""
    copied = []
    for path, destination in copy.files.items():
        target = root / destination
        if target.exists() and _is_same_file(target, path):
            continue
        with atomic_write(target) as temporary:  # in pieces, and not through memory
            shutil.copyfile(path, temporary)
        copied.append(f"copied {path} to {destination}")
    return copied if len(copied) < 4 else [*copied[:2], f"copied {len(copied) - 2} more files"]


def track_copy(root: Path, copy: TableCopy) -> list[str]:
    """Let DVC keep the versions of the table; returns what was done."""
    return [action for path in copy.tracked for action in track_table(root, path)]


def _path_in_project(root: Path, path: Path) -> Path:
    """Return the path of a file or folder in the project: its own if it is in data/source, else data/source/NAME."""
    folder = (root / FOLDER).resolve()
    resolved = path.expanduser().resolve()
    return FOLDER / (resolved.relative_to(folder) if resolved.is_relative_to(folder) else resolved.name)


def _is_same_file(path: Path, other: Path) -> bool:
    """Whether two paths name one file, or files with the same bytes."""
    return path.samefile(other) or filecmp.cmp(path, other, shallow=False)
