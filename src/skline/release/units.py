"""The units of an A/B test: entities, each with the mean KPI of its labelled predictions in a fixed window.

An entity's window starts with its first prediction in the test. Some time after the window, which labels need to
arrive, the entity is closed: its value depends on nothing that is logged later, whenever a report is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skline.logs.read import join_labels, values
from skline.release.comparison import kpi_of
from skline.release.experiment import Design

ARMS = ("champion", "challenger")
#: A deadline that no label meets: that of predictions after the entity's window.
NEVER = -1
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Units:
    """The n entities of an A/B test, in the order in which they close.

    Attributes
    ----------
    challenger : bool array, shape (n,)
        Whether the entity's first prediction was assigned to the challenger.
    closes_at : int64 array, shape (n,)
        End of the window and of the time for labels, in microseconds since 1970, UTC.
    kpi : float64 array, shape (n,)
        Mean over the labelled predictions of the window; NaN if there is none.
    mixed : int
        Entities with predictions in both arms.
    late_labels : int
        Predictions in their entity's window whose label came too late.
    """

    challenger: BoolArray
    closes_at: IntArray
    kpi: FloatArray
    mixed: int = 0
    late_labels: int = 0

    def in_arm(self, arm: str) -> BoolArray:
        """Return which units are in an arm, shape (n,)."""
        return self.challenger if arm == "challenger" else ~self.challenger

    def closed_by(self, moment_us: int) -> BoolArray:
        """Return which units are closed at a moment, shape (n,)."""
        return np.less_equal(self.closes_at, moment_us)

    @property
    def labelled(self) -> BoolArray:
        """Which units have a labelled prediction, shape (n,)."""
        return ~np.isnan(self.kpi)


@dataclass(frozen=True)
class Windows:
    """Windows of m entities and their n predictions, times in microseconds since 1970, UTC.

    Attributes
    ----------
    first : int64 array, shape (m,)
        Index of each entity's first prediction.
    closes_at : int64 array, shape (m,)
    deadlines : int64 array, shape (n,)
        When a prediction's label has to be there; NEVER if the prediction is after the entity's window.
    """

    first: IntArray
    closes_at: IntArray
    deadlines: IntArray


def entity_windows(design: Design, entities: IntArray, times: IntArray) -> Windows:
    """Return the windows of entities.

    Parameters
    ----------
    design : Design
    entities : int64 array, shape (n,)
        The entity of each prediction, from 0 without gaps.
    times : int64 array, shape (n,)
        Ascending, in microseconds since 1970, UTC.
    """
    _, first = np.unique(entities, return_index=True)
    ends = times[first] + design.window_seconds * 1_000_000
    closes_at = ends + design.label_seconds * 1_000_000
    deadlines = np.where(times < ends[entities], closes_at[entities], NEVER)
    return Windows(first.astype(np.int64), closes_at, deadlines)


def units_of(windows: Windows, entities: IntArray, challenger: BoolArray, kpis: FloatArray) -> Units:
    """Average the KPI of each entity's predictions.

    Parameters
    ----------
    windows : Windows
    entities : int64 array, shape (n,)
        As for `entity_windows`.
    challenger : bool array, shape (n,)
        Whether the prediction was assigned to the challenger.
    kpis : float64 array, shape (n,)
        NaN where no label met the deadline.
    """
    size = len(windows.first)
    counted = ~np.isnan(kpis)
    counts = np.bincount(entities[counted], minlength=size)
    sums = np.bincount(entities[counted], weights=kpis[counted], minlength=size)
    means = np.divide(sums, counts, out=np.full(size, np.nan), where=counts > 0)
    in_challenger = challenger[windows.first]
    moved = np.bincount(entities, weights=challenger != in_challenger[entities], minlength=size) > 0
    order = np.argsort(windows.closes_at, kind="stable")
    return Units(in_challenger[order], windows.closes_at[order], means[order], int(moved.sum()))


def collect_units(design: Design, predictions: pa.Table, labels: pa.Table) -> Units:
    """Return the units of an A/B test.

    Parameters
    ----------
    design : Design
    predictions : pyarrow.Table
        Those of the test in the order of time, with the columns of `PREDICTION_SCHEMA`.
    labels : pyarrow.Table
        All labels in the order of their arrival, with the columns of `LABEL_SCHEMA`. A correction counts if it met
        the deadline too.
    """
    rows = predictions.filter(pc.and_(pc.is_valid(predictions["bucket"]), pc.is_valid(predictions["entity"])))
    rows = rows.filter(pc.is_in(rows["role"], value_set=pa.array(ARMS)))
    entities = rows["entity"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    times = rows["time"].cast(pa.int64()).to_numpy()
    challenger = pc.equal(rows["arm"], "challenger").to_numpy()
    windows = entity_windows(design, entities, times)
    in_time = join_labels(rows, labels, windows.deadlines.tolist())["label"]
    ever = join_labels(rows, labels)["label"]
    late = pc.and_(pc.is_null(in_time), pc.is_valid(ever)).to_numpy() & (windows.deadlines != NEVER)
    units = units_of(windows, entities, challenger, _kpis(design, rows, values(in_time)))
    return Units(units.challenger, units.closes_at, units.kpi, units.mixed, int(late.sum()))


def _kpis(design: Design, rows: pa.Table, labels: Sequence[Any]) -> FloatArray:
    """Return the KPI of each prediction, NaN without a label."""
    kpis = np.full(rows.num_rows, np.nan)
    predictions, probabilities = values(rows["prediction"]), values(rows["probabilities"])
    for index, label in enumerate(labels):
        if label is not None:
            kpis[index] = kpi_of(design.kpi, predictions[index], probabilities[index], label)
    return kpis
