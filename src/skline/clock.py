"""The time that skline stamps and judges by: the machine's, or the simulated clock of a replay.

Every time that is stored or compared with a stored one comes from here: those of predictions, labels, windows,
decisions, releases and registered versions. With the environment variable SKLINE_SIMULATED_CLOCK all processes of a
replay read the same file instead. Timeouts, rate limits, the validity of API keys, and MLflow's own times of runs are
always the machine's.
"""

import datetime as dt
import mmap
import os
import time
from functools import cache
from pathlib import Path

from skline.errors import SklineError

VARIABLE = "SKLINE_SIMULATED_CLOCK"
#: The clock's file holds one integer: microseconds since 1970, UTC, in the byte order of the machine.
SIZE_BYTES = 8
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)


class SimulatedClock:
    """A clock in a file, which one process advances and others read, without a system call.

    Parameters
    ----------
    path : Path
        A file that `create` made.
    writable : bool
        Whether this process advances it.

    Raises
    ------
    SklineError
        If there is no such file, or it is not a clock.
    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        try:
            with path.open("r+b" if writable else "rb") as file:
                access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
                self._bytes = mmap.mmap(file.fileno(), 0, access=access)
        except (OSError, ValueError) as error:  # ValueError: an empty file
            raise SklineError(
                f"{VARIABLE} is {path}, which cannot be read as a clock ({error}); `skline replay` sets it, and "
                "nothing else should"
            ) from None
        if len(self._bytes) != SIZE_BYTES:
            raise SklineError(f"{path} has {len(self._bytes)} bytes, and a simulated clock has {SIZE_BYTES}")
        self._value = memoryview(self._bytes).cast("q")

    @classmethod
    def create(cls, path: Path, start: dt.datetime) -> "SimulatedClock":
        """Create the file of a clock that shows `start`, and open it to advance it; an existing one goes on."""
        if not path.exists():
            from skline.files import write_bytes

            write_bytes(path, memoryview(bytearray(SIZE_BYTES)).tobytes())
        clock = cls(path, writable=True)
        clock.advance(start)
        return clock

    def now_us(self) -> int:
        """Return the time it shows, in microseconds since 1970, UTC."""
        return self._value[0]

    def now(self) -> dt.datetime:
        """Return the time it shows, UTC."""
        return EPOCH + self.now_us() * MICROSECOND

    def advance(self, moment: dt.datetime) -> None:
        """Show a later time; an earlier one changes nothing, so that the clock never goes back."""
        self._value[0] = max(self._value[0], (moment - EPOCH) // MICROSECOND)


@cache
def simulated_clock() -> SimulatedClock | None:
    """Return the simulated clock that the environment names; None for the machine's. It is opened once."""
    path = os.environ.get(VARIABLE)
    return SimulatedClock(Path(path)) if path else None


def now_us() -> int:
    """Return the current time in microseconds since 1970, UTC."""
    clock = simulated_clock()
    return time.time_ns() // 1000 if clock is None else clock.now_us()


def now() -> dt.datetime:
    """Return the current time, UTC, to the microsecond."""
    return EPOCH + now_us() * MICROSECOND


def naive_now() -> dt.datetime:
    """Return the current time, UTC without a zone, as the contract's columns hold times."""
    return now().replace(tzinfo=None)


def to_utc(moment: dt.date) -> dt.datetime:
    """Convert a date (its midnight) or a datetime to UTC; without a zone it is UTC."""
    if not isinstance(moment, dt.datetime):
        return dt.datetime(moment.year, moment.month, moment.day, tzinfo=dt.UTC)
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


def naive_utc(moment: dt.datetime) -> dt.datetime:
    """Convert a time to UTC without a zone, as the contract's columns hold times; without a zone it is UTC."""
    return to_utc(moment).replace(tzinfo=None)
