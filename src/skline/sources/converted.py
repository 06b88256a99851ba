"""Formats that are converted to CSV text before they are read: sheets of workbooks, and JSON lines."""

import io
from pathlib import Path

from skline.settings.source import Source
from skline.sources.formats import Format, opened
from skline.sources.json_lines import json_lines_as_csv
from skline.sources.workbooks import sheet_as_csv

CONVERTED = ("workbook", "json_lines")


def as_csv(path: Path, kind: Format, source: Source) -> io.BytesIO:
    """Return a file of a converted format as CSV in UTF-8.

    Raises
    ------
    SklineError
        See `sheet_as_csv` and `json_lines_as_csv`.
    """
    if kind == "workbook":
        return sheet_as_csv(path, source.sheet)
    with opened(path, source.member) as data:
        return json_lines_as_csv(data, path.name)


def csv_source(source: Source, kind: Format) -> Source:
    """Return the source settings with which `as_csv` writes a file."""
    settings = {"delimiter": ",", "encoding": "utf-8", "quotes": True}
    if kind == "json_lines":  # it has names and rows alone
        settings |= {"header": True, "skip": 0, "skip_footer": 0}
    return source.model_copy(update=settings)
