"""What the databases have in common: the query with its limits, the watermark, errors, and the cells of the result."""

import datetime as dt
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from skline.errors import SklineError
from skline.settings.source_sql import SqlSettings
from skline.sources.locate import missing_file
from skline.sources.source import Snapshot, Stream, StreamedSource

#: Rows fetched at a time by drivers that give Python values.
BATCH_ROWS = 1 << 16
#: What stands in a query for `source.sql.as_of`.
AS_OF = re.compile(r":as_of\b")
#: Microseconds per day; the first day of year 1 and the last day of year 9999, in days since 1970-01-01.
DAY, FIRST_DAY, LAST_DAY = 86_400_000_000, -719_162, 2_932_896


def database_name(uri: str) -> str:
    """Return the name of the database in a URL."""
    return Path(unquote(urlsplit(uri).path)).name


class Database(ABC):
    """A connection in a transaction that only reads."""

    @abstractmethod
    def first_cell(self, statement: str) -> Any:
        """Return the first cell of the first row of a result, as a Python value."""

    @abstractmethod
    def rows(
        self, statement: str, lineage: dict[str, object], snapshot: Snapshot | None
    ) -> AbstractContextManager[Stream]:
        """Return a context in which the rows of a result arrive in parts; see `Stream`."""

    def quote(self, name: str) -> str:
        """Quote a column's name."""
        return '"' + name.replace('"', '""') + '"'


class SqlSource(StreamedSource):
    """The result of `source.query`. A kind says how to connect."""

    no_rows = "source.query returned no rows"

    @abstractmethod
    def database(self) -> AbstractContextManager[Database]:
        """Connect; errors of the driver are a one-line SklineError (`translated_database_errors`)."""

    @property
    def settings(self) -> SqlSettings:
        """The section `source.sql`."""
        return self.source.sql

    @property
    def incremental(self) -> bool:
        """Whether rows above a watermark can be read."""
        return self.settings.watermark is not None

    @contextmanager
    def stream(self, since: Snapshot | None = None) -> Iterator[Stream]:
        """Read the watermark, then the rows, in one transaction."""
        query = query_as_of(str(self.source.query), self.settings.as_of)
        with self.database() as database:
            snapshot = self._snapshot(database, query)
            statement = query if since is None else self._new_rows(database, query, since, snapshot)
            with database.rows(statement, {"query": self.source.query}, snapshot) as stream:
                yield stream

    def snapshot(self) -> Snapshot | None:
        """Return the largest value of the watermark, and the moment of `as_of`; None if neither is set."""
        query = query_as_of(str(self.source.query), self.settings.as_of)
        with self.database() as database:
            return self._snapshot(database, query)

    def _snapshot(self, database: Database, query: str) -> Snapshot | None:
        """Return the snapshot with an open connection."""
        column, as_of = self.settings.watermark, self.settings.as_of
        state: Snapshot = {} if as_of is None else {"as_of": as_of.isoformat()}
        if column is not None:
            largest = database.first_cell(f"SELECT max({database.quote(column)}) FROM (\n{query}) skline_source")  # noqa: S608 (the user's own)
            if largest is None:
                raise SklineError(f"source.sql.watermark: the column {column!r} of the query has no value")
            state |= {"column": column, "largest": plain_value(largest)}
        return state or None

    def _new_rows(self, database: Database, query: str, since: Snapshot, snapshot: Snapshot | None) -> str:
        """Return the query of the rows above an earlier watermark, in its order."""
        column = self.settings.watermark
        if snapshot is None or column is None or since.get("column") != column:
            raise SklineError(
                f"source.sql.watermark is {column!r}, and the earlier snapshot has {since.get('column')!r}: rows "
                "cannot be added to it; delete the snapshots to read all rows again"
            )
        name = database.quote(column)
        return (
            f"SELECT * FROM (\n{query}) skline_source WHERE {name} > {literal(since['largest'])} "  # noqa: S608
            f"AND {name} <= {literal(snapshot['largest'])} ORDER BY {name}"
        )


