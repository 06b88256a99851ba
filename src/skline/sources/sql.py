"""Write the result of a database query to a Parquet file, batch by batch, so that memory stays bounded.

The database is only read: PostgreSQL in a read-only transaction (with ADBC, from the dependency group `sql`), SQLite in
read-only mode with Python's own driver.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from skline.errors import SklineError
from skline.settings.source import SQLITE

#: Rows fetched from SQLite at a time.
BATCH_ROWS = 1 << 16
#: Microseconds per day; the first day of year 1 and the last day of year 9999, in days since 1970-01-01.
DAY, FIRST_DAY, LAST_DAY = 86_400_000_000, -719_162, 2_932_896


class QueryResult(NamedTuple):
    """The schema of a query's result, and its rows as record batches."""

    schema: Any
    batches: Iterator[Any]


def database_name(uri: str) -> str:
    """Return the name of the database in a URL."""
    return Path(unquote(urlsplit(uri).path)).name


def write_result(uri: str, query: str, path: Path) -> None:
    """Write the result of `query` to `path`, as Parquet.

    Empty text counts as missing, as in a CSV. NUMERIC is stored as text, which is exact; the contract gives its type.

    Raises
    ------
    SklineError
        If the database cannot be reached or rejects the query, or the result has no rows, two columns of the same
        name, or a column whose values Parquet cannot represent.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    run_query = _sqlite if uri.startswith(SQLITE) else _postgresql
    n_rows = 0
    try:
        with run_query(uri, query) as (schema, batches):
            stored = _storable(schema)
            with pq.ParquetWriter(path, stored) as writer:
                for batch in batches:
                    cells = [_plain(name, cells) for name, cells in zip(schema.names, batch.columns, strict=True)]
                    writer.write_batch(pa.record_batch(cells, schema=stored))
                    n_rows += batch.num_rows
    except (OSError, pa.ArrowInvalid) as error:
        raise _failed(error) from error
    if n_rows == 0:
        raise SklineError("source.query returned no rows")


def _failed(error: Exception) -> SklineError:
    """Return the error of a database as one line."""
    message = re.sub(r"\s*Query was:.*(?=SQLSTATE|$)", " ", str(error), flags=re.DOTALL)
    return SklineError(f"source.query: {' '.join(message.split())}")


@contextmanager
def _postgresql(uri: str, query: str) -> Iterator[QueryResult]:
    """Run a query on PostgreSQL, in a read-only transaction."""
    try:
        from adbc_driver_postgresql import dbapi
    except ImportError:
        raise SklineError("reading from PostgreSQL needs its driver: `uv add --group train 'skline[sql]'`") from None
    try:
        with dbapi.connect(uri) as connection, connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
            cursor.execute(_statement(query))
            reader = cursor.fetch_record_batch()
            yield QueryResult(reader.schema, iter(reader))
    except dbapi.Error as error:
        raise _failed(error) from error


@contextmanager
def _sqlite(uri: str, query: str) -> Iterator[QueryResult]:
    """Run a query on SQLite: its columns have no types, so a first pass determines the types of their values."""
    import sqlite3

    import pyarrow as pa

    path = Path(unquote(uri.removeprefix(SQLITE)))
    if not path.is_file():
        raise SklineError(f"source.uri: there is no file {str(path)!r} (sqlite:///FILE, sqlite:////ABSOLUTE/FILE)")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)) as connection:
            connection.execute("BEGIN")  # so that both passes see the same rows
            statement = _statement(query)
            cursor = connection.execute(statement)
            names = [column[0] for column in cursor.description or ()]
            _reject_duplicates(names)
            kinds = ", ".join(f"group_concat(DISTINCT typeof(nullif({_quoted(name)}, '')))" for name in names)
            storage_classes = connection.execute(f"SELECT {kinds} FROM ({statement})").fetchone()  # noqa: S608 (the user's own)
            types = [_arrow_type(set((kind or "").split(",")) - {"null", ""}) for kind in storage_classes]
            schema = pa.schema(list(zip(names, types, strict=True)))
            yield QueryResult(schema, _batches(cursor, schema))
    except sqlite3.Error as error:
        raise _failed(error) from error


def _statement(query: str) -> str:
    """Return a query that can be put in parentheses, even if its last line is a comment."""
    return query.strip().rstrip(";") + "\n"


def _quoted(name: str) -> str:
    """Quote a column's name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def _arrow_type(storage_classes: set[str]) -> Any:
    """Return the Arrow type that holds values of these SQLite storage classes."""
    import pyarrow as pa

    if "blob" in storage_classes:
        return pa.binary()
    if "text" in storage_classes or not storage_classes:
        return pa.string()
    return pa.float64() if "real" in storage_classes else pa.int64()


