"""A history as a table of PostgreSQL: the newest row of each key whose time has come."""

import datetime as dt
import threading
from collections.abc import Sequence
from typing import Any

from skline.clock import naive_utc
from skline.errors import SklineError
from skline.lookups.store import Found, Key, StoreRequest

#: Seconds until an attempt to connect is given up; libpq's least.
CONNECT_SECONDS = 2


class PostgresStore:
    """Reads rows by key; an index on (key, time) makes that fast.

    Parameters
    ----------
    request : StoreRequest
        Its address is a postgresql:// URL; libpq's variables and password file apply.
    """

    threads = 4

    def __init__(self, request: StoreRequest) -> None:
        try:
            import psycopg
        except ImportError:
            raise SklineError(
                f"the look-up {request.name} needs psycopg: add skline[postgresql] to the group `serving` in "
                "pyproject.toml"
            ) from None
        self._psycopg = psycopg
        self._url = request.require_address("postgresql://HOST/DATABASE")
        self._columns = list(request.value_names)
        self._query = _select(request)
        milliseconds = max(1, round(request.timeout * 1_000))
        self._options = f"-c timezone=UTC -c default_transaction_read_only=on -c statement_timeout={milliseconds}"
        self._local = threading.local()
        self._connections: list[Any] = []

    def open(self) -> None:
        """Connect, so that the first request does not wait for it."""
        self._connection()

    def get(self, keys: Sequence[Key], now: dt.datetime) -> Sequence[Found | None]:
        """Read the newest row of each key."""
        try:
            rows = self._connection().execute(self._query, [list(keys), now.replace(tzinfo=dt.UTC)]).fetchall()
        except self._psycopg.Error:
            self._disconnect()
            raise
        found = {row[0]: Found(naive_utc(row[1]), dict(zip(self._columns, row[2:], strict=True))) for row in rows}
        return [found.get(key) for key in keys]

    def close(self) -> None:
        """Close the connections of all threads."""
        for connection in self._connections:
            connection.close()

    def _connection(self) -> Any:
        """Return this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._psycopg.connect(
                self._url, autocommit=True, connect_timeout=CONNECT_SECONDS, options=self._options
            )
            self._local.connection = connection
            self._connections.append(connection)
        return connection

    def _disconnect(self) -> None:
        """Close this thread's connection; the next call makes a new one."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._connections.remove(connection)
            self._local.connection = None


def _select(request: StoreRequest) -> Any:
    """Return the query; its parameters are the keys and the time."""
    from psycopg import sql

    lookup = request.lookup
    newest = sql.SQL("%s::timestamptz - make_interval(secs => {delay})").format(delay=sql.Literal(lookup.delay))
    query = (
        "SELECT DISTINCT ON ({key}) {key}, {time}, {values} FROM {table} "
        "WHERE {key} = ANY(%s) AND {time} <= {newest} ORDER BY {key}, {time} DESC"
    )
    return sql.SQL(query).format(
        key=sql.Identifier(lookup.key),
        time=sql.Identifier(lookup.time),
        values=sql.SQL(", ").join(map(sql.Identifier, request.value_names.values())),
        table=sql.Identifier(*lookup.table.split(".")),
        newest=newest,
    )
