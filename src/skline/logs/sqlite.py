"""The logs in a SQLite file in WAL mode: readers and the one writer do not wait for each other.

The file must be on a local disk: WAL shares memory between processes, which network file systems cannot.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from skline.logs.answered import Answered
from skline.logs.records import ID_DIGITS, Row
from skline.logs.store import CHUNK, TABLES, RowsRefused, Store, StoreUnavailable, Table

#: Rows of one INSERT. The interpreter's lock is let go once a statement, not once a row, and few texts are prepared.
SIZES = (256, 64, 16, 4, 1)
#: From how many rows on, and up to how many columns in which they differ, they are handed over as JSON.
ALIKE_ROWS, ALIKE_COLUMNS = 32, 6
#: Seconds to wait for another process's transaction.
BUSY = 1.0
#: What the driver raises for a value that no column can hold.
UNFIT = (
    OverflowError,
    UnicodeError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)


class SqliteStore(Store):
    """The tables in a SQLite file; it and its directory are made if they are missing."""

    def __init__(self, path: str | Path, *, durable: bool = True) -> None:
        self._path = os.fspath(path)
        self._connection: sqlite3.Connection | None = None
        try:
            with self._told():
                self._connect("FULL" if durable else "NORMAL")
        except BaseException:
            self.close()
            raise

    def _connect(self, synchronous: str) -> None:
        """Open the file, and remember which one it was."""
        Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(
            self._path, timeout=BUSY, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(f"PRAGMA synchronous = {synchronous}")
        # What is deleted is overwritten with zeros: forgetting means that the bytes are gone.
        self._connection.execute("PRAGMA secure_delete = ON")
        self._make_tables()
        self._files = self._identity()

    def write(self, table: Table, rows: Sequence[Row]) -> int:
        """Insert rows in one transaction, into the file at the path if it is still the one that was opened."""
        with self._told():
            before = self._open.total_changes
            with self._transaction():
                if not self._insert_alike(table, rows):
                    self._insert(table, rows)
            self._check_in_place()
            return self._open.total_changes - before

    def write_answered(self, answered: Answered) -> bool:
        """Insert the predictions of a request, of which SQLite takes apart itself what differs.

        That needs the interpreter's lock for a moment, not for every value.
        """
        names = tuple(TABLES["predictions"])
        places = {"prediction_id": f"CAST(substr(?, key * {ID_DIGITS} + 1, {ID_DIGITS}) AS TEXT)"}
        for place, name in enumerate(answered.names):
            places[name] = f"value {'->>' if name == 'review' else '->'} {place}"
        values = [value for name, value in zip(names, answered.shared, strict=True) if name not in places]
        with self._told():
            # One statement, and so a transaction: every call into SQLite waits for the interpreter's lock at its end.
            self._open.execute(_insert_json("predictions", names, places), [answered.ids, *values, answered.text])
            self._check_in_place()
        return True

    def _insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert rows, many to a statement."""
        names = tuple(TABLES[table])
        start = 0
        for size in SIZES:
            while len(rows) - start >= size:
                values = [value for row in rows[start : start + size] for value in row]
                self._open.execute(_insert(table, names, size), values)
                start += size

    def _insert_alike(self, table: Table, rows: Sequence[Row]) -> bool:
        """Insert rows that differ in few columns, such as those of one request; False if they differ in more.

        What differs goes in as one JSON text, which SQLite takes apart itself: without the interpreter's lock, which
        is held while values are bound one by one. For rows that differ in many columns that takes longer.
        """
        if len(rows) < ALIKE_ROWS:
            return False
        columns = list(zip(*rows, strict=True))
        differing = [index for index, column in enumerate(columns) if column.count(column[0]) < len(rows)]
        if len(differing) > ALIKE_COLUMNS:
            return False
        names = tuple(TABLES[table])
        alike = [index for index in range(len(names)) if index not in differing]
        values = [columns[index][0] for index in alike]
        try:
            text = orjson.dumps(list(zip(*(columns[index] for index in differing), strict=True))).decode()
        except TypeError:
            return False  # no JSON; whether SQLite takes it, it says itself
        places = {names[index]: f"value ->> {place}" for place, index in enumerate(differing)}
        self._open.execute(_insert_json(table, names, places), [*values, text])
        return True

    def take(self, since: int, until: int, keep: Callable[[Iterator[list[Row]]], object]) -> int:
        """Read up to the last number given, which later rows exceed; delete in short transactions.

        One long transaction would lock the service's writer out for as long as it takes. If it ends halfway, the rest
        is in both places, and is taken again.
        """
        where = "time >= ? AND time < ?"
        with self._told():
            (last,) = self._execute(f"SELECT max(seq) FROM predictions WHERE {where}", (since, until)).fetchone()  # noqa: S608
        if last is None:
            return 0
        keep(self._chunks(f"{where} AND seq <= ? ORDER BY time", (since, until, last)))
        return self._delete("predictions", f"{where} AND seq <= ?", (since, until, last))

    def erase(self) -> None:
        """Empty the write-ahead log, which still has the pages as they were; the file's own are zeros by now."""
        with self._told():
            self._execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """End the connection; never raises."""
        if self._connection is not None:
            with suppress(sqlite3.Error):  # nothing is pending in it
                self._connection.close()
            self._connection = None

    def _chunks(self, where: str, parameters: Sequence[Any]) -> Iterator[list[Row]]:
        """Yield predictions, CHUNK at a time, as they were at one moment."""
        with self._told():
            names = ", ".join(TABLES["predictions"])
            cursor = self._execute(f"SELECT {names} FROM predictions WHERE {where}", parameters)  # noqa: S608
            while rows := cursor.fetchmany(CHUNK):
                yield rows

    @property
    def _open(self) -> sqlite3.Connection:
        """The connection, while there is one."""
        if self._connection is None:
            raise StoreUnavailable(f"{self._path}: the store is closed")
        return self._connection

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._open.execute(sql, parameters)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Take the write lock at once; roll back if the block raises."""
        self._open.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._open.execute("COMMIT")
        except BaseException:
            if self._open.in_transaction:
                self._open.execute("ROLLBACK")
            raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except UNFIT as error:
            raise RowsRefused(f"{self._path} cannot take a row: {error}") from error
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self._path}: {error}") from error

    def _make_tables(self) -> None:
        """Make what is missing; where all is there, no lock is taken."""
        found = {name for (name,) in self._execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if found.issuperset(TABLES):
            return
        with self._transaction():
            for table, columns in TABLES.items():
                key, *others = columns.items()
                body = ", ".join([f"{key[0]} TEXT NOT NULL UNIQUE", *(f"{name} {kind}" for name, kind in others)])
                self._execute(f"CREATE TABLE IF NOT EXISTS {table} (seq INTEGER PRIMARY KEY AUTOINCREMENT, {body})")
                self._execute(f"CREATE INDEX IF NOT EXISTS {table}_time ON {table} (time)")

    def _identity(self) -> list[tuple[int, int]]:
        """Which files the path and its write-ahead log are."""
        stats = [os.stat(self._path + end) for end in ("", "-wal")]  # noqa: PTH116 - a third of a Path's time
        return [(stat.st_dev, stat.st_ino) for stat in stats]

    def _check_in_place(self) -> None:
        """SQLite goes on writing into a file that was deleted or replaced, and nobody would ever read it."""
        if self._identity() != self._files:
            raise StoreUnavailable(f"{self._path} was replaced by another file since it was opened")


def _insert_json(table: str, names: Sequence[str], places: Mapping[str, str]) -> str:
    """Write the INSERT of rows that are alike in all columns but some, which come as the last parameter."""
    chosen = ", ".join(places.get(name, "?") for name in names)
    # `WHERE true` tells the parser that ON CONFLICT belongs to the INSERT.
    return (
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {chosen} FROM json_each(?) "  # noqa: S608
        "WHERE true ON CONFLICT DO NOTHING"
    )


def _insert(table: str, names: tuple[str, ...], size: int) -> str:
    """Write the INSERT of `size` rows."""
    key = table, size
    if key not in _INSERTS:
        row = f"({', '.join('?' * len(names))})"
        _INSERTS[key] = (
            f"INSERT INTO {table} ({', '.join(names)}) VALUES {', '.join([row] * size)} ON CONFLICT DO NOTHING"  # noqa: S608
        )
    return _INSERTS[key]


_INSERTS: dict[tuple[str, int], str] = {}
