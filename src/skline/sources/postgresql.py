"""A query on PostgreSQL as a source, read with ADBC in a read-only transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from skline.sources.source import Snapshot, Stream
from skline.sources.sql import Database, SqlSource, plain_stream, translated_database_errors


class PostgresqlSource(SqlSource):
    """The result of `source.query` at `postgresql://HOST/DATABASE`; libpq finds the password."""

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Connect; both the watermark and the rows are those of one moment."""
        from adbc_driver_postgresql import dbapi

        with (
            translated_database_errors(dbapi.Error),
            dbapi.connect(self.source.uri) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield PostgresqlDatabase(cursor)


class PostgresqlDatabase(Database):
    """A cursor of ADBC."""

    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor

    def first_cell(self, statement: str) -> Any:
        """See `Database`; NUMERIC is text."""
        self.cursor.execute(statement)
        return self.cursor.fetchone()[0]

    @contextmanager
    def rows(self, statement: str, lineage: dict[str, object], snapshot: Snapshot | None) -> Iterator[Stream]:
        """Yield the batches as the server sends them."""
        self.cursor.execute(statement)
        reader = self.cursor.fetch_record_batch()
        yield plain_stream(reader.schema, iter(reader), lineage, snapshot)
