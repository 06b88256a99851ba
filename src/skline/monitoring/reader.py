"""Periods of the log: their counts and their rows, from the tables that `log_tables` fills when the log is opened.

The tables are in memory and in a temporary folder, within a limit. The folder is next to the log, where there is room,
and where the next run finds the files of a killed one.
"""

import datetime as dt
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import numpy as np
import pyarrow as pa

from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.logs.read import require_log
from skline.logs.records import to_us
from skline.logs.settings import LogSettings
from skline.monitoring.json_columns import JsonColumns
from skline.monitoring.log_tables import LogTables, Period, between
from skline.monitoring.rows import JSON_TYPES, LoggedRows, SampledRows, logged_column

TEMPORARY_PREFIX = ".monitor-"
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class Summary:
    """Counts of all rows of a period, which is not sampled."""

    rows: int
    broken: int
    reviewed: int
    conflicting_labels: int
    by_path: dict[str, int]
    by_version: dict[str, int]
    by_digest: dict[str, int]
    latency_ms: dict[str, float]


class LogReader:
    """Reads the log of some periods; a context manager, because it keeps temporary files.

    Parameters
    ----------
    settings : LogSettings
    contract : Contract
        Of the artifact, by which inputs and predictions are read.
    periods : sequence of Period
        The periods whose rows can be read.
    asof : datetime
        Labels that arrived later are ignored.
    counted : sequence of Period
        Further periods whose rows can be counted.
    max_rows : int
        Rows of a period that are read, about; of a larger period they are a sample.
    memory_mb : int
        Limit of the memory of the query engine, in MB.

    Raises
    ------
    SklineError
        If there is no log, or it cannot be read.
    """

    def __init__(
        self, settings: LogSettings, contract: Contract, periods: Sequence[Period], asof: dt.datetime,
        counted: Sequence[Period] = (), max_rows: int = 100_000, memory_mb: int = 1_024,
    ) -> None:  # fmt: skip
        self._contract = contract
        self._columns = _logged_columns(settings, contract)
        bounds = sorted({moment for each in (*periods, *counted) for moment in (each.since, each.until)})
        require_log(settings)
        settings.folder.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=settings.folder)
        self._db = duckdb.connect(config={"memory_limit": f"{memory_mb}MB", "temp_directory": self._folder.name})
        self._rows: SampledRows | None = None
        try:
            with _translate_errors():
                self._db.execute("SET TimeZone = 'UTC'")
                self._tables = LogTables(self._db, periods, bounds, max_rows)
                self._limits = self._tables.load(settings, asof, Path(self._folder.name))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Delete the temporary files."""
        self.close()

    def close(self) -> None:
        """Delete the temporary files."""
        self._db.close()
        self._folder.cleanup()

    def count(self, period: Period) -> int:
        """Count the predictions of a period, without those of shadow scoring and of `skline compare`."""
        with _translate_errors():
            return self._tables.count(period)

    def summarize(self, period: Period) -> Summary:
        """Count the predictions of a period by several columns."""
        groups = self._fetch(
            "SELECT scoring_path, model_version, artifact_digest, sum(rows), sum(reviewed) FROM counts "  # noqa: S608
            f"WHERE {self._tables.slots(period)} AND NOT by_latency GROUP BY ALL"
        )
        counts: list[Counter[str]] = [Counter(), Counter(), Counter()]
        for *values, rows, _ in groups:
            for counter, value in zip(counts, values, strict=True):
                counter[value or ""] += int(rows)
        by_path, by_version, by_digest = (dict(sorted(each.items())) for each in counts)
        ((conflicting,),) = self._fetch(f"SELECT count(*) FROM conflicting p WHERE {between(period)}")  # noqa: S608
        ((broken,),) = self._fetch(f"SELECT count(*) FROM sampled p WHERE {between(period)} AND NOT valid")  # noqa: S608
        return Summary(
            rows=sum(int(group[-2]) for group in groups),
            broken=int(broken),
            reviewed=sum(int(group[-1]) for group in groups),
            conflicting_labels=int(conflicting),
            by_path=by_path,
            by_version=by_version,
            by_digest=by_digest,
            latency_ms=self._latency_ms(period),
        )

    def read(self, period: Period) -> LoggedRows:
        """Read the predictions of one of the periods with their labels, at most about `max_rows`.

        Raises
        ------
        SklineError
            If they cannot be read, such as within the limit of the memory.
        """
        if self._rows is None:
            with _translate_errors():
                self._rows = self._read_sampled()
        return self._rows.select(to_us(period.since), to_us(period.until), self._limits[period], period.labelled)

    def _read_sampled(self) -> SampledRows:
        """Read the rows of `sampled`, in the order of time."""
        types = {column.name: JSON_TYPES.get(column.kind, "VARCHAR") for column in self._columns}
        inputs = JsonColumns("inputs", types)
        probabilities = JsonColumns("probabilities", dict.fromkeys(self._contract.class_names or (), "DOUBLE"))
        parsed = "".join(f", {each}" for each in (*inputs.expressions, *probabilities.expressions))
        table = self._db.sql(
            f"SELECT time, arm, artifact_digest, entity, prediction, review, bucket, label{parsed} "  # noqa: S608
            "FROM sampled WHERE valid ORDER BY time, prediction_id"
        ).to_arrow_table()
        columns = {column.name: column for column in self._columns}
        values = {name: logged_column(array, columns[name]) for name, array in inputs.arrays(table).items()}
        return SampledRows.of(table, self._contract, values, probabilities.arrays(table))

    def _latency_ms(self, period: Period) -> dict[str, float]:
        """Return quantiles of the latency in milliseconds: the smallest latency that this share does not exceed."""
        counts = self._fetch(
            f"SELECT latency_us, sum(rows) FROM counts WHERE {self._tables.slots(period)} AND by_latency "  # noqa: S608
            "AND latency_us IS NOT NULL GROUP BY ALL ORDER BY ALL"
        )
        if not counts:
            return {}
        latencies, rows = zip(*counts, strict=True)
        shares = np.cumsum(np.array(rows, dtype=np.float64)) / float(sum(rows))
        return {name: latencies[int(np.searchsorted(shares, share))] / 1_000 for name, share in QUANTILES.items()}

    def _fetch(self, sql: str) -> list[Any]:
        with _translate_errors():
            rows: list[Any] = self._db.sql(sql).fetchall()
        return rows


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Raise errors of DuckDB and Arrow as SklineError: `skline monitor --watch` goes on after one."""
    try:
        yield
    except (duckdb.Error, pa.ArrowInvalid) as error:
        message = f"the prediction log cannot be read: {' '.join(str(error).split())[:300]}"
        if isinstance(error, duckdb.OutOfMemoryException):
            message += "; raise monitor.memory_mb in params.yaml, or lower monitor.max_rows"
        raise SklineError(message) from error


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed monitor has left in the folder of the log. Call it while holding `monitor_lock`."""
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        shutil.rmtree(leftover)


def _logged_columns(settings: LogSettings, contract: Contract) -> list[Column]:
    """Return the inputs that the log stores."""
    names = contract.input_names if settings.columns is None else settings.columns
    return [column for column in contract.inputs if column.name in names and column.name != settings.entity_column]
