"""Lines of a CSV file that are no rows: titles, comments and empty lines above the column names, totals at the end."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from skline.sources.records import record_reader

#: Lines above the column names, and at the end, that are looked at.
MAX_LEADING, MAX_FOOTER = 40, 12
#: Records of which the number of cells is counted.
MAX_RECORDS = 300
SEPARATOR_LINE = re.compile(r"sep=(.)[^\w]*", re.IGNORECASE)
TOTAL = re.compile(
    r"(grand |sub)?totals?|sum|summe|gesamt(summe)?|insgesamt|somme|suma|totale|average|mean|mittelwert|moyenne|"
    r"(row ?|record ?)?count|end of (file|report|data)",
    re.IGNORECASE,
)

Records = list[tuple[int, list[str]]]


def read_records(sample: str, delimiter: str, *, quotes: bool = True, most: int = MAX_RECORDS) -> Records:
    """Read the first records, each with the number of lines before it; an empty list if csv fails."""
    reader = record_reader(io.StringIO(sample, newline=""), delimiter, quotes=quotes)
    records: Records = []
    start = 0
    try:
        for record in reader:
            records.append((start, record))
            start = reader.line_num
            if len(records) == most:
                break
    except csv.Error:
        return []
    return records


def is_blank(record: Sequence[str]) -> bool:
    """Whether a record has no cell with a text."""
    return not any(cell.strip() for cell in record)


def table_width(records: Records) -> int:
    """Return the number of cells that most of the records have; 0 without any."""
    widths = Counter(len(record) for _, record in records if not is_blank(record))
    return widths.most_common(1)[0][0] if widths else 0


def leading_lines(records: Records) -> int:
    """Return the number of lines above the column names."""
    width = table_width(records)
    filled = [(start, record) for start, record in records if not is_blank(record)]
    titles = 0
    while titles < min(len(filled) - 2, MAX_LEADING) and _is_title(filled[titles][1], filled, titles, width):
        titles += 1
    below = [record for _, record in filled[titles + 1 :]]
    while titles and not (_is_marked(filled[titles - 1][1]) or _like_names(filled[titles][1], below, width)):
        titles -= 1  # no line of names: what seemed a title may be the names of a table of uneven rows
        below = [record for _, record in filled[titles + 1 :]]
    return filled[titles][0] if filled else 0


def _is_marked(record: list[str]) -> bool:
    """Whether a record says itself that it is no row: `sep=;`, or a comment."""
    return bool(SEPARATOR_LINE.fullmatch(",".join(record).strip())) or record[0].lstrip().startswith("#")


def _is_title(record: list[str], filled: Records, index: int, width: int) -> bool:
    """Whether a record above the column names is a title, a comment, or `sep=;`."""
    cells = sum(bool(cell.strip()) for cell in record)
    if index == 0 and SEPARATOR_LINE.fullmatch(",".join(record).strip()):
        return True
    if record[0].lstrip().startswith("#"):
        above_names = record[0].startswith("# ") and len(filled[index + 1][1]) == width
        return len(record) != width or cells < width or above_names
    if len(record) == width:
        return width > 2 and cells == 1 and bool(record[0].strip())
    if len(record) == width + 1 and not record[-1].strip():
        return False  # the names end in a delimiter
    if len(record) == width - 1:  # the rows end in a delimiter, or begin with a column without a name
        return _like_names(filled[index + 1][1], [below for _, below in filled[index + 2 :]], width)
    return True


def _like_names(record: list[str], below: list[list[str]], width: int) -> bool:
    """Whether a record is unlike those below: a word above numbers, or texts none of which is repeated below."""
    if len(record) not in (width, width + 1) or is_blank(record):
        return False
    columns = [[row[index].strip() for row in below if index < len(row)] for index in range(width)]
    names = [cell.strip() for cell in record[:width]]
    if any(
        name and not looks_like_data(name) and sum(map(looks_like_data, cells)) > 0.8 * max(len(cells), 1)
        for name, cells in zip(names, columns, strict=True)
    ):
        return True
    return len(set(names)) == len(names) and not any(
        name in cells or looks_like_data(name) for name, cells in zip(names, columns, strict=True)
    )


def looks_like_data(cell: str) -> bool:
    """Whether a cell is a number or a date rather than a name: digits and no letters."""
    return bool(re.search(r"\d", cell)) and not re.search(r"[^\W\d_]", cell)


def headless(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the names that look like the cells of a row; an empty list if the first line seems to be names."""
    data = [name for name in names if looks_like_data(name)]
    numbers = [int(name) for name in data if name.isdigit()]
    if len(numbers) == len(data) and len({after - before for before, after in pairwise(numbers)}) <= 1:
        data = []  # years, or the numbers of the columns
    if data:
        return data
    others = [row for row in rows if list(row) != list(names)]  # a line that repeats the names is known as such
    repeated = [
        name
        for index, name in enumerate(names)
        if name.strip() and any(index < len(row) and row[index] == name for row in others)
    ]
    return repeated if len(repeated) == len(names) else []


def footer_lines(tail: str, delimiter: str, width: int, *, quotes: bool = True) -> tuple[int, str]:
    """Return the number of lines at the end that are no rows, and the first of them.

    Parameters
    ----------
    tail : str
        The last lines of the file, the first of them whole.
    """
    records = read_records(tail, delimiter, quotes=quotes, most=1 << 20)
    if len(records) < 3:
        return 0, ""
    total_lines = len(tail.splitlines())
    firsts = Counter(record[0].strip() for _, record in records if not is_blank(record))
    found, text = 0, ""
    for start, record in reversed(records[-MAX_FOOTER:]):
        if is_blank(record):
            continue
        if any("\n" in cell for cell in record) or not _is_footer(record, width, firsts):
            break
        found, text = total_lines - start, delimiter.join(record)
    return found, text


def footer_remark(count: int, text: str) -> str:
    """Say that lines at the end are skipped, of which `text` is the first."""
    place = "the last line is" if count == 1 else f"the last {count} lines are"
    return f"{place} skipped as no row: {text[:60]!r}; if it is one, add --skip-footer 0"


def _is_footer(record: list[str], width: int, firsts: Counter[str]) -> bool:
    """Whether a record at the end is a total or a note."""
    filled = [cell.strip() for cell in record if cell.strip()]
    if len(record) < width:
        return True
    if width > 2 and len(filled) == 1 and record[0].strip() and " " in filled[0]:
        return True
    return bool(TOTAL.fullmatch(filled[0].rstrip(":"))) and firsts[filled[0]] == 1
