"""A query on an SQLite file as a source, read with Python's own driver in read-only mode."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from skline.sources.source import Snapshot, Stream
from skline.sources.sql import (
    BATCH_ROWS,
    Database,
    SqlSource,
    database_file,
    plain_stream,
    reject_duplicate_columns,
    translated_database_errors,
)

PREFIX = "sqlite:///"


class SqliteSource(SqlSource):
    """The result of `source.query` on the file of `sqlite:///FILE`."""

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Open the file in a transaction, so that every statement sees the same rows."""
        path = database_file(self.source.uri, PREFIX)
        with (
            translated_database_errors(sqlite3.Error),
            closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)) as connection,
        ):
            connection.execute("BEGIN")
            yield SqliteDatabase(connection)


class SqliteDatabase(Database):
    """A connection of Python's driver."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def quote(self, name: str) -> str:
        """Quote with backticks: SQLite reads an unknown name in double quotes as a text."""
        return "`" + name.replace("`", "``") + "`"

    def first_cell(self, statement: str) -> Any:
        """See `Database`."""
        return self.connection.execute(statement).fetchone()[0]

    @contextmanager
    def rows(self, statement: str, lineage: dict[str, object], snapshot: Snapshot | None) -> Iterator[Stream]:
        """Yield the rows in parts: columns have no types, so a first pass determines the types of their values."""
        cursor = self.connection.execute(statement)
        names = [column[0] for column in cursor.description or ()]
        reject_duplicate_columns(names)
        kinds = ", ".join(f"group_concat(DISTINCT typeof(nullif({self.quote(name)}, '')))" for name in names)
        storage_classes = self.connection.execute(f"SELECT {kinds} FROM ({statement})").fetchone()  # noqa: S608 (the user's own)
        types = [_arrow_type(set((kind or "").split(",")) - {"null", ""}) for kind in storage_classes]
        schema = pa.schema(list(zip(names, types, strict=True)))
        yield plain_stream(schema, _batches(cursor, schema), lineage, snapshot)


def _arrow_type(storage_classes: set[str]) -> pa.DataType:
    """Return the Arrow type that holds values of these SQLite storage classes."""
    if "blob" in storage_classes:
        return pa.binary()
    if "text" in storage_classes or not storage_classes:
        return pa.string()
    return pa.float64() if "real" in storage_classes else pa.int64()


def _batches(cursor: sqlite3.Cursor, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Read the rows of a SQLite cursor as record batches."""
    while rows := cursor.fetchmany(BATCH_ROWS):
        columns = [
            pa.array([_value(value, field.type) for value in column], field.type)
            for field, column in zip(schema, zip(*rows, strict=True), strict=True)
        ]
        yield pa.record_batch(columns, schema=schema)


def _value(value: Any, kind: pa.DataType) -> Any:
    """Convert a value to the type of its column: a number in a text column to text, empty text to missing."""
    if value is None or value == "":
        return None
    if pa.types.is_string(kind):
        return str(value)
    return str(value).encode() if pa.types.is_binary(kind) and not isinstance(value, bytes) else value
