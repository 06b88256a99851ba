"""Metrics by segment.

A segment is a value of a segment column, or of a configured crossing of two; missing values are a segment of their own.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.evaluation.bootstrap import confidence_intervals_of_each, metric_values
from skline.evaluation.resampling import Sample, make_sample
from skline.parallel import LOCAL, Workers
from skline.scoring.scores import Scores

#: Resamples behind a segment's intervals: fewer than for all rows, because there are many segments.
RESAMPLES = 200
MISSING = "(missing)"
NO_SEGMENTS = "no segments are marked: set segment=True on columns in src/model/contract.py"
CROSS = " × "
#: Values that sort by size. Other digits, such as a superscript two, are text.
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


class Segment(NamedTuple):
    """Rows with one value of a segment column or crossing; `rows` are positions in the table."""

    column: str
    value: str
    rows: npt.NDArray[np.intp]


def segment_metrics(
    test: pd.DataFrame,
    scores: Scores,
    contract: Contract,
    threshold: float,
    crossings: tuple[tuple[str, str], ...],
    min_rows: int,
    seed: int,
    workers: Workers = LOCAL,
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Compute the metrics of every segment of at least `min_rows` rows.

    Returns
    -------
    One entry a segment: column, value, rows, its metrics (None where the segment has no value, such as the recall
    where no row is positive), and their 95 % intervals; and the number of smaller segments of each column.
    """
    truth = test[contract.target.name].to_numpy()
    entries: list[dict[str, Any]] = []
    small: dict[str, int] = {}

    def large_segments() -> Iterator[Sample]:
        for column, value, rows in iterate_segments(test, contract, crossings):
            if len(rows) < min_rows:
                small[column] = small.get(column, 0) + 1
                continue
            sample = make_sample(truth[rows], scores[rows], contract, threshold)
            values = {name: each if np.isfinite(each) else None for name, each in metric_values(sample).items()}
            entries.append({"column": column, "value": value, "rows": len(rows)} | values)
            yield sample

    for number, intervals in enumerate(confidence_intervals_of_each(large_segments(), RESAMPLES, seed, workers)):
        entries[number]["intervals"] = {name: ends for name, ends in intervals.items() if ends}
    return entries, small


def iterate_segments(
    test: pd.DataFrame, contract: Contract, crossings: tuple[tuple[str, str], ...]
) -> Iterator[Segment]:
    """Yield all segments, small ones too: column by column, sorted by value."""
    for names in segment_columns(contract, crossings):
        labels = segment_labels(test, names)
        for value, rows in sorted(labels.groupby(list(names)).indices.items(), key=lambda item: _sort_key(item[0])):
            parts = value if isinstance(value, tuple) else (value,)
            yield Segment(CROSS.join(names), CROSS.join(parts), np.asarray(rows, dtype=np.intp))


def segment_columns(contract: Contract, crossings: tuple[tuple[str, str], ...]) -> list[tuple[str, ...]]:
    """Return the segment columns and crossings to report.

    Raises
    ------
    SklineError
        If a crossing names a column that is not a segment column.
    """
    names = [column.name for column in contract.segments]
    for name in (name for pair in crossings for name in pair):
        if name not in names:
            raise SklineError(
                f"evaluate.crossings: {name!r} is not a segment column (there are: {', '.join(names) or 'none'}); "
                "set segment=True on it in src/model/contract.py"
            )
    return [*((name,) for name in names), *crossings]


def segment_labels(test: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """Return segment columns as text; missing values become a label."""
    return pd.DataFrame({name: _labels(test[name]) for name in names}, dtype=object)


def _labels(values: pd.Series) -> npt.NDArray[np.object_]:
    """Return the values as text; equal ones are one object, so that a row takes 8 bytes."""
    codes, distinct = pd.factorize(values, use_na_sentinel=False)
    return np.array([segment_text(value) for value in distinct.tolist()], dtype=object)[codes]


def segment_text(value: Any) -> str:
    """Return the name of a segment in reports: the value as text, a whole number without decimals."""
    if value is None or value != value:  # noqa: PLR0124 (NaN, NaT)
        return MISSING
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _sort_key(value: Any) -> list[tuple[int, float, str]]:
    """Sort numbers by size, then text."""
    parts = value if isinstance(value, tuple) else (value,)
    return [(0, float(part), "") if NUMBER.fullmatch(part) else (1, 0.0, part) for part in parts]
