"""A history as a Parquet file, held in memory; a changed file is read in the background, and replaces it as a whole."""

import datetime as dt
import logging
import threading
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from skline.clock import naive_now
from skline.contract.frames import to_rows
from skline.errors import SklineError
from skline.lookups.store import Found, Key, StoreRequest

if TYPE_CHECKING:
    from skline.lookups.history import History

log = logging.getLogger("skline.lookups")

#: Seconds between two looks at the file.
REFRESH_SECONDS = 2.0
#: What a file's replacement changes: device and inode, size, time of change.
FileState = tuple[int, int, int, int]
_TIME = itemgetter(0)


class ParquetStore:
    """Looks values up in memory.

    Of the rows whose time has come when the file is read, only the newest of each key is kept.

    Parameters
    ----------
    request : StoreRequest
        Its address is the path of the file.
    clock : callable
        Returns the time, UTC without a zone.
    """

    threads = 0

    def __init__(self, request: StoreRequest, clock: Callable[[], dt.datetime] = naive_now) -> None:
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise SklineError(
                f"the look-up {request.name} reads Parquet, which needs pyarrow: add skline[arrow] to the group "
                "`serving` in pyproject.toml"
            ) from None
        self._path = Path(request.require_address("PATH.parquet")).expanduser()
        self._request, self._clock = request, clock
        self._entries: Mapping[Key, Sequence[Found]] | None = None
        self._state: FileState | None = None
        self._stop = threading.Event()
        self._watcher: threading.Thread | None = None

    def open(self) -> None:
        """Read the file, and watch it from now on, unless callers are patient.

        Raises
        ------
        SklineError
            If it cannot be read; it is watched all the same.
        """
        if self._watcher is None and not self._request.patient:
            self._watcher = threading.Thread(target=self._watch, name=f"lookup-{self._request.name}", daemon=True)
            self._watcher.start()
        self.refresh()

    def get(self, keys: Sequence[Key], now: dt.datetime) -> Sequence[Found | None]:
        """Return the newest row of each key whose time has come; SklineError before the file could be read."""
        if self._request.patient:
            self.refresh()
        entries = self._entries
        if entries is None:
            raise SklineError(f"{self._path} has not been read")
        newest = self._request.lookup.newest(now)
        return [_last_until(entries.get(key, ()), newest) for key in keys]

    def close(self) -> None:
        """Stop watching the file."""
        self._stop.set()

    def refresh(self) -> None:
        """Read the file if it was replaced; SklineError if it cannot be read: what was read before stays."""
        state = _state_of(self._path)
        if state == self._state:
            return
        history = self._read()
        self._entries = _by_key(self._request, history, self._request.lookup.newest(self._clock()))
        self._state = state
        log.info("the look-up %s has %s keys from %s", self._request.name, f"{len(self._entries):,}", self._path)

    def _watch(self) -> None:
        """Refresh at intervals; a failure is logged once for each state of the file."""
        failed: FileState | str | None = "none yet"
        while not self._stop.wait(REFRESH_SECONDS):
            try:
                self.refresh()
            except SklineError as error:
                state = self._state_or_none()
                if state != failed:
                    log.error("the look-up %s keeps what it has: %s", self._request.name, error)  # noqa: TRY400
                failed = state

    def _state_or_none(self) -> FileState | None:
        try:
            return _state_of(self._path)
        except SklineError:
            return None

    def _read(self) -> "History":
        """Read the file as the history for training is read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        from skline.lookups.history import columns_to_read, read_history

        name, contract = self._request.name, self._request.contract
        try:
            stored = pq.read_schema(self._path).names
            names = [column for column in columns_to_read(contract, name) if column in stored]
            table = pq.read_table(self._path, columns=names)
        except (OSError, pa.ArrowException) as error:
            raise SklineError(f"{self._path} cannot be read as Parquet: {error}") from error
        return read_history(table, contract, name)


def _by_key(request: StoreRequest, history: "History", newest: dt.datetime) -> Mapping[Key, Sequence[Found]]:
    """Return the rows of each key in the order of time, without those that a later one replaces at `newest`."""
    entries: dict[Key, list[Found]] = {}
    times = history.times.dt.to_pydatetime()
    rows = to_rows(request.contract.columns_of_lookup(request.name).values(), history.values)
    for key, time, values in zip(history.keys.tolist(), times, rows, strict=True):
        kept = entries.setdefault(key, [])
        if time <= newest:
            kept.clear()
        kept.append(Found(time, values))
    return entries


def _last_until(entries: Sequence[Found], newest: dt.datetime) -> Found | None:
    """Return the last entry whose time has come."""
    position = bisect_right(entries, newest, key=_TIME)
    return entries[position - 1] if position else None


def _state_of(path: Path) -> FileState:
    """Return what a replacement of the file changes; SklineError if there is no file."""
    try:
        status = path.stat()
    except OSError as error:
        raise SklineError(
            f"{path} cannot be read ({error.strerror}); set the path of the look-up's Parquet file"
        ) from None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