def _batches(cursor: Any, schema: Any) -> Iterator[Any]:
    """Read the rows of a SQLite cursor as record batches."""
    import pyarrow as pa

    while rows := cursor.fetchmany(BATCH_ROWS):
        columns = [
            pa.array([_value(value, field.type) for value in column], field.type)
            for field, column in zip(schema, zip(*rows, strict=True), strict=True)
        ]
        yield pa.record_batch(columns, schema=schema)


def _value(value: Any, kind: Any) -> Any:
    """Convert a value to the type of its column: a number in a text column to text, empty text to missing."""
    import pyarrow as pa

    if value is None or value == "":
        return None
    if pa.types.is_string(kind):
        return str(value)
    return str(value).encode() if pa.types.is_binary(kind) and not isinstance(value, bytes) else value


def _reject_duplicates(names: Sequence[str]) -> None:
    """Raise SklineError if two columns have the same name."""
    duplicates = [name for name, count in Counter(names).items() if count > 1]
    if duplicates:
        raise SklineError(f"source.query returned more than one column called {duplicates}; rename all but one with AS")


def _storable(schema: Any) -> Any:
    """Return the schema for Parquet; SklineError for types that it cannot represent."""
    import pyarrow as pa

    _reject_duplicates(schema.names)
    fields = []
    for field in schema:
        database_type = ((field.metadata or {}).get(b"POSTGRESQL:type") or b"").decode()
        if database_type == "money" or pa.types.is_interval(field.type):
            kind = database_type or str(field.type)
            raise SklineError(
                f"source.query: column {field.name!r} has the type {kind}, which is not supported; omit the column, or "
                f"convert it to a number in the query"
            )
        stored = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
        fields.append(pa.field(field.name, pa.string() if _is_uuid(field.type) else stored))
    return pa.schema(fields)


def _is_uuid(kind: Any) -> bool:
    """Return whether an Arrow type is the UUID type."""
    import pyarrow as pa

    return isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.uuid"


def _plain(name: str, cells: Any) -> Any:
    """Convert cells from database types to plain types; reject infinite dates, and make empty text missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if _is_uuid(cells.type):
        return pa.array([None if value is None else str(value) for value in cells.to_pylist()], pa.string())
    if isinstance(cells, pa.ExtensionArray):
        numeric = getattr(cells.type, "type_name", "") == "numeric"
        cells = cells.storage
        if numeric:  # a NUMERIC may be NaN, which counts as missing
            cells = pc.if_else(pc.equal(cells, "nan"), None, cells)
    if pa.types.is_string(cells.type):
        return pc.if_else(pc.equal(cells, ""), None, cells)
    if pa.types.is_date(cells.type) or pa.types.is_timestamp(cells.type):
        days = cells.cast(pa.int32()) if pa.types.is_date(cells.type) else pc.divide(cells.cast(pa.int64()), DAY)
        first, last = pc.min_max(days).as_py().values()
        if first is not None and (first < FIRST_DAY or last > LAST_DAY):
            raise SklineError(
                f"source.query: column {name!r} contains infinity, or a date before year 1 or after year 9999; "
                "replace it with NULL in the query"
            )
    return cells
