"""What a store of the logs does, the same for SQLite and PostgreSQL; each says how it connects, writes and moves."""

import abc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple

from skline.errors import SklineError
from skline.logs.answered import Answered
from skline.logs.records import LABELS, PREDICTIONS, Row
from skline.logs.settings import LogSettings

#: The tables and their columns; both are the program's own words, so they may stand in SQL as they are.
TABLES: dict[str, dict[str, str]] = {"predictions": PREDICTIONS, "labels": LABELS}
Table = Literal["predictions", "labels"]
#: Rows read or deleted at a time.
CHUNK = 20_000


class StoreUnavailable(SklineError):
    """The store cannot be reached or written now; the same rows may be tried again, and are never doubled."""


class RowsRefused(SklineError):
    """The store works, but a row holds something it can never take."""


class Count(NamedTuple):
    """How many rows a table has, and the first and last of their times (microseconds since 1970)."""

    rows: int
    first: int | None
    last: int | None


class Store(abc.ABC):
    """A connection to the two tables, to be used by one thread at a time.

    Every method raises StoreUnavailable when the store cannot be reached, is locked, full or broken.
    """

    @abc.abstractmethod
    def write(self, table: Table, rows: Sequence[Row]) -> int:
        """Insert rows in one transaction and return how many are new; those whose id is there are left out.

        RowsRefused if the store can never take one of them; then none is inserted.
        """

    @abc.abstractmethod
    def take(self, since: int, until: int, keep: Callable[[Iterator[list[Row]]], object]) -> int:
        """Hand the predictions of since ≤ time < until to `keep`, then delete exactly those; return their number."""

    @abc.abstractmethod
    def erase(self) -> None:
        """See to it that the bytes of deleted rows go, as far as the store can while others use it."""

    @abc.abstractmethod
    def close(self) -> None:
        """End the connection; never raises."""

    def write_answered(self, answered: Answered) -> bool:  # noqa: ARG002 - see the docstring
        """Insert the predictions of a request as `write` does; False if this store has no better way than `write`."""
        return False

    @abc.abstractmethod
    def _told(self) -> AbstractContextManager[None]:
        """Turn the driver's exceptions into the two of this module."""

    @abc.abstractmethod
    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Run one statement in a transaction of its own; its parameters are written `?`. Returns the cursor."""

    def read(self, table: Table, since: int | None = None, until: int | None = None) -> Iterator[list[Row]]:
        """Yield rows of since ≤ time < until in the order of arrival, CHUNK at a time.

        A page at a time by the row's number, so that no long transaction stands in the way of the writer.
        """
        names = ", ".join(TABLES[table])
        last = 0
        while True:
            with self._told():
                rows: list[Row] = self._execute(
                    f"SELECT seq, {names} FROM {table} WHERE seq > ?{_within(since, until)} ORDER BY seq LIMIT {CHUNK}",  # noqa: S608
                    (last, *(moment for moment in (since, until) if moment is not None)),
                ).fetchall()
            if rows:
                yield [row[1:] for row in rows]
                last = int(rows[-1][0] or 0)
            if len(rows) < CHUNK:
                return

    def count(self, table: Table) -> Count:
        """Count the rows of a table."""
        with self._told():
            return Count(*self._execute(f"SELECT count(*), min(time), max(time) FROM {table}").fetchone())  # noqa: S608

    def to_review(self, limit: int) -> list[dict[str, Any]]:
        """Predictions that were sent to review and have no label yet, the oldest first, by column."""
        names = ("prediction_id", "time", "model_version", "review", "inputs", "prediction", "probabilities")
        with self._told():
            rows = self._execute(
                f"SELECT {', '.join(names)} FROM predictions p WHERE review > 0 AND NOT EXISTS "  # noqa: S608
                "(SELECT 1 FROM labels l WHERE l.prediction_id = p.prediction_id) ORDER BY seq LIMIT ?",
                (limit,),
            ).fetchall()
        return [dict(zip(names, row, strict=True)) for row in rows]

    def first_before(self, moment: int) -> int | None:
        """The earliest time of a prediction before `moment`; None if there is none."""
        with self._told():
            found: tuple[int | None] = self._execute(
                "SELECT min(time) FROM predictions WHERE time < ?", (moment,)
            ).fetchone()
        return found[0]

    def delete_before(self, table: Table, moment: int) -> int:
        """Delete the rows of time < moment; return how many there were."""
        return self._delete(table, "time < ?", (moment,))

    def forget(self, entity: str, prediction_ids: Sequence[str]) -> tuple[int, int]:
        """Delete an entity's predictions, and the labels of the entity, of those and of `prediction_ids`.

        Returns
        -------
        The numbers of predictions and of labels that were deleted.
        """
        with self._told():
            found = self._execute("SELECT prediction_id FROM predictions WHERE entity = ?", (entity,)).fetchall()
        labels = self._delete("labels", "entity = ?", (entity,))
        ids = [*prediction_ids, *(row[0] for row in found)]
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            labels += self._delete("labels", f"prediction_id IN ({', '.join('?' * len(some))})", some)
        return self._delete("predictions", "entity = ?", (entity,)), labels

    def _delete(self, table: Table, where: str, parameters: Sequence[Any]) -> int:
        """Delete rows CHUNK at a time, each in a transaction of its own: a long one would keep the writer waiting."""
        deleted = 0
        chosen = f"SELECT seq FROM {table} WHERE {where} LIMIT {CHUNK}"  # noqa: S608
        while True:
            with self._told():
                some = int(self._execute(f"DELETE FROM {table} WHERE seq IN ({chosen})", parameters).rowcount)  # noqa: S608
            deleted += some
            if some < CHUNK:
                return deleted


def open_store(settings: LogSettings, *, durable: bool = True) -> Store:
    """Connect to the store of the settings, and make its tables if they are not there.

    `durable`: whether a commit of SQLite waits for the disk; otherwise a power failure, though no crash of the
    process, may take the last of them.
    """
    if settings.is_postgres:
        from skline.logs.postgres import PostgresStore

        return PostgresStore(settings.database)
    from skline.logs.sqlite import SqliteStore

    return SqliteStore(settings.database, durable=durable)


def _within(since: int | None, until: int | None) -> str:
    """Write the bounds on time as SQL."""
    return ("" if since is None else " AND time >= ?") + ("" if until is None else " AND time < ?")
