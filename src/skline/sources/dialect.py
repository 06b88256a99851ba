"""Detect how a text file is written: encoding, delimiter, and the lines that are no rows."""

import codecs
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from skline.errors import SklineError
from skline.settings.source import Source
from skline.sources.encodings import detect_encoding, text_codec
from skline.sources.formats import file_format
from skline.sources.layout import empty_table
from skline.sources.preamble import (
    SEPARATOR_LINE,
    Records,
    footer_lines,
    footer_remark,
    headless,
    is_blank,
    leading_lines,
    read_records,
    table_width,
)
from skline.sources.scan import TAIL_BYTES, last_lines
from skline.sources.tables import opened_data, translated_errors

#: In the order of preference if two fit equally well.
DELIMITERS = ",;\t|"
RARE_DELIMITERS = "^~:#\x1f\x01 "
#: The part of a file that is read to detect its delimiter.
SAMPLE_BYTES = 1 << 20


class Dialect(NamedTuple):
    """Settings of the section `source` of params.yaml, and remarks for a person to check."""

    source: dict[str, Any]
    remarks: list[str]


def detect_dialect(path: Path, given: Mapping[str, Any] | None = None) -> Dialect:
    """Detect the dialect of a file; Parquet and JSON lines have none.

    Parameters
    ----------
    path : Path
    given : mapping, optional
        Settings that are not detected but taken as they are, such as `delimiter` or `skip`.

    Raises
    ------
    SklineError
        If the file is empty, its format cannot be read, or no delimiter splits it into columns.
    """
    settings = dict(given or {})
    source = Source.model_validate({"uri": str(path)} | settings)
    with translated_errors(path):
        kind = file_format(path, source)
    if kind in ("parquet", "json_lines"):
        return Dialect({}, [])
    with translated_errors(path), opened_data(path, source) as (data, declared):
        remarks = _settle_text(data, settings, path.name) if kind == "text" else []
        known: dict[str, Any] = {
            name: settings[name] for name in ("encoding", "delimiter") if name in settings and kind == "text"
        }
        remarks += _settle_lines(data, declared.model_copy(update=known), settings, path.name)
    defaults = {name: field.default for name, field in Source.model_fields.items()}
    return Dialect({key: value for key, value in settings.items() if value != defaults[key]}, remarks)


def _settle_text(data: Any, settings: dict[str, Any], name: str) -> list[str]:
    """Add encoding and delimiter to the settings, if they are not given; returns remarks."""
    remarks: list[str] = []
    if "encoding" not in settings:
        settings["encoding"], remarks = detect_encoding(data)
    if "delimiter" not in settings:
        settings["delimiter"] = detect_delimiter(_sample(data, settings["encoding"], name), name)
    return remarks


def _settle_lines(data: Any, source: Source, settings: dict[str, Any], name: str) -> list[str]:
    """Add the numbers of lines that are no rows to the settings, if they are not given; returns remarks."""
    sample = _sample(data, source.encoding, name)
    records = read_records(sample, source.delimiter, quotes=source.quotes)
    remarks: list[str] = []
    if "skip" not in settings:
        settings["skip"], remarks = _leading(sample, records, header=source.header)
    remarks += _headless(records, settings["skip"], header=source.header)
    footer = detect_footer(_tail(data, source.encoding), source, table_width(records))
    if "skip_footer" not in settings:
        settings |= footer.source
        remarks += footer.remarks
    elif settings["skip_footer"] > footer.source["skip_footer"]:
        settings["skip_footer_always"] = True
    return remarks


def _sample(data: Any, encoding: str, name: str) -> str:
    """Return the first lines of a stream; SklineError if it has none."""
    data.seek(0)
    try:
        decoder = codecs.getincrementaldecoder(text_codec(encoding))(errors="replace")
    except LookupError:
        raise SklineError(f"there is no encoding {encoding!r}; common ones are utf-8, cp1252 and utf-16") from None
    text = decoder.decode(data.read(SAMPLE_BYTES))
    whole = not data.read(1)
    lines = text.splitlines(keepends=True)
    sample = "".join(lines if whole or len(lines) < 2 else lines[:-1])
    if not sample.strip():
        raise empty_table(name)
    return sample


