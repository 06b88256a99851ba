"""A connection to the logs: what SQLite and PostgreSQL have in common, and the schema's creation and migration."""

import abc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

from skline.clock import now_us
from skline.errors import SklineError
from skline.logs.records import StoredRow
from skline.logs.request_rows import RequestRows
from skline.logs.schema import (
    INDEXES,
    SCHEMA_VERSION,
    TABLES,
    UNVERSIONED,
    UNVERSIONED_COLUMNS,
    VERSION_TABLE,
    TableName,
    migrations_since,
)

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows that are read or deleted at a time.
CHUNK_ROWS = 20_000
#: Prediction ids in one statement.
CHUNK_IDS = 500


class StoreUnavailable(SklineError):
    """The database cannot be used now. The same rows may be written again later, and are never stored twice."""


class UnsupportedSchema(StoreUnavailable):
    """The database was written by a newer version, or holds tables of another application."""


class RowsRejected(SklineError):
    """The database works, but a row holds a value that it can never store."""


class TableSummary(NamedTuple):
    """The number of rows of a table, and the first and last of their times (microseconds since 1970, UTC)."""

    rows: int
    first: int | None
    last: int | None


class Store(abc.ABC):
    """A connection to the tables of the logs, for one thread at a time.

    Every method raises StoreUnavailable if the database cannot be reached, is locked, full or damaged.
    """

    #: Type of the column `seq`, which numbers rows in the order of their arrival.
    _SEQUENCE_TYPE: str

    @abc.abstractmethod
    def write(self, table: TableName, rows: Sequence[StoredRow]) -> int:
        """Insert rows in one transaction, without those whose key is stored already; return how many are new.

        Raises
        ------
        RowsRejected
            If one of the rows can never be stored; then none is inserted.
        """

    def write_request(self, rows: RequestRows) -> bool:  # noqa: ARG002 - for stores that override it
        """Insert the predictions of a request as `write` does; False if this store has no fast path for them."""
        return False

    @abc.abstractmethod
    def archive(self, since: int, until: int, save: Callable[[Iterator[list[StoredRow]]], object]) -> int:
        """Pass the predictions of since ≤ time < until to `save`, then delete exactly those; return their number."""

    @abc.abstractmethod
    def erase_deleted(self) -> None:
        """Physically remove deleted rows, as far as possible while the database is in use.

        Raises
        ------
        StoreUnavailable
            If another connection prevents it; the call can be repeated.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Close the connection; never raises."""

    def read(self, table: TableName, since: int | None = None, until: int | None = None) -> Iterator[list[StoredRow]]:
        """Yield the rows of since ≤ time < until in the order of their arrival, at most CHUNK_ROWS at a time.

        Each chunk is a query of its own, because a long read transaction would hinder the writer.
        """
        condition = ("" if since is None else " AND time >= ?") + ("" if until is None else " AND time < ?")
        bounds = [bound for bound in (since, until) if bound is not None]
        yield from self._read_chunks_of(table, list(TABLES[table]), condition, bounds)

    def find(
        self, table: TableName, column: str, values: Sequence[str], columns: Sequence[str] | None = None
    ) -> Iterator[list[StoredRow]]:
        """Yield the rows whose `column` has one of the values, by default with all columns of the table.

        The rows of each CHUNK_IDS values come in the order of their arrival, at most CHUNK_ROWS at a time.
        """
        names = list(TABLES[table]) if columns is None else list(columns)
        for start in range(0, len(values), CHUNK_IDS):
            chunk = values[start : start + CHUNK_IDS]
            condition = f" AND {column} IN ({', '.join('?' * len(chunk))})"
            yield from self._read_chunks_of(table, names, condition, chunk)

    def _read_chunks_of(
        self, table: TableName, columns: Sequence[str], condition: str, parameters: Sequence[str | int]
    ) -> Iterator[list[StoredRow]]:
        """Yield columns of the rows that satisfy a condition (" AND …") in the order of their arrival, in chunks."""
        last = 0
        while True:
            with self._translate_errors():
                rows: list[StoredRow] = self._execute(
                    f"SELECT seq, {', '.join(columns)} FROM {table} WHERE seq > ?{condition} "  # noqa: S608
                    f"ORDER BY seq LIMIT {CHUNK_ROWS}",
                    (last, *parameters),
                ).fetchall()
            if rows:
                yield [row[1:] for row in rows]
                last = int(rows[-1][0] or 0)
            if len(rows) < CHUNK_ROWS:
                return

    @abc.abstractmethod
    def read_batches(
        self, table: TableName, columns: Sequence[str], since: int | None, until: int | None
    ) -> Iterator["pa.RecordBatch"]:
        """Yield columns, or `seq`, of the rows of since ≤ time < until as Arrow batches, in any order.

        No Python object is made for a value, so that this takes less than half of the time of `read`. Needs pyarrow,
        which the service does not have.

        Raises
        ------
        StoreUnavailable
            As every method; SklineError if a library is missing, and pyarrow.ArrowInvalid if a value is not of its
            column's type.
        """

    def summarize(self, table: TableName) -> TableSummary:
        """Count the rows of a table, and find their first and last time."""
        with self._translate_errors():
            return TableSummary(*self._execute(f"SELECT count(*), min(time), max(time) FROM {table}").fetchone())  # noqa: S608

    def pending_reviews(self, limit: int) -> list[dict[str, Any]]:
        """Return predictions that were selected for review and have no label yet, the oldest first, by column."""
        columns = ("prediction_id", "time", "model_version", "review", "inputs", "prediction", "probabilities")
        with self._translate_errors():
            rows = self._execute(
                f"SELECT {', '.join(columns)} FROM predictions p WHERE review > 0 AND NOT EXISTS "  # noqa: S608
                "(SELECT 1 FROM labels l WHERE l.prediction_id = p.prediction_id) ORDER BY seq LIMIT ?",
                (limit,),
            ).fetchall()
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def known_predictions(self, prediction_ids: Sequence[str]) -> set[str]:
        """Return those of `prediction_ids` that are in the database."""
        known: set[str] = set()
        for start in range(0, len(prediction_ids), CHUNK_IDS):
            chunk = prediction_ids[start : start + CHUNK_IDS]
            marks = ", ".join("?" * len(chunk))
            with self._translate_errors():
                rows = self._execute(f"SELECT prediction_id FROM predictions WHERE prediction_id IN ({marks})", chunk)  # noqa: S608
                known.update(str(row[0]) for row in rows.fetchall())
        return known

    def earliest_before(self, time: int) -> int | None:
        """Return the earliest time of a prediction before `time`, or None if there is none."""
        with self._translate_errors():
            sql = "SELECT min(time) FROM predictions WHERE time < ?"
            earliest: int | None = self._execute(sql, (time,)).fetchone()[0]
        return earliest

    def delete_before(self, table: TableName, time: int) -> int:
        """Delete the rows that are older than `time`; return their number."""
        return self._delete(table, "time < ?", (time,))

    def delete_entity(self, entity_hash: str, prediction_ids: Sequence[str]) -> tuple[int, int]:
        """Delete an entity's predictions, its labels, and the labels of its predictions and of `prediction_ids`.

        Parameters
        ----------
        entity_hash : str
        prediction_ids : sequence of str
            Further predictions of the entity, which are not in the database.

        Returns
        -------
        tuple of (int, int)
            The numbers of deleted predictions and labels.
        """
        with self._translate_errors():
            rows = self._execute("SELECT prediction_id FROM predictions WHERE entity = ?", (entity_hash,)).fetchall()
        labels = self._delete("labels", "entity = ?", (entity_hash,))
        ids = [*prediction_ids, *(row[0] for row in rows)]
        for start in range(0, len(ids), CHUNK_IDS):
            chunk = ids[start : start + CHUNK_IDS]
            labels += self._delete("labels", f"prediction_id IN ({', '.join('?' * len(chunk))})", chunk)
        return self._delete("predictions", "entity = ?", (entity_hash,)), labels

    def _delete(self, table: TableName, condition: str, parameters: Sequence[Any]) -> int:
        """Delete rows, CHUNK_ROWS in a transaction, because a long transaction would block the writer."""
        deleted = 0
        chunk = f"SELECT seq FROM {table} WHERE {condition} LIMIT {CHUNK_ROWS}"  # noqa: S608
        while True:
            with self._translate_errors():
                count = int(self._execute(f"DELETE FROM {table} WHERE seq IN ({chunk})", parameters).rowcount)  # noqa: S608
            deleted += count
            if count < CHUNK_ROWS:
                return deleted

    def _prepare_schema(self) -> None:
        """Create the tables, or migrate them to SCHEMA_VERSION; takes no lock if they are current.

        One transaction does all of it, so that a process that is killed leaves the old schema or the new one.
        """
        if self._is_current(self._existing_tables()):
            return
        with self._lock_schema():
            tables = self._existing_tables()
            if self._is_current(tables):
                return  # another process was faster
            version = self._schema_version(tables)
            for migration in migrations_since(version) if version else []:
                for table, statement in migration.statements:
                    if table in tables:
                        self._execute(statement)
            for table, columns in TABLES.items():
                if table not in tables:
                    self._create_table(table, columns)
            if VERSION_TABLE not in tables:
                self._execute(f"CREATE TABLE {VERSION_TABLE} (version INTEGER PRIMARY KEY, time BIGINT NOT NULL)")
            if version != SCHEMA_VERSION:
                self._execute(f"INSERT INTO {VERSION_TABLE} (version, time) VALUES (?, ?)", (SCHEMA_VERSION, now_us()))  # noqa: S608

    def _is_current(self, tables: set[str]) -> bool:
        """Return whether all tables exist in the version of this code."""
        return tables.issuperset((*TABLES, VERSION_TABLE)) and self._schema_version(tables) == SCHEMA_VERSION

    def _schema_version(self, tables: set[str]) -> int:
        """Return the version of the existing tables, 0 if there are none.

        Raises
        ------
        UnsupportedSchema
            If the version is newer than this code, or the tables are not those of the logs.
        """
        if VERSION_TABLE in tables:
            version = int(self._execute(f"SELECT max(version) FROM {VERSION_TABLE}").fetchone()[0])  # noqa: S608
            if version > SCHEMA_VERSION:
                raise UnsupportedSchema(
                    f"{self._name}: the prediction log has schema version {version}, and this version of skline "
                    f"supports at most {SCHEMA_VERSION}; upgrade skline, or set another SKLINE_LOG__DATABASE"
                )
            return version
        log_tables = [table for table in UNVERSIONED_COLUMNS if table in tables]
        for table in log_tables:
            columns = {column[0] for column in self._execute(f"SELECT * FROM {table} LIMIT 0").description}  # noqa: S608
            if columns - {"seq"} != UNVERSIONED_COLUMNS[table]:
                raise UnsupportedSchema(
                    f"{self._name}: the table {table} is not one of a prediction log (its columns are "
                    f"{', '.join(sorted(columns))}); set another SKLINE_LOG__DATABASE"
                )
        return UNVERSIONED if log_tables else 0

    def _create_table(self, table: TableName, columns: dict[str, str]) -> None:
        """Create a table in the current layout."""
        key, *others = columns.items()
        definitions = ", ".join([f"{key[0]} TEXT NOT NULL UNIQUE", *(f"{name} {kind}" for name, kind in others)])
        self._execute(f"CREATE TABLE {table} (seq {self._SEQUENCE_TYPE}, {definitions})")
        for name, (indexed_table, definition) in INDEXES.items():
            if indexed_table == table:
                self._execute(f"CREATE INDEX {name} ON {table} {definition}")

    @property
    @abc.abstractmethod
    def _name(self) -> str:
        """Name of the database in messages, without a password."""

    @abc.abstractmethod
    def _existing_tables(self) -> set[str]:
        """Return which of TABLES and VERSION_TABLE exist."""

    @abc.abstractmethod
    def _lock_schema(self) -> AbstractContextManager[None]:
        """Begin a transaction that no other process can run at the same time; commit it, or roll back on errors."""

    @abc.abstractmethod
    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Run one statement with parameters written `?`, in its own transaction if none is open; return the cursor."""

    @abc.abstractmethod
    def _translate_errors(self) -> AbstractContextManager[None]:
        """Translate the driver's exceptions to StoreUnavailable and RowsRejected."""
