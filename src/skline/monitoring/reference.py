"""What the window is compared with: the rows and results in the artifact, or other rows of the log."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from skline import artifact as artifacts
from skline.artifact import Artifact
from skline.contract.spec import Column
from skline.monitoring.clusters import Floats
from skline.monitoring.estimates import Estimate, estimate
from skline.monitoring.rows import DAY_US, JSON_TYPES

#: Name of the model's score among the columns.
SCORE = "(score)"


def reference_of(column: str, compared: str) -> str:
    """Return what a column is compared with where the window is compared with training, season or previous.

    The score is compared with that of the test part in place of training: predictions on rows of the fit are too good.
    """
    return "the test part" if column == SCORE and compared == "training" else compared


@dataclass(frozen=True)
class TrainingReference:
    """The training rows and the results on the test part, from the artifact.

    Attributes
    ----------
    inputs : dict of str to array of shape (m,)
        As `LoggedRows.inputs`; empty if the artifact holds no reference rows.
    score_quantiles : tuple of float
        At equal steps from 0 to 1, on the test part; empty if unknown.
    test_rows : int
    importance : dict of str to float
    metric : str or None
        The one that models are compared by.
    threshold : float
        The probability from which the second of two classes is predicted.
    """

    inputs: dict[str, npt.NDArray[Any]]
    score_quantiles: tuple[float, ...]
    test_rows: int
    importance: dict[str, float]
    metric: str | None
    threshold: float
    _metrics: dict[str, float]
    _intervals: dict[str, Any]

    @classmethod
    def of(cls, artifact: Artifact) -> "TrainingReference":
        """Read the reference of an artifact; one of an earlier version lacks parts of it."""
        results = artifact.evaluation
        inputs: dict[str, npt.NDArray[Any]] = {}
        if artifacts.REFERENCE in artifact.content:
            table = pq.read_table(io.BytesIO(artifact.content[artifacts.REFERENCE]))
            inputs = {column.name: stored_column(table[column.name], column) for column in artifact.contract.inputs}
        metrics = results.get("metrics") or artifact.manifest.metrics.get("model") or {}
        return cls(
            inputs=inputs,
            score_quantiles=tuple(results.get("scores") or ()),
            test_rows=int(results.get("rows") or 0),
            importance=results.get("importance") or {},
            metric=results.get("metric"),
            threshold=0.5 if results.get("threshold") is None else float(results["threshold"]),
            _metrics=metrics,
            _intervals=results.get("intervals") or {},
        )

    def metric_estimate(self, name: str) -> Estimate:
        """Return a metric on the test part."""
        return estimate(self._metrics.get(name), *(self._intervals.get(name) or (None, None)))

    def importance_share(self, name: str) -> float | None:
        """Return a column's share of the model's permutation importance; None if no importance is known."""
        total = sum(max(value, 0.0) for value in self.importance.values())
        return max(self.importance.get(name, 0.0), 0.0) / total if total else None


def stored_column(values: pa.ChunkedArray, column: Column) -> npt.NDArray[Any]:
    """Convert a column of the reference rows to the form that `LoggedRows.inputs` has."""
    if column.kind in JSON_TYPES:
        numbers: Floats = values.cast(pa.float64()).to_numpy().astype(np.float64)
        return np.where(np.isfinite(numbers), numbers, np.nan)
    if column.kind in ("date", "datetime"):
        moments = values.cast(pa.timestamp("us")).cast(pa.int64()).cast(pa.float64(), safe=False)
        days: Floats = moments.to_numpy().astype(np.float64) / DAY_US
        return days
    if column.kind == "boolean":
        return np.array(
            [None if value is None or value != value else str(bool(value)).lower() for value in values.to_pylist()],  # noqa: PLR0124
            dtype=object,
        )
    return np.array(values.to_pylist(), dtype=object)
