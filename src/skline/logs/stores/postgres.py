"""The logs in PostgreSQL, for several replicas. Needs psycopg 3, which the extra `postgresql` installs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson

from skline.errors import SklineError
from skline.logs.records import StoredRow
from skline.logs.schema import TABLES, VERSION_TABLE, TableName
from skline.logs.stores.base import CHUNK_ROWS, RowsRejected, Store, StoreUnavailable

if TYPE_CHECKING:
    import pyarrow as pa

try:
    import psycopg
except ImportError as error:
    raise SklineError(
        "postgresql:// needs psycopg; `uv add --group serving 'skline[serving,postgresql]'` installs it, and "
        "`uv run just requirements` adds it to the image"
    ) from error

#: Key of the advisory lock under which the tables are created and migrated; the same in every version.
SCHEMA_LOCK = 0x736B6C696E65
#: A migration does not wait longer for another transaction: while it waits, PostgreSQL queues all others behind it.
SCHEMA_LOCK_TIMEOUT_SECONDS = 10
#: With these a dead network is noticed within seconds, not after the kernel's quarter of an hour.
CONNECTION_OPTIONS = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "tcp_user_timeout": 10_000,
}


class PostgresStore(Store):
    """The tables on a PostgreSQL server, which are created if they are missing."""

    _SEQUENCE_TYPE = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None
        try:
            check_address(url)
            with self._translate_errors():
                self._connection = psycopg.connect(url, autocommit=True, **CONNECTION_OPTIONS)  # type: ignore[arg-type]
                self._prepare_schema()
        except BaseException:
            self.close()
            raise

    def write(self, table: TableName, rows: Sequence[StoredRow]) -> int:
        """Insert rows in one statement, from one JSON parameter that the server parses.

        This takes a tenth of the client's time that one parameter a cell would take.
        """
        columns = TABLES[table]
        names, types = ", ".join(columns), ", ".join(f"{name} {kind}" for name, kind in columns.items())
        with self._translate_errors():
            try:
                text = orjson.dumps([dict(zip(columns, row, strict=True)) for row in rows]).decode()
            except TypeError as error:
                raise RowsRejected(f"a row cannot be written as JSON: {error}") from error
            return self._execute(
                f"INSERT INTO {table} ({names}) SELECT {names} FROM json_to_recordset(?::json) AS item({types}) "  # noqa: S608
                "ON CONFLICT DO NOTHING",
                (text,),
            ).rowcount

    def archive(self, since: int, until: int, save: Callable[[Iterator[list[StoredRow]]], object]) -> int:
        """Read and delete in one transaction on one snapshot: rows that are committed meanwhile stay."""
        condition = "time >= %s AND time < %s"
        bounds = (since, until)
        with self._translate_errors(), self._open_connection.transaction():
            self._open_connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            save(self._read_chunks(condition, bounds))
            return self._open_connection.execute(f"DELETE FROM predictions WHERE {condition}", bounds).rowcount  # noqa: S608

    def read_batches(
        self, table: TableName, columns: Sequence[str], since: int | None, until: int | None
    ) -> Iterator["pa.RecordBatch"]:
        """Let ADBC copy the rows out in PostgreSQL's binary format, on a connection of its own."""
        try:
            from adbc_driver_postgresql import dbapi
        except ImportError as error:
            raise SklineError(
                "reading a large log from PostgreSQL needs its ADBC driver: `uv add --group train 'skline[monitor]'`"
            ) from error
        bounds = [f"time {sign} {bound:d}" for sign, bound in ((">=", since), ("<", until)) if bound is not None]
        sql = f"SELECT {', '.join(columns)} FROM {table} WHERE {' AND '.join(bounds) or 'true'}"  # noqa: S608
        try:
            with dbapi.connect(self._url) as connection, connection.cursor() as cursor:
                cursor.execute(sql)
                yield from cursor.fetch_record_batch()
        except dbapi.Error as error:
            raise StoreUnavailable(f"PostgreSQL: {_first_line(error)}") from error

    def erase_deleted(self) -> None:
        """Free the space of deleted rows. Backups and the server's write-ahead log are up to its administrator."""
        with self._translate_errors():
            self._execute("VACUUM predictions, labels")

    def close(self) -> None:
        """Close the connection; never raises."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read_chunks(self, condition: str, parameters: Sequence[Any]) -> Iterator[list[StoredRow]]:
        """Yield predictions in the order of time, at most CHUNK_ROWS at a time."""
        with self._open_connection.cursor("archive") as cursor:
            cursor.itersize = CHUNK_ROWS
            cursor.execute(
                f"SELECT {', '.join(TABLES['predictions'])} FROM predictions WHERE {condition} ORDER BY time",  # noqa: S608
                parameters,
            )
            while rows := cursor.fetchmany(CHUNK_ROWS):
                yield rows

    @property
    def _name(self) -> str:
        return "PostgreSQL"

    @property
    def _open_connection(self) -> "psycopg.Connection[Any]":
        """The connection; raises StoreUnavailable if it is closed."""
        if self._connection is None:
            raise StoreUnavailable("PostgreSQL: the store is closed")
        return self._connection

    def _existing_tables(self) -> set[str]:
        names = [*TABLES, VERSION_TABLE]
        sql = "SELECT name FROM unnest(?::text[]) AS name WHERE to_regclass(name) IS NOT NULL"
        return {name for (name,) in self._execute(sql, (names,))}

    @contextmanager
    def _lock_schema(self) -> Iterator[None]:
        with self._open_connection.transaction():
            self._execute(f"SET LOCAL lock_timeout = '{SCHEMA_LOCK_TIMEOUT_SECONDS}s'")
            self._execute("SELECT pg_advisory_xact_lock(?)", (SCHEMA_LOCK,))
            yield

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> "psycopg.Cursor[Any]":
        return self._open_connection.execute(sql.replace("?", "%s").encode(), parameters)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.DataError, psycopg.IntegrityError, UnicodeError) as error:
            raise RowsRejected(f"PostgreSQL cannot store a row: {_first_line(error)}") from error
        except psycopg.Error as error:
            raise StoreUnavailable(f"PostgreSQL: {_first_line(error)}") from error


def check_address(url: str) -> None:
    """Raise StoreUnavailable for an address that libpq cannot parse; its own message quotes parts of the address."""
    try:
        psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise StoreUnavailable(
            "PostgreSQL: libpq cannot parse the address, postgresql://USER:PASSWORD@HOST:PORT/DATABASE; it is not "
            "shown, because it may hold a password; special characters in it have to be percent-encoded"
        ) from None


def _first_line(error: Exception) -> str:
    """Return the server's message without the statement's details, which hold values."""
    return str(error).partition("\n")[0] or type(error).__name__
