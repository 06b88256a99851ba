"""How many rows a Parquet file has, and how large its pages become, without decompressing or decoding any.

The footer says both, but a reader allocates what the headers of the pages say. pyarrow does not read them: an exception
in its accessors of a damaged footer ends the process. The numbers of fields are those of parquet.thrift in
parquet-format.
"""

from typing import Any, NamedTuple

from skline.serving.tables.thrift import CompactReader

MAGIC = b"PAR1"
#: Bytes of the footer, and pages of all columns: each is read in Python.
MAX_FOOTER, MAX_PAGES = 1 << 18, 20_000
#: Fields of the footer, a row group, a column, its metadata, and the header of a page.
FOOTER_ROWS, FOOTER_GROUPS = 3, 4
GROUP_COLUMNS, GROUP_ROWS = 1, 3
COLUMN_METADATA = 3
VALUES, COMPRESSED_CHUNK, DATA_OFFSET, DICTIONARY_OFFSET = 5, 7, 9, 11
UNCOMPRESSED_PAGE, COMPRESSED_PAGE = 2, 3
#: Bytes beyond the end of a column that a reader may use, because old writers left out the dictionary's header.
PADDING = 100


class ParquetSizes(NamedTuple):
    """The rows of a file, the largest number that any part of it says; the bytes of its pages, decompressed."""

    rows: int
    page_bytes: int


def parquet_sizes(body: bytes, max_page_bytes: int) -> ParquetSizes:
    """Return the sizes of a file; more than `max_page_bytes` are not counted to the end.

    Raises
    ------
    ValueError
        If the file is damaged, or its structure is too large to be looked at.
    """
    length = int.from_bytes(body[-8:-4], "little")
    if len(body) < 12 or not body.startswith(MAGIC) or not body.endswith(MAGIC) or length > len(body) - 12:
        raise ValueError("it does not begin and end as Parquet does; is it complete?")
    if length > MAX_FOOTER:
        raise ValueError(f"its footer has more than {MAX_FOOTER} bytes; write fewer row groups and no index")
    footer = CompactReader(body[-8 - length : -8], 0).struct()
    rows, total, pages = 0, 0, 0
    for group in _structs(footer, FOOTER_GROUPS):
        columns = [_struct(column, COLUMN_METADATA) for column in _structs(group, GROUP_COLUMNS)]
        rows += max([_number(group, GROUP_ROWS), *(_number(column, VALUES) for column in columns)])
        for column in columns:
            for size in page_sizes(body, column):
                total, pages = total + size, pages + 1
                if pages > MAX_PAGES:
                    raise ValueError(f"it has more than {MAX_PAGES} pages; write larger ones")
                if total > max_page_bytes:
                    return ParquetSizes(rows, total)
    return ParquetSizes(max(rows, _number(footer, FOOTER_ROWS)), total)


def page_sizes(body: bytes, column: dict[int, Any]) -> list[int]:
    """Return the decompressed size of each page of a column."""
    if column.get(VALUES) == 0:
        return []
    start = _number(column, DATA_OFFSET)
    dictionary = _number(column, DICTIONARY_OFFSET) if DICTIONARY_OFFSET in column else 0
    if 0 < dictionary < start:
        start = dictionary
    end = start + _number(column, COMPRESSED_CHUNK)
    if end > len(body):
        raise ValueError("a column is not within the file")
    sizes, position = list[int](), start
    while position < end and len(sizes) <= MAX_PAGES:
        size, position = _page(body, position)
        sizes.append(size)
    try:  # usually the first page of the next column; a reader may take it for one of this column
        beyond, after = _page(body, position)
    except ValueError:
        return sizes
    # Most often it is small, and counted with its own column.
    return [*sizes, beyond] if after < end + PADDING and beyond > sum(sizes) else sizes


def _page(body: bytes, position: int) -> tuple[int, int]:
    """Return the decompressed size of a page, and where it ends."""
    reader = CompactReader(body, position)
    header = reader.struct()
    return _number(header, UNCOMPRESSED_PAGE), reader.position + _number(header, COMPRESSED_PAGE)


def _number(fields: dict[int, Any], number: int) -> int:
    value = fields.get(number)
    if not isinstance(value, int) or value < 0:
        raise ValueError("a number of its structure is absent or negative")
    return value


def _struct(fields: Any, number: int) -> dict[int, Any]:
    value = fields.get(number) if isinstance(fields, dict) else None
    if not isinstance(value, dict):
        raise ValueError("a part of its structure is absent")  # noqa: TRY004 (of the file, not of an argument)
    return value


def _structs(fields: dict[int, Any], number: int) -> list[dict[int, Any]]:
    value = fields.get(number)
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError("a part of its structure is absent")
    return value
