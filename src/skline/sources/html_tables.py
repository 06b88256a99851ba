"""The tables of a web page as text: merged cells are repeated, and no cell is interpreted."""

import io
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import lxml.etree
import lxml.html
import pandas as pd

from skline.errors import SklineError

#: Cells of a table, merged ones counted as often as they are repeated; HTML allows this many columns of a cell.
MAX_CELLS, MAX_COLSPAN = 20_000_000, 1000
#: What a message says about the tables of a page.
SHOWN_TABLES, SHOWN_COLUMNS, SHOWN_CHARACTERS = 20, 6, 40
ROWS = "./thead/tr | ./tbody/tr | ./tr | ./tfoot/tr"
CELLS = "./td | ./th"


class HtmlTable(NamedTuple):
    """A table of a page.

    Attributes
    ----------
    number : int
        On the page, from 1.
    caption : str
        Empty if it has none.
    rows : list of list of str
        All rows, those of column names too.
    n_header : int
        How many rows at the beginning are column names.
    """

    number: int
    caption: str
    rows: list[list[str]]
    n_header: int

    def header(self) -> list[str]:
        """Return the names of the columns: the texts of several rows of names with a dot between them."""
        names = []
        for cells in zip(*self.rows[: self.n_header], strict=True):
            parts = [text for index, text in enumerate(cells) if text and text not in cells[:index]]
            names.append(".".join(parts))
        return names


def parse_page(body: bytes, encoding: str | None) -> Any:
    """Return a page as a tree of elements.

    Parameters
    ----------
    body : bytes
    encoding : str or None
        As the server declares it; without it the page's own declaration holds, or UTF-8.

    Raises
    ------
    SklineError
        If the page is empty, or the encoding is unknown.
    """
    if encoding is None and b"charset" not in body[:4096].lower():
        encoding = "utf-8" if _is_utf8(body) else "windows-1252"
    try:
        return lxml.html.document_fromstring(body, parser=lxml.html.HTMLParser(encoding=encoding))
    except LookupError:
        raise SklineError(f"the page is in the encoding {encoding!r}, which is unknown") from None
    except lxml.etree.LxmlError as error:
        raise SklineError(f"the page cannot be read as HTML ({' '.join(str(error).split())})") from None


def choose_table(page: Any, number: int | None, caption: str | None) -> Any:
    """Return the element of a table and its number.

    Raises
    ------
    SklineError
        If there is no such table, or several; it lists those of the page.
    """
    tables = list(enumerate(page.xpath("//table"), 1))
    if not tables:
        raise SklineError("the page has no table in its HTML; a table that a script draws cannot be read")
    chosen = [
        each
        for each in tables
        if number in (None, each[0]) and (caption is None or caption.casefold() in _caption(each[1]).casefold())
    ]
    if len(chosen) == 1:
        return chosen[0]
    if number is not None:
        problem = f"the page has no table {number}, which source.page.table names"
    elif caption is not None:
        how_many = "several tables have" if chosen else "no table of the page has"
        problem = f"{how_many} {caption!r}, source.page.caption, in the caption"
    else:
        problem = "the page has several tables"
    listed = "; ".join(f"{place}: {_described(table)}" for place, table in tables[:SHOWN_TABLES])
    more = f"; and {len(tables) - SHOWN_TABLES} more" if len(tables) > SHOWN_TABLES else ""
    raise SklineError(f"{problem}; name one of them in source.page.table: {listed}{more}")


def read_table(number: int, table: Any, *, first_is_header: bool) -> HtmlTable:
    """Return a table as text.

    Parameters
    ----------
    number : int
    table : lxml element
        It is changed.
    first_is_header : bool
        Whether the first row has the names if none is marked as such.

    Raises
    ------
    SklineError
        If it has no rows, or merged cells make too many.
    """
    caption = _caption(table)
    n_header = _make_plain(table) or int(first_is_header)
    rows = table.xpath("./tr")
    if not rows:
        raise SklineError(f"table {number} has no rows")
    cells = _cells(table)
    return HtmlTable(number, caption, cells, n_header)


