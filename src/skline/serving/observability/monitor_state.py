"""The newest state of `skline monitor` for /metrics: its textfile, checked and cached.

The file is written by another process, and perhaps mounted from another machine: a file that is damaged, missing, huge
or slow to read must not break a scrape, or delay it or predictions.
"""

import asyncio
import logging
import math
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from skline.throttled_logger import ThrottledLogger

log = logging.getLogger("skline.serving")

#: A state of 1,000 columns has 100 kB; parsing this much takes a quarter of a second, in a thread.
MAX_BYTES = 2**20
#: A scrape waits this long for a changed file; after that it exports the earlier state.
WAIT_SECONDS = 1.0
PREFIX = "skline_monitor_"
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)


class MonitorStateCollector(Collector):
    """Yields the metrics of the textfile at a path as they were at the last refresh; nothing if they cannot be read.

    Attributes
    ----------
    failures : int
        Refreshes that could not read the file, and changes after which it was damaged. A missing file is no failure.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._families: list[Metric] = []
        self._signature: tuple[int, ...] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._logger = ThrottledLogger(log)
        self.failures = 0

    @property
    def is_exported(self) -> bool:
        """Whether a state is exported."""
        return bool(self._families)

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        yield from self._families

    async def refresh(self) -> None:
        """Read the file in a thread if it has changed; wait WAIT_SECONDS at most. One thread at a time reads."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(asyncio.to_thread(self.read))
        await asyncio.wait({self._refreshing}, timeout=WAIT_SECONDS)

    def read(self) -> None:
        """Read the file if it has changed; never raises."""
        try:
            found = self._path.stat()
            signature = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
            if signature == self._signature:
                return
            self._signature = signature
            if not stat.S_ISREG(found.st_mode):
                raise ValueError("it is no file")  # noqa: TRY301 - one place reports what is wrong
            with self._path.open("rb") as file:
                self._families = parse_state(file.read(MAX_BYTES + 1))
        except FileNotFoundError:
            self._families, self._signature = [], None
        except Exception as error:  # noqa: BLE001 - prometheus_client's parser raises anything on damaged text
            self._families = []
            self.failures += 1
            if isinstance(error, OSError):  # the next refresh reads it again
                self._signature = None
            reason = str(error) if isinstance(error, ValueError | OSError) else type(error).__name__
            self._logger.log(logging.WARNING, f"/metrics lacks the state of monitoring: {self._path}: {reason}"[:500])


def parse_state(content: bytes) -> list[Metric]:
    """Parse a textfile of `skline monitor`.

    Raises
    ------
    ValueError
        If it is too large, or holds anything but gauges and counters whose names begin with PREFIX, each sample once.
        prometheus_client may raise other exceptions for damaged text.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes")
    if not content.endswith(b"\n"):
        raise ValueError("it does not end with a line feed: it was truncated")
    families = list(text_string_to_metric_families(content.decode()))
    seen = set()
    for family in families:
        if (
            family.type not in ("gauge", "counter")
            or not family.name.startswith(PREFIX)
            or not NAME.fullmatch(family.name)
        ):
            raise ValueError(f"{family.name[:80]!r} is no gauge or counter of monitoring")
        name = f"{family.name}_total" if family.type == "counter" else family.name
        for sample in family.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            if sample.name != name or key in seen or not all(map(NAME.fullmatch, sample.labels)):
                raise ValueError(f"a sample of {family.name} occurs twice, or has another name or an invalid label")
            if sample.timestamp is not None or not math.isfinite(sample.value):
                raise ValueError(f"a sample of {family.name} has a time, or is no finite number")
            seen.add(key)
    if len({family.name for family in families}) < len(families):
        raise ValueError("a family occurs twice")
    return families
