"""Read a csv, csv.gz, zip or Parquet file as an Arrow table.

CSV columns come as text: what a cell means is decided in `skline.contract.parse`, by the contract and
not by a guess.
"""

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from skline.errors import SklineError
from skline.settings_source import Source

Cells = TypeVar("Cells", pa.Table, pa.RecordBatch)


def read_source(path: Path, source: Source, wanted: Sequence[str]) -> tuple[pa.Table, list[str]]:
    """Read those of the `wanted` columns that the file has.

    Parameters
    ----------
    path : Path
        A local file; its ending tells the format.
    source : Source
        Delimiter, encoding, and the member of an archive.
    wanted : sequence of str
        Column names; others are not read.

    Returns
    -------
    table : pyarrow.Table
        The wanted columns that exist; text for a CSV, the stored types for Parquet.
    columns : list of str
        Every column the file has.

    Raises
    ------
    SklineError
        If the file cannot be read, has no rows, or has two columns of one name.
    """
    with _told(path):
        if path.suffix.lower() in (".parquet", ".pq"):
            table, columns = _read_parquet(path, wanted)
        else:
            with opened(path, source.member) as data:
                table, columns = _read_csv(data, path.name, source, wanted)
    if table.num_rows == 0:
        raise SklineError(f"{path.name} has no rows; a model needs some")
    return table, columns


def header(path: Path, source: Source) -> list[str]:
    """Name the columns of a file.

    Raises
    ------
    SklineError
        If it cannot be read, or two columns have one name.
    """
    with _told(path):
        if path.suffix.lower() in (".parquet", ".pq"):
            import pyarrow.parquet as pq

            columns: list[str] = pq.read_schema(path).names
        else:
            with opened(path, source.member) as data:
                columns = csv_header(data, source)
    refuse_duplicates(columns, path.name)
    return columns


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what goes wrong in reading a file into one sentence."""
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, zipfile.BadZipFile, UnicodeError, EOFError) as error:
        raise SklineError(
            f"cannot read {path.name}: {' '.join(str(error).split())}; is it whole, and the format its name says?"
        ) from error


def _read_parquet(path: Path, wanted: Sequence[str]) -> tuple[pa.Table, list[str]]:
    """Read columns of a Parquet file."""
    import pyarrow.parquet as pq

    columns: list[str] = pq.read_schema(path).names
    refuse_duplicates(columns, path.name)
    return pq.read_table(path, columns=[name for name in wanted if name in columns]), columns


def _read_csv(data: Any, name: str, source: Source, wanted: Sequence[str]) -> tuple[pa.Table, list[str]]:
    """Read columns of a CSV as text, `data` being what pyarrow can open."""
    from pyarrow import csv as arrow_csv

    columns = csv_header(data, source)
    refuse_duplicates(columns, name)
    present = [column for column in wanted if column in columns]
    if not present:
        raise SklineError(
            f"{name} has none of the columns {list(wanted)}; it has {columns}; is the delimiter {source.delimiter!r}?"
        )
    data.seek(0)
    table = arrow_csv.read_csv(
        data,
        read_options=arrow_csv.ReadOptions(encoding=source.encoding, column_names=columns, skip_rows_after_names=1),
        parse_options=arrow_csv.ParseOptions(delimiter=source.delimiter, newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=present,
            column_types=dict.fromkeys(present, pa.string()),
            null_values=list(source.missing),
            strings_can_be_null=True,
        ),
    )
    return trimmed(table, source.missing) if source.trim else table, columns


def trimmed(table: Cells, missing: Sequence[str]) -> Cells:
    """Leave out blanks around every cell, which may show that it is a missing one."""
    import pyarrow.compute as pc

    for index, field in enumerate(table.schema):
        cells = pc.utf8_trim_whitespace(table.column(index).cast(pa.string()))
        empty = pc.is_in(cells, value_set=pa.array(missing, pa.string()))
        table = table.set_column(index, field, pc.if_else(empty, None, cells).cast(field.type))
    return table


def opened(path: Path, member: str | None) -> io.BufferedIOBase:
    """Open a file, unpacked if it is compressed, so that it can be read twice."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return io.BytesIO(archive.read(choose_member(archive, member, path.name)))
    if path.suffix.lower() in (".gz", ".bz2", ".zst"):
        with pa.input_stream(str(path), compression="detect") as stream:
            return io.BytesIO(stream.read())
    return path.open("rb")


def choose_member(archive: zipfile.ZipFile, member: str | None, name: str) -> str:
    """Choose the file of a zip archive."""
    files = [info.filename for info in archive.infolist() if not info.is_dir() and "__MACOSX" not in info.filename]
    if member is None and len(files) == 1:
        return files[0]
    if member in files:
        return member
    raise SklineError(f"{name} holds {files}, source.member is {member!r}; set source.member to one of them")


def csv_header(data: Any, source: Source) -> list[str]:
    """Read the first record of a CSV."""
    text = io.TextIOWrapper(data, encoding=source.encoding, newline="")
    try:
        names = next(csv.reader(text, delimiter=source.delimiter), [])
    except csv.Error as error:
        raise SklineError(f"the first line is no CSV: {error}") from error
    finally:
        text.detach()
    names = [names[0].removeprefix("\ufeff"), *names[1:]] if names else []
    return [name.strip() for name in names] if source.trim else names


def refuse_duplicates(columns: list[str], name: str) -> None:
    """Two columns of one name cannot be told apart."""
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise SklineError(f"{name} has more than one column called {twice}; rename or remove all but one")
