"""Self-contained HTML pages: one file without scripts or external resources."""

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any


def document(title: str, body: str) -> str:
    """Return a page with `body`, which is HTML; `title` is text."""
    style = files("skline.reporting").joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def table(rows: Sequence[Mapping[str, Any]], caption: str, numbers: Sequence[str] = ()) -> str:
    """Return a table of text cells that scrolls where it is too wide; the first column has the row headers.

    Parameters
    ----------
    rows : sequence of mappings
        The columns are the keys of all rows, in order of first appearance.
    caption : str
        Text.
    numbers : sequence of str
        Columns that are right-aligned.
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