def query_as_of(query: str, as_of: dt.date | None) -> str:
    """Return a query that can be put in parentheses, with the moment in place of `:as_of`.

    Raises
    ------
    SklineError
        If only one of both is there.
    """
    statement = bare_statement(query)
    if as_of is None and AS_OF.search(statement):
        raise SklineError("source.query contains :as_of; set source.sql.as_of to a date or a datetime")
    if as_of is not None and not AS_OF.search(statement):
        raise SklineError("source.sql.as_of is set, and source.query does not contain :as_of; add a condition with it")
    return statement if as_of is None else AS_OF.sub(f"'{_moment(as_of)}'", statement)


def plain_value(value: Any) -> int | float | str:
    """Return a value of a watermark as JSON has it."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else str(value)
    if isinstance(value, dt.date):
        return _moment(value)
    if isinstance(value, int | float | str):
        return value
    raise SklineError(f"source.sql.watermark: values of the type {type(value).__name__} are not supported")


def literal(value: float | str) -> str:
    """Return a value of a watermark as it is written in SQL."""
    if not isinstance(value, str):
        return repr(value)
    if "\\" in value:  # some databases read it as an escape
        raise SklineError(f"source.sql.watermark: {value!r} has a backslash; take a column of numbers or times")
    return "'" + value.replace("'", "''") + "'"


def _moment(value: dt.date) -> str:
    """Return a date or a datetime as databases read it."""
    return value.isoformat(" ") if isinstance(value, dt.datetime) else value.isoformat()


def plain_stream(
    schema: pa.Schema, batches: Iterator[pa.RecordBatch], lineage: dict[str, object], snapshot: Snapshot | None
) -> Stream:
    """Return the batches of a driver as a stream of plain types.

    Empty text counts as missing, as in a CSV. NUMERIC of PostgreSQL becomes text, which is exact; the contract gives
    its type.

    Raises
    ------
    SklineError
        If the result has two columns of the same name, or a column whose values Parquet cannot represent; while it is
        read, for a date that cannot be represented.
    """
    stored = _storable(schema)
    plain = (
        pa.record_batch(
            [_plain(name, cells) for name, cells in zip(schema.names, batch.columns, strict=True)], schema=stored
        )
        for batch in batches
    )
    return Stream(stored, plain, lineage, snapshot)


def database_file(uri: str, prefix: str) -> Path:
    """Return the file of an address such as `sqlite:///FILE`; SklineError if it does not exist."""
    path = Path(unquote(uri.removeprefix(prefix)))
    if not path.is_file():
        raise missing_file(str(path), f" ({prefix}FILE, {prefix}/ABSOLUTE/FILE)")
    return path


@contextmanager
def translated_database_errors(*errors: type[Exception]) -> Iterator[None]:
    """Translate errors of a driver, and of Arrow, into a one-line SklineError."""
    try:
        yield
    except (OSError, pa.ArrowInvalid, *errors) as error:
        raise _database_error(error) from error


def _database_error(error: Exception) -> SklineError:
    """Return the error of a database as one line."""
    message = re.sub(r"\s*Query was:.*(?=SQLSTATE|$)", " ", str(error), flags=re.DOTALL)
    return SklineError(f"source.query: {' '.join(message.split())}")


def bare_statement(query: str) -> str:
    """Return a query that can be put in parentheses, even if its last line is a comment."""
    return query.strip().rstrip(";") + "\n"


def reject_duplicate_columns(names: Sequence[str]) -> None:
    """Raise SklineError if two columns have the same name."""
    duplicates = [name for name, count in Counter(names).items() if count > 1]
    if duplicates:
        raise SklineError(f"source.query returned more than one column called {duplicates}; rename all but one with AS")


def _storable(schema: pa.Schema) -> pa.Schema:
    """Return the schema for Parquet; SklineError for types that it cannot represent."""
    reject_duplicate_columns(schema.names)
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


def _is_uuid(kind: pa.DataType) -> bool:
    """Return whether an Arrow type is the UUID type."""
    return isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.uuid"


def _plain(name: str, cells: Any) -> Any:
    """Convert cells from database types to plain types; reject infinite dates, and make empty text missing."""
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
