"""What a query of a database gives, as a Parquet file: written part by part, whatever its length.

From there on it is a table like any other. The database is only read: PostgreSQL in a read-only transaction
(through ADBC, which needs the dependency group `sql`), SQLite with Python's own driver.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from skline.errors import SklineError
from skline.settings_source import SQLITE

#: Rows of SQLite that are in memory at a time.
ROWS = 1 << 16
#: Microseconds of a day; the first day of the year 1 and the last of 9999, counted from 1970.
DAY, FIRST_DAY, LAST_DAY = 86_400_000_000, -719_162, 2_932_896


class Result(NamedTuple):
    """A query's columns, and its rows as record batches of this schema."""

    schema: Any
    batches: Iterator[Any]


def name_of(uri: str) -> str:
    """Return the database's name, without what surrounds it in the address."""
    return Path(unquote(urlsplit(uri).path)).name


def write_result(uri: str, query: str, path: Path) -> None:
    """Write the rows that `query` gives to `path`, as Parquet.

    Empty text counts as missing, as in a CSV. NUMERIC comes as text, exact: what it is, the contract says.

    Raises
    ------
    SklineError
        If the database cannot be reached or refuses the query, the query gives no rows or two columns of one name,
        or a column of a type that would not arrive as it is.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    asked = _sqlite if uri.startswith(SQLITE) else _postgresql
    n_rows = 0
    try:
        with asked(uri, query) as (schema, batches):
            stored = _storable(schema)
            with pq.ParquetWriter(path, stored) as writer:
                for batch in batches:
                    cells = [_plain(name, cells) for name, cells in zip(schema.names, batch.columns, strict=True)]
                    writer.write_batch(pa.record_batch(cells, schema=stored))
                    n_rows += batch.num_rows
    except (OSError, pa.ArrowInvalid) as error:
        raise _failed(error) from error
    if n_rows == 0:
        raise SklineError("source.query gives no rows; a model needs some")


def _failed(error: Exception) -> SklineError:
    """Say in one line what a database said."""
    said = re.sub(r"\s*Query was:.*(?=SQLSTATE|$)", " ", str(error), flags=re.DOTALL)
    return SklineError(f"source.query: {' '.join(said.split())}")


@contextmanager
def _postgresql(uri: str, query: str) -> Iterator[Result]:
    """Ask PostgreSQL, in a transaction that cannot write."""
    try:
        from adbc_driver_postgresql import dbapi
    except ImportError:
        raise SklineError("reading from PostgreSQL needs its driver: `uv sync --group sql`") from None
    try:
        with dbapi.connect(uri) as connection, connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
            cursor.execute(_statement(query))
            reader = cursor.fetch_record_batch()
            yield Result(reader.schema, iter(reader))
    except dbapi.Error as error:
        raise _failed(error) from error


@contextmanager
def _sqlite(uri: str, query: str) -> Iterator[Result]:
    """Ask SQLite: its columns have no types, so a first pass asks which types their values have."""
    import sqlite3

    import pyarrow as pa

    path = Path(unquote(uri.removeprefix(SQLITE)))
    if not path.is_file():
        raise SklineError(f"source.uri: there is no file {str(path)!r} (sqlite:///FILE, sqlite:////ABSOLUTE/FILE)")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)) as connection:
            connection.execute("BEGIN")  # both passes see the same rows
            statement = _statement(query)
            cursor = connection.execute(statement)
            names = [column[0] for column in cursor.description or ()]
            _refuse_twice(names)
            kinds = ", ".join(f"group_concat(DISTINCT typeof(nullif({_quoted(name)}, '')))" for name in names)
            found = connection.execute(f"SELECT {kinds} FROM ({statement})").fetchone()  # noqa: S608 (the user's own)
            types = [_arrow_type(set((kind or "").split(",")) - {"null", ""}) for kind in found]
            schema = pa.schema(list(zip(names, types, strict=True)))
            yield Result(schema, _batches(cursor, schema))
    except sqlite3.Error as error:
        raise _failed(error) from error


def _statement(query: str) -> str:
    """End a query so that it can stand in brackets, also where its last line is a comment."""
    return query.strip().rstrip(";") + "\n"


def _quoted(name: str) -> str:
    """Write a column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _arrow_type(found: set[str]) -> Any:
    """Choose what holds values of these storage classes of SQLite."""
    import pyarrow as pa

    if "blob" in found:
        return pa.binary()
    if "text" in found or not found:
        return pa.string()
    return pa.float64() if "real" in found else pa.int64()


def _batches(cursor: Any, schema: Any) -> Iterator[Any]:
    """Read the rows of a cursor of SQLite."""
    import pyarrow as pa

    while rows := cursor.fetchmany(ROWS):
        columns = [
            pa.array([_value(value, field.type) for value in column], field.type)
            for field, column in zip(schema, zip(*rows, strict=True), strict=True)
        ]
        yield pa.record_batch(columns, schema=schema)


def _value(value: Any, kind: Any) -> Any:
    """Bring a value among others of its column: a number among texts is text, empty text is missing."""
    import pyarrow as pa

    if value is None or value == "":
        return None
    if pa.types.is_string(kind):
        return str(value)
    return str(value).encode() if pa.types.is_binary(kind) and not isinstance(value, bytes) else value


def _refuse_twice(names: Sequence[str]) -> None:
    """Two columns of one name cannot be told apart."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise SklineError(f"source.query gives more than one column called {twice}; rename all but one with AS")


def _storable(schema: Any) -> Any:
    """Return the schema as Parquet is to hold it; refuse types that would not arrive as they are."""
    import pyarrow as pa

    _refuse_twice(schema.names)
    fields = []
    for field in schema:
        sort = ((field.metadata or {}).get(b"POSTGRESQL:type") or b"").decode()
        if sort == "money" or pa.types.is_interval(field.type):
            kind = sort or str(field.type)
            raise SklineError(
                f"source.query: column {field.name!r} is of the type {kind}, which cannot be read as it is; leave it "
                f"out, or turn it into a number in the query"
            )
        stored = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
        fields.append(pa.field(field.name, pa.string() if _is_uuid(field.type) else stored))
    return pa.schema(fields)


def _is_uuid(kind: Any) -> bool:
    """Whether an Arrow type is that of UUIDs."""
    import pyarrow as pa

    return isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.uuid"


def _plain(name: str, cells: Any) -> Any:
    """Take cells out of a type of the database's own; "infinity" is no day, and empty text no value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if _is_uuid(cells.type):
        return pa.array([None if value is None else str(value) for value in cells.to_pylist()], pa.string())
    if isinstance(cells, pa.ExtensionArray):
        numeric = getattr(cells.type, "type_name", "") == "numeric"
        cells = cells.storage
        if numeric:  # a NUMERIC may be NaN, which is a missing number
            cells = pc.if_else(pc.equal(cells, "nan"), None, cells)
    if pa.types.is_string(cells.type):
        return pc.if_else(pc.equal(cells, ""), None, cells)
    if pa.types.is_date(cells.type) or pa.types.is_timestamp(cells.type):
        days = cells.cast(pa.int32()) if pa.types.is_date(cells.type) else pc.divide(cells.cast(pa.int64()), DAY)
        first, last = pc.min_max(days).as_py().values()
        if first is not None and (first < FIRST_DAY or last > LAST_DAY):
            raise SklineError(
                f"source.query: column {name!r} holds infinity, or a day before the year 1 or after 9999; make it NULL "
                "in the query"
            )
    return cells
