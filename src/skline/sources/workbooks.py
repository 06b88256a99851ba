"""A sheet of an Excel or OpenDocument workbook as CSV text, so that all that follows is the same as for a CSV file."""

import csv
import datetime as dt
import io
from pathlib import Path
from typing import Any

from skline.errors import SklineError
from skline.sources.layout import empty_table
from skline.sources.object_cells import cell_text


def sheet_as_csv(path: Path, sheet: str | None) -> io.BytesIO:
    """Return a sheet as CSV in UTF-8: numbers without a needless ".0", dates in ISO 8601, true and false.

    Raises
    ------
    SklineError
        If the library for it is not installed, the file is not whole, or it has several sheets and none is named.
    """
    try:
        import python_calamine as calamine
    except ImportError:
        raise SklineError(
            f"{path.name} is a workbook; to read it, install the extra `excel` of skline (`uv add 'skline[excel]'`), "
            "or save the sheet as CSV"
        ) from None
    try:
        workbook = calamine.CalamineWorkbook.from_path(path)
        rows = workbook.get_sheet_by_name(_choose_sheet(workbook, sheet, path.name)).to_python(skip_empty_area=False)
    except calamine.CalamineError as error:
        raise SklineError(f"cannot read {path.name}: {error}; is the workbook complete, without a password?") from error
    return io.BytesIO(_csv(rows))


def _choose_sheet(workbook: Any, sheet: str | None, name: str) -> str:
    """Return the name of the sheet with the table; SklineError if it is ambiguous or missing."""
    import python_calamine as calamine

    sheets = [
        info.name
        for info in workbook.sheets_metadata
        if info.typ == calamine.SheetTypeEnum.WorkSheet and info.visible == calamine.SheetVisibleEnum.Visible
    ]
    if sheet is not None and sheet in workbook.sheet_names:
        return sheet
    if sheet is None:
        filled = [each for each in sheets if workbook.get_sheet_by_name(each).height]
        if len(filled) == 1:
            return str(filled[0])
        if not filled:
            raise empty_table(name)
    requested = "" if sheet is None else f", not {sheet!r}"
    raise SklineError(
        f"{name} has the sheets {', '.join(map(repr, sheets))}{requested}: name one with --sheet, or source.sheet in "
        "params.yaml"
    )


def _csv(rows: list[list[Any]]) -> bytes:
    """Write rows as CSV; a column with any time of day has one in each of its cells."""
    width = max(map(len, rows), default=0)
    timed = [any(isinstance(row[index], dt.datetime) for row in rows if index < len(row)) for index in range(width)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # so that cells with either character are quoted
    for row in rows:
        writer.writerow([_cell(value, timed=timed[index]) for index, value in enumerate(row)])
    return text.getvalue().encode()


def _cell(value: Any, *, timed: bool) -> str:
    """Return a cell as text."""
    if timed and isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return f"{value.isoformat()} 00:00:00"
    return cell_text(value)
