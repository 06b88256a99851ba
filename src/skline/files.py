"""Read and write files; a write is atomic and durable: temporary file, fsync, rename."""

import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from skline.errors import SklineError
from skline.locks import lock
from skline.project import how_to_get

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")
#: Without it Windows would write two characters at each end of a line, in files whose digests are compared.
BINARY: int = getattr(os, "O_BINARY", 0)


@contextmanager
def atomic_write(path: Path, mode: int | None = None) -> Iterator[Path]:
    """Yield a temporary path next to `path`; on success it is synced and renamed to `path`.

    Only the owner can read the temporary file until it gets its `mode`; None is that of the existing file at `path`, or
    0644 if there is none. An existing file is unchanged until the rename, and if the block raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if mode is None:
            mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644
        temporary.chmod(mode)
        temporary.replace(path)
        fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders, whose names are hidden, that a killed process has left in a folder.

    Call it where no other process writes. What DVC keeps of a folder would include them.
    """
    for leftover in folder.glob(".*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def fsync(path: Path) -> None:
    """Flush a file, or the entries of a directory, to disk. Windows cannot open a directory: there it does nothing."""
    if sys.platform == "win32" and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder next to `folder`; on success it replaces `folder`.

    Files and entries are synced first. An earlier folder is moved away, not deleted, before the new one takes its name:
    if the process ends in between, the earlier one is still on disk, in a hidden folder next to it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    old = new.with_name(f"{new.name}.old")
    try:
        yield new
        for path in new.iterdir():
            path.chmod(0o644)
            fsync(path)
        new.chmod(0o755)
        fsync(new)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        fsync(folder.parent)
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)


def append_line(path: Path, line: bytes) -> None:
    """Append a line durably; it starts on a line of its own even if a crash has cut off the one before.

    Processes that append to the same file wait for one another.

    Raises
    ------
    SklineError
        If the line cannot be written; then the file is as it was before.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | BINARY, 0o644)
        try:
            lock(handle)
            size = os.lseek(handle, 0, os.SEEK_END)
            os.lseek(handle, max(size - 1, 0), os.SEEK_SET)
            is_torn = size > 0 and os.read(handle, 1) != b"\n"
            rest = (b"\n" if is_torn else b"") + line + b"\n"
            try:
                while rest:
                    rest = rest[os.write(handle, rest) :]
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, size)  # a full disk takes a part of the line
                raise
        finally:
            os.close(handle)
        if is_new:
            fsync(path.parent)
    except OSError as error:
        raise SklineError(f"{path} cannot be written ({error.strerror}); it is unchanged") from error


@dataclass(frozen=True)
class JsonLines(Generic[M]):
    """The lines of a file that could be parsed, in order, and the numbers of those that could not, from 1 on."""

    values: tuple[M, ...] = ()
    damaged_lines: tuple[int, ...] = ()


def read_json_lines(path: Path, model: type[M]) -> JsonLines[M]:
    """Read a file that `append_line` writes, one JSON object of `model` a line; a missing file has no lines.

    A line that cannot be parsed, for example because a power failure cut it off, is left out and reported.

    Raises
    ------
    SklineError
        If the file cannot be read.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return JsonLines()
    except OSError as error:
        raise SklineError(f"{path} cannot be read: {error.strerror}") from error
    values, damaged = [], []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            values.append(model.model_validate_json(line))
        except ValueError:  # pydantic's ValidationError is one
            damaged.append(number)
    return JsonLines(tuple(values), tuple(damaged))


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def write_joblib(path: Path, value: object) -> None:
    """Write an object with joblib."""
    import io

    import joblib

    buffer = io.BytesIO()
    joblib.dump(value, buffer)
    write_bytes(path, buffer.getvalue())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; ValueError if it holds NaN or infinity, which JSON does not allow."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file that an earlier stage wrote.

    Raises
    ------
    SklineError
        If the file is missing or not valid JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SklineError(f"{path} is missing; {how_to_get(path)}") from None
    except ValueError as error:
        raise SklineError(f"{path} is not valid JSON ({error}); delete it and run `dvc repro`") from None


def write_table(path: Path, frame: "pd.DataFrame") -> None:
    """Write a DataFrame as Parquet, without its index."""
    with atomic_write(path) as temporary:
        frame.to_parquet(temporary, index=False, compression="snappy")


def read_table(path: Path, columns: list[str] | None = None) -> "pd.DataFrame":
    """Read a Parquet file that an earlier stage wrote; SklineError if it is missing."""
    import pandas as pd

    try:
        return pd.read_parquet(path, columns=columns)
    except FileNotFoundError:
        raise SklineError(f"{path} is missing; {how_to_get(path)}") from None


def sha256(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Return the sha256 of a value as JSON with sorted keys: equal values have equal digests."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
