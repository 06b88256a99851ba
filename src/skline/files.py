"""Files that are either whole or not there: temporary file, fsync, rename."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skline.errors import SklineError

if TYPE_CHECKING:
    import pandas as pd

    from skline.contract.spec import Contract


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and takes the place of `path`.

    Nobody but the owner can read it before it gets its `mode`. Whatever stood at `path` before stays as it
    was until then, and for good if the block raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush a file, or the names in a directory, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` as it is."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; ValueError if it holds NaN or infinity, which JSON cannot."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file that an earlier step wrote.

    Raises
    ------
    SklineError
        If it is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SklineError(f"{path} is missing; run `dvc repro` to make it") from None
    except ValueError as error:
        raise SklineError(f"{path} is not readable as JSON ({error}); delete it and run `dvc repro`") from None


def write_table(path: Path, frame: "pd.DataFrame") -> None:
    """Write a DataFrame as Parquet, without its index."""
    with replacing(path) as temporary:
        frame.to_parquet(temporary, index=False, compression="snappy")


def read_table(path: Path, columns: list[str] | None = None) -> "pd.DataFrame":
    """Read a Parquet file that an earlier stage wrote; SklineError if it is missing."""
    import pandas as pd

    try:
        return pd.read_parquet(path, columns=columns)
    except FileNotFoundError:
        raise SklineError(f"{path} is missing; run `dvc repro` to make it") from None


def read_contract(path: Path) -> "Contract":
    """Read the contract that ingest derived."""
    from skline.contract.spec import Contract

    return Contract.model_validate(read_json(path))


def sha256(path: Path) -> str:
    """Sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Sha256 of a value's JSON with sorted keys: equal values, equal digests."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