def detect_leading(data: Any, source: Source) -> Dialect:
    """Find the lines above the column names that are no rows, in a file with known other settings.

    Parameters
    ----------
    data : binary stream
        Seekable; the beginning of the file is enough.
    source : Source
    """
    try:
        sample = _sample(data, source.encoding, "")
    except SklineError:
        return Dialect({}, [])  # an empty file has none; its reader says so
    records = read_records(sample, source.delimiter, quotes=source.quotes)
    skip, remarks = _leading(sample, records, header=source.header)
    return Dialect({"skip": skip}, remarks + _headless(records, skip, header=source.header))


def detect_footer(tail: str, source: Source, width: int) -> Dialect:
    """Find the lines at the end that are no rows, in the last lines of a file with `width` columns."""
    count, text = footer_lines(tail, source.delimiter, width, quotes=source.quotes)
    return Dialect({"skip_footer": count}, [footer_remark(count, text)] if count else [])


def _leading(sample: str, records: Records, *, header: bool) -> tuple[int, list[str]]:
    """Return the number of lines above the column names, and a remark if there are any."""
    skip = leading_lines(records) if header else 0
    lines = sample.splitlines()[:skip]
    return skip, [f"{_lines(1, len(lines))} above the column names, {_begin(lines)}"] if lines else []


def _headless(records: Records, skip: int, *, header: bool) -> list[str]:
    """Return a remark if the line of column names, below `skip` lines, looks like a row."""
    below = [record for start, record in records if start >= skip and not is_blank(record)]
    if not header or not below or not (data_like := headless(below[0], below[1:])):
        return []
    examples = ", ".join(map(repr, data_like[:3]))
    advice = "if so, add --no-header: the columns are then column_1, column_2 …"
    return [f"line {skip + 1} may be a row instead of column names, because of {examples}; {advice}"]


def _lines(first: int, last: int) -> str:
    """Return the start of a sentence about skipped lines."""
    return f"line {first} is skipped: it is" if first == last else f"lines {first} to {last} are skipped: they are"


def _begin(lines: list[str]) -> str:
    """Return the first of some lines that has a text."""
    text = next((line.strip() for line in lines if line.strip(" ,;\t|")), "")
    return repr(text[:60]) if text else "and empty"


def _tail(data: Any, encoding: str) -> str:
    """Return the last lines of a stream."""
    data.seek(0)
    head = data.read(2)
    start = max(0, data.seek(0, 2) - TAIL_BYTES)
    data.seek(start)
    return last_lines(data.read(), head, encoding, cut=start > 0)


def detect_delimiter(sample: str, name: str) -> str:
    """Return the delimiter that gives nearly every record the same number of cells, and the largest number."""
    first = next(line for line in sample.splitlines() if line.strip())
    if (named := SEPARATOR_LINE.fullmatch(first)) is not None:
        return named[1]
    for candidates in (DELIMITERS, RARE_DELIMITERS):
        scores = {}
        for position, candidate in enumerate(candidates):
            records = read_records(sample, candidate)
            width = _header_width(records)
            if width < 2:
                continue
            widths = [len(record) for _, record in records if record]
            same = sum(each == width for each in widths) / len(widths)
            if same > 0.9 or width > 2:
                scores[candidate] = (round(same, 1), width, -position)
        if scores:
            return max(scores, key=lambda candidate: scores[candidate])
    raise SklineError(
        f"{name} has only one column, {first[:60]!r}: its first line has no delimiter that was "
        "recognized; name it with --delimiter, or use a table with more columns"
    )


def _header_width(records: Records) -> int:
    """Return the number of cells in the line of column names."""
    if not records:
        return 0
    skip = leading_lines(records)
    return next((len(record) for start, record in records if start >= skip and record), 0)
