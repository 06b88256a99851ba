"""A query on a DuckDB file as a source, opened read-only."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import duckdb

from skline.sources.source import Snapshot, Stream
from skline.sources.sql import (
    BATCH_ROWS,
    Database,
    SqlSource,
    database_file,
    plain_stream,
    translated_database_errors,
)

PREFIX = "duckdb:///"


class DuckdbSource(SqlSource):
    """The result of `source.query` on the file of `duckdb:///FILE`."""

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Open the file in a transaction."""
        path = database_file(self.source.uri, PREFIX)
        with translated_database_errors(duckdb.Error), closing(duckdb.connect(path, read_only=True)) as connection:
            connection.begin()
            yield DuckdbDatabase(connection)


class DuckdbDatabase(Database):
    """A connection to the file."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def first_cell(self, statement: str) -> Any:
        """See `Database`."""
        return self.connection.execute(statement).fetchall()[0][0]

    @contextmanager
    def rows(self, statement: str, lineage: dict[str, object], snapshot: Snapshot | None) -> Iterator[Stream]:
        """Yield the batches as DuckDB makes them."""
        reader = self.connection.sql(statement).to_arrow_reader(BATCH_ROWS)
        yield plain_stream(reader.schema, iter(reader), lineage, snapshot)
