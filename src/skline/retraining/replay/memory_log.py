"""The prediction log of a simulated replay, in memory, and what monitoring reads of it."""

import datetime as dt
from typing import Any

import numpy as np
import numpy.typing as npt

from skline.logs.records import from_us, to_us
from skline.monitoring.job import Job
from skline.monitoring.log_tables import Period
from skline.monitoring.reader import Summary
from skline.monitoring.rows import LoggedRows
from skline.monitoring.window_data import WindowData
from skline.retraining.replay.stream import Flags, Positions, Stream, class_indices
from skline.retraining.replay.versions import Version
from skline.scoring.scores import Scores


class MemoryLog:
    """The predictions of a replay: one for each row of the replayed period, made by the version in service.

    Parameters
    ----------
    stream : Stream
    first : Version
        The one that serves at the start.
    """

    def __init__(self, stream: Stream, first: Version) -> None:
        n, contract = len(stream.rows), stream.contract
        self.stream = stream
        self.versions = [first]
        self._since = [to_us(stream.start)]
        self._number = np.full(n, -1, dtype=np.int64)
        self._predicted = np.full(n, np.nan)
        self._probabilities = None if contract.classes is None else np.full((n, len(contract.classes)), np.nan)
        self._predictions: npt.NDArray[Any] = np.empty(n, dtype=stream.truth.dtype)

    def release(self, version: Version, time: dt.datetime) -> None:
        """Let another version serve from a moment on; rows after it must not have been predicted."""
        self.versions.append(version)
        self._since.append(to_us(time))

    def releases(self) -> list[tuple[dt.datetime, Version]]:
        """Return since when each version serves, in the order of time."""
        return [(from_us(since), version) for since, version in zip(self._since, self.versions, strict=True)]

    def in_service(self, time: dt.datetime) -> Version:
        """Return the version that serves at a moment."""
        return self.versions[int(np.searchsorted(self._since, to_us(time), side="right")) - 1]

    def predict_until(self, time: dt.datetime) -> None:
        """Predict the rows before a moment that have no prediction, each by the version in service at its time."""
        rows = self.stream.between(self.stream.start, time)
        missing = np.flatnonzero(self._number[rows] < 0) + rows.start
        numbers = np.searchsorted(self._since, self.stream.times[missing], side="right") - 1
        for number in np.unique(numbers):
            self._store(missing[numbers == number], int(number))

    def _store(self, rows: Positions, number: int) -> None:
        scores = predict(self.stream, rows, self.versions[number])
        self._number[rows] = number
        self._predictions[rows] = scores.predictions
        self._predicted[rows] = class_indices(scores.predictions, self.stream.contract)
        if self._probabilities is not None and scores.probabilities is not None:
            self._probabilities[rows] = scores.probabilities

    def scores(self, rows: slice) -> Scores:
        """Return the predictions of some rows."""
        probabilities = None if self._probabilities is None else self._probabilities[rows]
        return Scores(self._predictions[rows], probabilities)

    def version_of(self, rows: slice) -> Version:
        """Return the version that made most of the predictions of some rows."""
        numbers = self._number[rows]
        return self.versions[int(np.bincount(numbers[numbers >= 0]).argmax()) if (numbers >= 0).any() else -1]

    def read(self, rows: slice, asof: dt.datetime) -> LoggedRows:
        """Return the predictions of some rows as monitoring reads them, with the labels that have arrived."""
        digests = np.array([version.digest for version in self.versions], dtype=object)[self._number[rows]]
        return to_logged_rows(self.stream, rows, self.scores(rows), digests, self.stream.labelled(rows, asof))

    def window_data(self, job: Job) -> WindowData:
        """Return what the result of a window is computed from; a large window is not sampled."""
        window = self._live(job.window)
        rows = self.read(window, job.end)
        labelled = self.read(self._live(job.labelled), job.end)
        numbers, counts = np.unique(self._number[window], return_counts=True)
        by = [(self.versions[number], int(count)) for number, count in zip(numbers, counts, strict=True)]
        return WindowData(
            counts=Summary(
                rows=len(rows), broken=0, reviewed=0, conflicting_labels=0, by_path={"plan": len(rows)},
                by_version={version.artifact.version: count for version, count in by},
                by_digest={version.digest: count for version, count in by}, latency_ms={},
            ),
            rows=rows,
            matured=self.read(self._live(job.matured), job.end),
            stream=labelled.take(labelled.labelled),
            earlier=tuple(self._count(period) for period in job.seasons),
            references={name: self.read(self._live(period), job.end) for name, period in job.references.items()},
        )  # fmt: skip

    def _live(self, period: Period) -> slice:
        """Return the predicted rows of a period."""
        rows = self.stream.between(period.since, period.until)
        return slice(max(rows.start, self.stream.first), max(rows.stop, self.stream.first))

    def _count(self, period: Period) -> int:
        rows = self._live(period)
        return int(rows.stop - rows.start)


def predict(stream: Stream, rows: Positions | slice, version: Version) -> Scores:
    """Return what a version predicts for some rows."""
    frame = stream.rows.iloc[rows][stream.contract.input_names]
    return version.score(frame)


def to_logged_rows(
    stream: Stream, rows: slice, scores: Scores, digests: npt.NDArray[Any], labelled: Flags
) -> LoggedRows:
    """Return predictions in the form in which monitoring has them; those without a label have no truth."""
    contract, size = stream.contract, rows.stop - rows.start
    predicted = class_indices(scores.predictions, contract)
    values = predicted
    if scores.probabilities is not None:
        values = (
            scores.probabilities[:, 1] if contract.task == "binary" else scores.probabilities.max(axis=1, initial=0)
        )
    return LoggedRows(
        times=stream.times[rows],
        arms=np.full(size, "champion", dtype=object),
        digests=digests,
        reviews=np.zeros(size, dtype=np.int64),
        entities=None,
        scores=values,
        probabilities=scores.probabilities,
        predicted=predicted,
        truth=np.where(labelled, stream.truth_numbers[rows], np.nan),
        inputs={name: column[rows] for name, column in stream.inputs.items()},
    )