def _make_plain(table: Any) -> int:
    """Leave only rows and cells that are data, in their order; returns how many rows are column names."""
    for hidden in table.xpath(".//*[contains(translate(@style, ' ', ''), 'display:none')]"):
        hidden.drop_tree()
    for nested in table.xpath(".//table//*") + table.xpath(".//table"):
        nested.tag = "span"  # its text belongs to the cell that it is in
    places = {"thead": 0, "tfoot": 2}  # wherever they stand in the HTML
    rows = [row for row in table.xpath(ROWS) if row.xpath(CELLS)]
    rows.sort(key=lambda row: places.get(row.getparent().tag, 1))
    n_header = sum(1 for row in rows if row.getparent().tag == "thead")
    if n_header == 0:
        marked = [not row.xpath("./td") for row in rows]
        n_header = marked.index(False) if False in marked else len(rows)
    left = Counter(row.getparent() for row in rows)  # a merged cell ends with its section
    sections = [row.getparent() for row in rows]
    for child in list(table):
        table.remove(child)
    n_cells = 0
    for row, section in zip(rows, sections, strict=True):
        n_left = left[section]
        left[section] -= 1
        row.tail = None
        table.append(row)
        for cell in row.xpath(CELLS):
            cell.tag = "td"
            n_rows = n_left if cell.get("rowspan") == "0" else min(_span(cell, "rowspan"), n_left)
            n_columns = min(_span(cell, "colspan"), MAX_COLSPAN)
            cell.set("rowspan", str(n_rows))
            cell.set("colspan", str(n_columns))
            n_cells += n_rows * n_columns
    if n_cells > MAX_CELLS:
        raise SklineError(f"the table has {n_cells:,} cells with its merged ones, more than {MAX_CELLS:,}")
    return n_header


def _cells(table: Any) -> list[list[str]]:
    """Return the cells of a table as they are written; short rows are filled up with empty ones."""
    text = lxml.html.tostring(table, encoding="unicode", with_tail=False)
    options: dict[str, Any] = {"flavor": "lxml", "header": None, "keep_default_na": False, "thousands": None}
    width = pd.read_html(io.StringIO(text), **options)[0].shape[1]
    # Without a converter pandas would guess numbers, and change their texts.
    frame = pd.read_html(io.StringIO(text), **options, converters=dict.fromkeys(range(width), _text))[0]
    return [[_text(cell) for cell in row] for row in frame.itertuples(index=False, name=None)]


def _text(cell: object) -> str:
    return "" if cell is None or cell != cell else str(cell)  # noqa: PLR0124 (NaN fills up short rows)


def _span(cell: Any, name: str) -> int:
    """Return over how many rows or columns a cell goes."""
    text = cell.get(name, "1").strip()
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else 1


def _caption(table: Any) -> str:
    """Return the text of the caption."""
    return " ".join(" ".join(caption.text_content() for caption in table.xpath("./caption")).split())


def _described(table: Any) -> str:
    """Describe a table for a message: its caption, rows and first names."""
    rows = table.xpath(ROWS)
    names = [_shortened(cell.text_content()) for cell in (rows[0].xpath(CELLS) if rows else [])]
    caption = f"{_shortened(_caption(table))!r}, " if _caption(table) else ""
    size = f"{len(rows):,} {'row' if len(rows) == 1 else 'rows'}"
    return f"{caption}{size}, {', '.join(names[:SHOWN_COLUMNS])}{' …' * (len(names) > SHOWN_COLUMNS)}"


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[: SHOWN_CHARACTERS - 1]}…"


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def changed_columns(expected: Sequence[str], found: Sequence[str]) -> str | None:
    """Return how the columns of a table differ from those that it must have; None if they do not."""
    gone = [name for name in expected if name not in found]
    new = [name for name in found if name not in expected]
    parts = [f"{', '.join(map(repr, gone))} is gone"] * bool(gone) + [f"{', '.join(map(repr, new))} is new"] * bool(new)
    return " and ".join(parts) or None
