"""The logs in a SQLite file in WAL mode: readers and the one writer do not wait for each other.

The file must be on a local disk: WAL shares memory between processes, which network file systems cannot.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from skline.errors import SklineError
from skline.ids import PREDICTION_ID_LENGTH
from skline.logs.records import StoredRow
from skline.logs.request_rows import RequestRows
from skline.logs.schema import TABLES, VERSION_TABLE, TableName
from skline.logs.stores.base import CHUNK_ROWS, RowsRejected, Store, StoreUnavailable

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows of one INSERT. SQLite releases the interpreter's lock once a statement, not once a row; few sizes keep the
#: number of prepared statements small.
INSERT_SIZES = (256, 64, 16, 4, 1)
#: Rows that differ in at most this many columns are inserted as JSON, from this many rows on.
MIN_JSON_ROWS, MAX_JSON_COLUMNS = 32, 6
#: How long to wait for another process's transaction.
BUSY_TIMEOUT_SECONDS = 1.0
#: How long to wait for other processes' transactions until the write-ahead log can be emptied.
ERASE_SECONDS = 10.0
#: The first version with the operators `->` and `->>`, with which rows are inserted from JSON.
MIN_SQLITE = (3, 38, 0)
#: What the driver raises for a value that no column can hold.
VALUE_ERRORS = (
    OverflowError,
    UnicodeError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)


class SqliteStore(Store):
    """The tables in a SQLite file, which is created with its directory if it is missing."""

    _SEQUENCE_TYPE = "INTEGER PRIMARY KEY AUTOINCREMENT"

    def __init__(self, path: str | Path, *, durable: bool = True) -> None:
        check_version(sqlite3.sqlite_version)
        self._path = os.fspath(path)
        self._connection: sqlite3.Connection | None = None
        try:
            with self._translate_errors():
                self._connect("FULL" if durable else "NORMAL")
        except BaseException:
            self.close()
            raise

    def write(self, table: TableName, rows: Sequence[StoredRow]) -> int:
        """Insert rows in one transaction, into the file at the path if it is still the one that was opened."""
        with self._translate_errors():
            before = self._open_connection.total_changes
            with self._transaction():
                if not self._insert_json(table, rows):
                    self._insert(table, rows)
            self._check_file_identity()
            return self._open_connection.total_changes - before

    def write_request(self, rows: RequestRows) -> bool:
        """Insert the predictions of a request from JSON that SQLite parses itself.

        The interpreter's lock is held for a moment only, not while each value is bound.
        """
        columns = tuple(TABLES["predictions"])
        expressions = {
            "prediction_id": f"CAST(substr(?, key * {PREDICTION_ID_LENGTH} + 1, {PREDICTION_ID_LENGTH}) AS TEXT)"
        }
        for index, name in enumerate(rows.columns):
            expressions[name] = f"value {'->>' if name == 'review' else '->'} {index}"
        constants = [value for name, value in zip(columns, rows.shared, strict=True) if name not in expressions]
        sql = _json_insert_sql("predictions", columns, expressions)
        with self._translate_errors():
            # One statement, and so one transaction: each call into SQLite has to wait for the interpreter's lock when
            # it returns.
            self._open_connection.execute(sql, [rows.ids, *constants, rows.text])
            self._check_file_identity()
        return True

    def archive(self, since: int, until: int, save: Callable[[Iterator[list[StoredRow]]], object]) -> int:
        """Read the rows up to the highest `seq` at the start, so that later ones stay; delete in short transactions.

        One long transaction would lock the service's writer out. After an interruption the remaining rows are in both
        places, and the next call archives them again.
        """
        condition = "time >= ? AND time < ?"
        with self._translate_errors():
            query = f"SELECT max(seq) FROM predictions WHERE {condition}"  # noqa: S608
            (last,) = self._execute(query, (since, until)).fetchone()
        if last is None:
            return 0
        save(self._read_chunks(f"{condition} AND seq <= ? ORDER BY time", (since, until, last)))
        return self._delete("predictions", f"{condition} AND seq <= ?", (since, until, last))

    def read_batches(
        self, table: TableName, columns: Sequence[str], since: int | None, until: int | None
    ) -> Iterator["pa.RecordBatch"]:
        """Let SQLite write CSV, CHUNK_ROWS rows at a time, each of them a query of its own as in `read`.

        The interpreter's lock is free meanwhile. A text ends at its first NUL character; JSON and ids have none.
        """
        from pyarrow import BufferReader, csv

        kinds = {name: _kind(table, name) for name in columns}
        types = {name: "string" if kind == "TEXT" else "int64" for name, kind in kinds.items()}
        options = (
            csv.ReadOptions(column_names=list(columns), use_threads=False),
            csv.ParseOptions(quote_char="'", newlines_in_values=True),
            csv.ConvertOptions(
                column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=["NULL"]
            ),
        )
        sql = _csv_sql(table, tuple(columns))
        bounds = (-(2**63) if since is None else since, 2**63 - 1 if until is None else until)
        last = 0
        while True:
            with self._translate_errors():
                rows, last_read, text = self._execute(sql, (last, *bounds)).fetchone()
            if rows:
                options[0].block_size = len(text) + 1  # a block holds whole rows
                yield from csv.read_csv(BufferReader(text), *options).to_batches()
                last = last_read
            if rows < CHUNK_ROWS:
                return

    def erase_deleted(self) -> None:
        """Empty the write-ahead log, which still holds old pages; in the file itself deletion wrote zeros.

        A checkpoint does not pass pages that an open transaction of another connection may read: it is tried again for
        ERASE_SECONDS.
        """
        deadline = time.monotonic() + ERASE_SECONDS
        while True:
            with self._translate_errors():
                busy, _, _ = self._execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"{self._path}: the rows are deleted, but its files still hold copies of them, because another "
                    "connection has been reading the database; end it, and repeat the command"
                )
            time.sleep(0.1)

    def close(self) -> None:
        """Close the connection; never raises."""
        if self._connection is not None:
            with suppress(sqlite3.Error):  # no transaction is open
                self._connection.close()
            self._connection = None

    def _connect(self, synchronous: str) -> None:
        """Open the file, prepare its schema, and remember the file's identity."""
        Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(
            self._path,
            timeout=BUSY_TIMEOUT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=64,
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(f"PRAGMA synchronous = {synchronous}")
        # Deleted bytes are overwritten with zeros: `skline log forget` promises that they are gone.
        self._connection.execute("PRAGMA secure_delete = ON")
        self._prepare_schema()
        self._identity = self._file_identity()

    def _insert(self, table: TableName, rows: Sequence[StoredRow]) -> None:
        """Insert rows, many in a statement."""
        start = 0
        for size in INSERT_SIZES:
            while len(rows) - start >= size:
                values = [value for row in rows[start : start + size] for value in row]
                self._open_connection.execute(_insert_sql(table, size), values)
                start += size

    def _insert_json(self, table: TableName, rows: Sequence[StoredRow]) -> bool:
        """Insert rows that differ in few columns from one JSON text; False if they differ in too many.

        SQLite parses the text without the interpreter's lock, which is held while values are bound one by one. With
        many differing columns that takes longer than binding.
        """
        if len(rows) < MIN_JSON_ROWS:
            return False
        values = list(zip(*rows, strict=True))
        differing = [index for index, column in enumerate(values) if column.count(column[0]) < len(rows)]
        if len(differing) > MAX_JSON_COLUMNS:
            return False
        columns = tuple(TABLES[table])
        constants = [values[index][0] for index in range(len(columns)) if index not in differing]
        try:
            text = orjson.dumps(list(zip(*(values[index] for index in differing), strict=True))).decode()
        except TypeError:
            return False  # not representable as JSON; binding the value decides whether SQLite can store it
        expressions = {columns[index]: f"value ->> {number}" for number, index in enumerate(differing)}
        self._open_connection.execute(_json_insert_sql(table, columns, expressions), [*constants, text])
        return True

    def _read_chunks(self, condition: str, parameters: Sequence[Any]) -> Iterator[list[StoredRow]]:
        """Yield predictions as of one moment, at most CHUNK_ROWS at a time."""
        with self._translate_errors():
            columns = ", ".join(TABLES["predictions"])
            cursor = self._execute(f"SELECT {columns} FROM predictions WHERE {condition}", parameters)  # noqa: S608
            while rows := cursor.fetchmany(CHUNK_ROWS):
                yield rows

    def _file_identity(self) -> list[tuple[int, int]]:
        """Return device and inode of the database file and its write-ahead log."""
        stats = [os.stat(self._path + suffix) for suffix in ("", "-wal")]  # noqa: PTH116 - a third of Path.stat's time
        return [(stat.st_dev, stat.st_ino) for stat in stats]

    def _check_file_identity(self) -> None:
        """Raise StoreUnavailable if the file was deleted or replaced; SQLite would go on writing to the old one."""
        if self._file_identity() != self._identity:
            raise StoreUnavailable(f"{self._path} was replaced by another file since it was opened")

    @property
    def _name(self) -> str:
        return self._path

    @property
    def _open_connection(self) -> sqlite3.Connection:
        """The connection; raises StoreUnavailable if it is closed."""
        if self._connection is None:
            raise StoreUnavailable(f"{self._path}: the store is closed")
        return self._connection

    def _existing_tables(self) -> set[str]:
        names = {name for (name,) in self._execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return names & {*TABLES, VERSION_TABLE}

    def _lock_schema(self) -> AbstractContextManager[None]:
        return self._transaction()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Take the write lock at once; roll back if the block raises."""
        self._execute("BEGIN IMMEDIATE")
        try:
            yield
            self._execute("COMMIT")
        except BaseException:
            if self._open_connection.in_transaction:
                self._execute("ROLLBACK")
            raise

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._open_connection.execute(sql, parameters)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except VALUE_ERRORS as error:
            raise RowsRejected(f"{self._path} cannot store a row: {error}") from error
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self._path}: {error}") from error


def check_version(version: str) -> None:
    """Raise SklineError if a version of SQLite, such as "3.37.2", lacks what the store needs."""
    if tuple(int(part) for part in version.split(".")) < MIN_SQLITE:
        required = ".".join(map(str, MIN_SQLITE))
        raise SklineError(
            f"the prediction log needs SQLite {required} or later, and this Python has {version}; use another Python, "
            "such as that of uv, or set SKLINE_LOG__DATABASE to a PostgreSQL database"
        )


def _json_insert_sql(table: TableName, columns: Sequence[str], expressions: Mapping[str, str]) -> str:
    """Return the INSERT of rows that share all values but those of `expressions`; the last parameter is their JSON."""
    values = ", ".join(expressions.get(name, "?") for name in columns)
    # Without WHERE the parser takes ON CONFLICT for a part of the join, see "Parsing Ambiguity" in SQLite's INSERT.
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM json_each(?) "  # noqa: S608
        "WHERE true ON CONFLICT DO NOTHING"
    )


@cache
def _csv_sql(table: TableName, columns: Sequence[str]) -> str:
    """Return the query of the next rows as CSV: how many, the highest `seq`, and the text with a line for each.

    `%Q` writes a text in single quotes, those in it doubled, and NULL for a null. One call of printf takes half of the
    time that as many `||` take.
    """
    rows = (
        f"SELECT seq, {', '.join(columns)} FROM {table} WHERE seq > ? AND time >= ? AND time < ? "  # noqa: S608
        f"ORDER BY seq LIMIT {CHUNK_ROWS}"
    )
    line = f"printf('{','.join(['%Q'] * len(columns))}', {', '.join(columns)})"
    return f"SELECT count(*), max(seq), CAST(group_concat({line}, char(10)) AS BLOB) FROM ({rows})"  # noqa: S608


def _kind(table: TableName, column: str) -> str:
    """Return the type of a column, or of `seq`."""
    return TABLES[table].get(column, "BIGINT")


@cache
def _insert_sql(table: TableName, size: int) -> str:
    """Return the INSERT of `size` rows."""
    columns = TABLES[table]
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * size)} ON CONFLICT DO NOTHING"  # noqa: S608
