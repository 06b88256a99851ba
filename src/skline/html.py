"""Pages that carry all they need: one file, no script, nothing fetched."""

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any


def document(title: str, body: str) -> str:
    """Return a whole page around `body`, which is HTML already; `title` is text."""
    style = files("skline").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def table(rows: Sequence[Mapping[str, Any]], caption: str, numbers: Sequence[str] = ()) -> str:
    """Return a table of text cells that scrolls by itself where it is too wide; the first column names the rows.

    Parameters
    ----------
    rows : sequence of mappings
        The columns are the keys of all rows, in order.
    caption : str
        Text.
    numbers : sequence of str
        Columns that are set flush right.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    head = "".join(f'<th scope="col"{_right(name, numbers)}>{escape(name)}</th>' for name in columns)
    body = "\n".join(
        "<tr>"
        + "".join(
            f'<th scope="row">{escape(str(row.get(name, "")))}</th>'
            if index == 0
            else f"<td{_right(name, numbers)}>{escape(str(row.get(name, '')))}</td>"
            for index, name in enumerate(columns)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}">\n<table>\n'
        f"<caption>{escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"
        "</div>"
    )


def _right(name: str, numbers: Sequence[str]) -> str:
    return ' class="n"' if name in numbers else ""
