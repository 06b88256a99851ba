"""What a file is, by its first bytes, whatever its name says; and its content, decompressed."""

import io
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Literal, cast

import pyarrow as pa

from skline.errors import SklineError
from skline.settings.source import PARQUET_SUFFIXES, Source
from skline.sources.json_lines import is_json_lines

Format = Literal["parquet", "workbook", "json_lines", "text"]

COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
#: Suffix → compression, for a file that is not what its suffix says.
COMPRESSED_SUFFIXES = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
#: First bytes of formats that cannot be read → what they are and what to do.
UNREADABLE = {
    b"%PDF": "a PDF document; export the table as CSV",
    b"7z\xbc\xaf": "a 7z archive; unpack it",
    b"Rar!": "a RAR archive; unpack it",
    b"SQLite format 3": "an SQLite database; name it sqlite:///FILE, with a query",
    b"ARROW1": "an Arrow or Feather file; write it as Parquet",
    b"\x89HDF": "an HDF5 file; write it as Parquet",
    b"\x80\x04": "a Python pickle; write the table as Parquet",
    b"\xfd7zXZ": "compressed with xz; unpack it, or compress it with gzip",
}
OLD_WORKBOOK = b"\xd0\xcf\x11\xe0"
#: Bytes that are looked at.
HEAD_BYTES = 4096
#: Bytes of a decompressed file that are held in memory; larger ones are decompressed to a temporary file.
MAX_BYTES_IN_MEMORY = 1 << 27


def file_format(path: Path, source: Source) -> Format:
    """Return the format of a file.

    Raises
    ------
    SklineError
        If it is a format that cannot be read: a web page, JSON, a PDF document …
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(b"PAR1") or path.suffix.lower() in PARQUET_SUFFIXES:
        return "parquet"
    if head.startswith(OLD_WORKBOOK):
        return "workbook"
    if head.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if is_workbook(names):
                return "workbook"
            member = choose_member(archive, source.member, path.name)
            with archive.open(member) as file:
                return _text_format(file.read(HEAD_BYTES), member, f"{member} in {path.name}", packed=True)
    if (compression := _compression(path, head)) is not None:
        with pa.CompressedInputStream(pa.OSFile(str(path)), compression) as stream:
            return _text_format(stream.read(HEAD_BYTES), path.stem, path.name, packed=True)
    return _text_format(head, path.name, path.name)


def _text_format(head: bytes, file_name: str, name: str, *, packed: bool = False) -> Format:
    """Return the format of a file that begins with `head`; SklineError, with `name`, if it is no table."""
    if is_json_lines(head, file_name):
        return "json_lines"
    reject_unreadable(head, name, packed=packed)
    return "text"


def is_workbook(names: list[str]) -> bool:
    """Whether an archive with these files is an Excel or OpenDocument workbook."""
    return "xl/workbook.xml" in names or "xl/workbook.bin" in names or {"mimetype", "content.xml"} <= set(names)


def reject_unreadable(head: bytes, name: str, *, packed: bool = False) -> None:
    """Raise SklineError if a file that begins with `head` is no text in columns."""
    found = next((text for magic, text in UNREADABLE.items() if head.startswith(magic)), None)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<table")):
        found = "a web page, not a table: perhaps a login or error page was saved; download the table itself"
    elif text.startswith((b"<?xml", b"<")) and b">" in text:
        found = "XML; export the table as CSV"
    elif text.startswith((b"[{", b'{"', b"[[", b"[\n", b"{\n", b"[\r", b"{\r", b"[ ", b"{ ")) and b":" in text:
        found = (
            "JSON, but not one object a line, as JSON lines are; convert it, for example with pandas.read_json and "
            "to_json(lines=True, orient='records')"
        )
    elif head[257:262] == b"ustar":
        found = "a tar archive; unpack it"
    elif packed and head.startswith((b"PAR1", b"PK", *COMPRESSIONS)):
        found = "itself compressed, a workbook or Parquet; unpack it"
    if found is not None:
        raise SklineError(f"{name} is {found}")


def opened(path: Path, member: str | None) -> io.BufferedIOBase:
    """Open a file, decompressed if necessary, as a seekable binary file."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive, archive.open(choose_member(archive, member, path.name)) as stream:
            return _held(stream)
    with path.open("rb") as file:
        compression = _compression(path, file.read(8))
    if compression is not None:
        with pa.CompressedInputStream(pa.OSFile(str(path)), compression) as stream:
            return _held(stream)
    return path.open("rb")


def _held(stream: Any) -> io.BufferedIOBase:
    """Return the content of a stream as a seekable file: in memory, or on disk if it is large."""
    head = stream.read(MAX_BYTES_IN_MEMORY + 1)
    if len(head) <= MAX_BYTES_IN_MEMORY:
        return io.BytesIO(head)
    file = tempfile.TemporaryFile(prefix="skline-")  # noqa: SIM115 (the caller closes it, and that deletes it)
    file.write(head)
    shutil.copyfileobj(stream, file, 1 << 20)
    file.seek(0)
    return cast("io.BufferedIOBase", file)


def choose_member(archive: zipfile.ZipFile, member: str | None, name: str) -> str:
    """Return the name of the table in a zip archive; SklineError if it is ambiguous or missing."""
    files = [
        info.filename
        for info in archive.infolist()
        if not info.is_dir() and "__MACOSX" not in info.filename and not Path(info.filename).name.startswith(".")
    ]
    if member is None and len(files) == 1:
        return files[0]
    if member in files:
        return member
    found = "is an empty archive" if not files else f"contains {', '.join(map(repr, files))}"
    requested = "" if member is None else f", not {member!r}"
    raise SklineError(f"{name} {found}{requested}: name the table with --member, or source.member in params.yaml")


def _compression(path: Path, head: bytes) -> str | None:
    """Return how a file is compressed: by its first bytes, or by its suffix, so that a damaged file is an error."""
    found = next((name for magic, name in COMPRESSIONS.items() if head.startswith(magic)), None)
    return found or COMPRESSED_SUFFIXES.get(path.suffix.lower())
