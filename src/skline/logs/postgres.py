"""The logs in PostgreSQL, for several replicas. Needs the dependency group `postgres` (psycopg 3)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson

from skline.errors import SklineError
from skline.logs.records import Row
from skline.logs.store import CHUNK, TABLES, RowsRefused, Store, StoreUnavailable, Table

try:
    import psycopg
except ImportError as missing:
    raise SklineError("postgresql:// needs psycopg; `uv sync --group postgres` installs it") from missing

#: Any number that is always the same: replicas that start together make the tables one after the other.
LOCK = 0x736B6C696E65
#: A dead network is noticed within seconds, not after the kernel's quarter of an hour.
CONNECTION = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "tcp_user_timeout": 10_000}


class PostgresStore(Store):
    """The tables on a PostgreSQL server; they are made if they are missing."""

    def __init__(self, url: str) -> None:
        self._connection: psycopg.Connection[Any] | None = None
        try:
            with self._told():
                self._connection = psycopg.connect(url, autocommit=True, **CONNECTION)  # type: ignore[arg-type]
                self._make_tables()
        except BaseException:
            self.close()
            raise

    def write(self, table: Table, rows: Sequence[Row]) -> int:
        """Insert rows by one statement with one parameter, JSON, which the server takes apart: a tenth of the work
        that one parameter a cell would be here.
        """
        columns = TABLES[table]
        names, types = ", ".join(columns), ", ".join(f"{name} {kind}" for name, kind in columns.items())
        with self._told():
            try:
                content = orjson.dumps([dict(zip(columns, row, strict=True)) for row in rows]).decode()
            except TypeError as error:
                raise RowsRefused(f"a row cannot be written as JSON: {error}") from error
            return self._execute(
                f"INSERT INTO {table} ({names}) SELECT {names} FROM json_to_recordset(?::json) AS given({types}) "  # noqa: S608
                "ON CONFLICT DO NOTHING",
                (content,),
            ).rowcount

    def take(self, since: int, until: int, keep: Callable[[Iterator[list[Row]]], object]) -> int:
        """Read and delete in one transaction on one snapshot: rows committed meanwhile are in neither."""
        where = "time >= %s AND time < %s"
        with self._told(), self._open.transaction():
            self._open.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            keep(self._chunks(where, (since, until)))
            return self._open.execute(f"DELETE FROM predictions WHERE {where}", (since, until)).rowcount  # noqa: S608

    def erase(self) -> None:
        """Free the space of dead rows. Backups and the server's own write-ahead log are its administrator's."""
        with self._told():
            self._execute("VACUUM predictions, labels")

    def close(self) -> None:
        """End the connection; never raises."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _chunks(self, where: str, parameters: Sequence[Any]) -> Iterator[list[Row]]:
        """Yield predictions in the order of time, CHUNK at a time."""
        with self._open.cursor("taken") as cursor:
            cursor.itersize = CHUNK
            cursor.execute(
                f"SELECT {', '.join(TABLES['predictions'])} FROM predictions WHERE {where} ORDER BY time",  # noqa: S608
                parameters,
            )
            while rows := cursor.fetchmany(CHUNK):
                yield rows

    @property
    def _open(self) -> "psycopg.Connection[Any]":
        """The connection, while there is one."""
        if self._connection is None:
            raise StoreUnavailable("PostgreSQL: the store is closed")
        return self._connection

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> "psycopg.Cursor[Any]":
        return self._open.execute(sql.replace("?", "%s").encode(), parameters)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.DataError, psycopg.IntegrityError, UnicodeError) as error:
            raise RowsRefused(f"PostgreSQL cannot take a row: {_first_line(error)}") from error
        except psycopg.Error as error:
            raise StoreUnavailable(f"PostgreSQL: {_first_line(error)}") from error

    def _make_tables(self) -> None:
        """Make what is missing."""
        (found,) = self._open.execute(
            "SELECT count(*) FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL", (list(TABLES),)
        ).fetchone() or (0,)
        if found == len(TABLES):
            return
        with self._open.transaction():
            self._open.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            for table, columns in TABLES.items():
                key, *others = columns.items()
                body = ", ".join([f"{key[0]} TEXT NOT NULL UNIQUE", *(f"{name} {kind}" for name, kind in others)])
                self._execute(
                    f"CREATE TABLE IF NOT EXISTS {table} (seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {body})"
                )
                self._execute(f"CREATE INDEX IF NOT EXISTS {table}_time ON {table} (time)")


def _first_line(error: Exception) -> str:
    """What the server said, without the statement's details: they hold values."""
    return str(error).partition("\n")[0] or type(error).__name__
