"""Find out how a CSV is written: its encoding, its delimiter, and whether blanks surround the cells."""

import codecs
import csv
import io
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from skline.errors import SklineError
from skline.settings_source import Source
from skline.sources.tables import opened

#: In the order of trust where two fit equally well.
DELIMITERS = ",;\t|"
RARE_DELIMITERS = "^~:#\x1f\x01 "
#: So much of a file tells its delimiter.
SAMPLE_BYTES = 1 << 20
SAMPLE_RECORDS = 300
#: Code pages that are tried on bytes that are no UTF-8.
CODE_PAGES = ["cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "shift_jis", "gb18030", "big5", "euc_kr", "euc_jp"]


class Dialect(NamedTuple):
    """What `settings.Source` needs to know, and remarks for people."""

    source: dict[str, Any]
    remarks: list[str]


def find_dialect(path: Path, delimiter: str | None = None, encoding: str | None = None) -> Dialect:
    """Look into a file; Parquet needs nothing.

    Raises
    ------
    SklineError
        If it is empty, no text, or no delimiter makes columns of it.
    """
    if path.suffix.lower() in (".parquet", ".pq"):
        return Dialect({}, [])
    with opened(path, None) as data:
        remarks: list[str] = []
        if encoding is None:
            encoding, remarks = find_encoding(data)
        data.seek(0)
        text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(data.read(SAMPLE_BYTES))
        whole = not data.read(1)
    lines = text.removeprefix("\ufeff").splitlines(keepends=True)
    sample = "".join(lines if whole or len(lines) < 2 else lines[:-1])
    if not sample.strip():
        raise SklineError(f"{path.name} is empty; give a table with a line of column names and rows")
    delimiter = delimiter or find_delimiter(sample, path.name)
    source: dict[str, Any] = {}
    if delimiter != ",":
        source["delimiter"] = delimiter
    if encoding != "utf-8":
        source["encoding"] = encoding
    if delimiter != " " and blanks_around(sample, delimiter):
        source["trim"] = True
    return Dialect(source, remarks)


def find_encoding(data: Any) -> tuple[str, list[str]]:
    """Name the encoding of a binary stream: by its mark, as UTF-8 if it is that, else the likeliest code page."""
    head = data.read(SAMPLE_BYTES)
    for mark, name in ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if head.startswith(mark):
            return name, []
    if b"\0" in head[:1000]:
        name = "utf-16-le" if head[1:1000:2].count(0) >= head[:1000:2].count(0) else "utf-16-be"
        return name, [f"its bytes look like {name}"]
    decoder = codecs.getincrementaldecoder("utf-8")()
    chunk = head
    strange = b""
    try:
        while chunk:
            strange = chunk
            decoder.decode(chunk)
            chunk = data.read(SAMPLE_BYTES)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        name = code_page(strange)
        return name, [f"it is no UTF-8; read as {name}: look whether accents and signs are right"]
    return "utf-8", []


def code_page(sample: bytes) -> str:
    """Guess the code page of text that is no UTF-8; cp1252, or latin-1 where that has no letter for a byte."""
    from charset_normalizer import from_bytes

    lines = [line for line in sample.splitlines() if any(byte > 127 for byte in line)]
    best = from_bytes(b"\n".join(lines[:2000]), cp_isolation=CODE_PAGES).best()
    name = "cp1252" if best is None else best.encoding
    # Letters of other scripts stand side by side. Single accents and signs tell no code page: cp1252 is commonest.
    foreign = sum(len(run) for run in re.findall(rb"[\x80-\xff]{3,}", sample))
    if name in ("cp1250", "cp1254") or foreign < 0.3 * sum(byte > 127 for byte in sample):
        name = "cp1252"
    try:
        sample.decode(name)
    except UnicodeDecodeError:
        return "latin-1"
    return name


def find_delimiter(sample: str, name: str) -> str:
    """Return the sign that gives nearly every record the same number of cells, and the most of them."""
    for candidates in (DELIMITERS, RARE_DELIMITERS):
        scores = {}
        for position, candidate in enumerate(candidates):
            widths = [len(record) for record in records(sample, candidate) if record]
            if not widths or widths[0] < 2:
                continue
            same = sum(width == widths[0] for width in widths) / len(widths)
            if same > 0.9 or widths[0] > 2:
                scores[candidate] = (round(same, 1), widths[0], -position)
        if scores:
            return max(scores, key=lambda candidate: scores[candidate])
    raise SklineError(
        f"{name} has only one column, {sample.splitlines()[0][:60]!r}: no delimiter was found in its first line; "
        "name it with --delimiter, or give a table with more columns"
    )


def records(sample: str, delimiter: str) -> list[list[str]]:
    """Read the first records; none where this delimiter cannot be right."""
    found: list[list[str]] = []
    try:
        for record in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, strict=False):
            found.append(record)
            if len(found) == SAMPLE_RECORDS:
                break
    except csv.Error:
        return []
    return found


def blanks_around(sample: str, delimiter: str) -> bool:
    """Whether blanks follow the delimiters, as in "a, b", or stand before them, nearly always."""
    cells = [cell for record in records(sample, delimiter) for cell in record[1:] if cell]
    padded = sum(cell != cell.strip(" ") for cell in cells)
    return bool(cells) and padded / len(cells) > 0.5


def ragged_line(path: Path, source: Source) -> str:
    """Say which records have another number of cells than the first, for an error."""
    with opened(path, source.member) as data:
        lines = codecs.getreader(source.encoding)(data)
        reader = csv.reader(lines, delimiter=source.delimiter)
        width = len(next(reader, []))
        wrong = [(reader.line_num, len(record)) for record in reader if record and len(record) != width]
    if not wrong:
        return ""
    counts = Counter(cells for _, cells in wrong)
    named = ", ".join(f"line {line} has {cells}" for line, cells in wrong[:3])
    return (
        f"{path.name} has {width} column names, but {len(wrong):,} of its lines have another number of cells "
        f"({named}; {', '.join(f'{n:,} with {c}' for c, n in counts.most_common(3))}): quote the cells that hold "
        f"{source.delimiter!r}, or mend these lines"
    )
