"""Metrics by segment, and gaps of error rates between groups of sensitive columns.

A segment is a value of a segment column, or of a configured crossing of two; missing values are a segment of their own.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from fairlearn.metrics import MetricFrame

from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.evaluation.bootstrap import confidence_intervals, draw_rows, metric_values, percentile_interval
from skline.evaluation.resampling import make_sample
from skline.scoring.scores import Scores

#: Resamples behind a segment's intervals: fewer than for all rows, because there are many segments.
RESAMPLES = 200
MISSING = "(missing)"
CROSS = " × "


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
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Compute the metrics of every segment of at least `min_rows` rows.

    Returns
    -------
    One entry a segment: column, value, rows, its metrics (None where the segment has no value, such as the recall
    where no row is positive), and their 95 % intervals; and the number of smaller segments of each column.
    """
    truth = test[contract.target.name].to_numpy()
    positions = np.arange(len(test), dtype=np.intp)

    def evaluate_segment(rows: Any, _: Any) -> dict[str, Any]:
        """Return everything of one segment: MetricFrame calls this with the positions of its rows."""
        rows = np.asarray(rows, dtype=np.intp)
        if len(rows) < min_rows:
            return {"rows": len(rows)}
        sample = make_sample(truth[rows], scores[rows], contract, threshold)
        values = {name: value if np.isfinite(value) else None for name, value in metric_values(sample).items()}
        intervals = confidence_intervals(sample, RESAMPLES, seed) if len(rows) < len(truth) else {}
        return {"rows": len(rows)} | values | {"intervals": {name: ends for name, ends in intervals.items() if ends}}

    entries: list[dict[str, Any]] = []
    small: dict[str, int] = {}
    for names in segment_columns(contract, crossings):
        frame = MetricFrame(
            metrics=evaluate_segment, y_true=positions, y_pred=positions, sensitive_features=segment_labels(test, names)
        ).by_group
        column = CROSS.join(names)
        for value, entry in sorted(frame.items(), key=lambda item: _sort_key(item[0])):
            if isinstance(entry, dict) and "intervals" in entry:
                parts = value if isinstance(value, tuple) else (value,)
                entries.append({"column": column, "value": CROSS.join(parts)} | entry)
            elif isinstance(entry, dict):  # a combination that no row has is NaN
                small[column] = small.get(column, 0) + 1
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
    """Return segment columns as text; missing values become a label, because MetricFrame drops them."""
    return pd.DataFrame({name: [_text(value) for value in test[name].tolist()] for name in names})


def _text(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 (NaN, NaT)
        return MISSING
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _sort_key(value: Any) -> list[tuple[int, float, str]]:
    """Sort numbers by size, then text."""
    parts = value if isinstance(value, tuple) else (value,)
    return [(0, float(part), "") if part.lstrip("-").isdigit() else (1, 0.0, part) for part in parts]


def group_gaps(
    test: pd.DataFrame, scores: Scores, contract: Contract, min_rows: int, n_resamples: int, seed: int
) -> list[dict[str, Any]]:
    """Measure the differences between the groups of each sensitive column.

    Returns
    -------
    One entry a column and rate: the rate by group (selection rate, true and false positive rate of the second of two
    classes; share of wrong predictions; a regression's mean absolute error), the largest difference, its 95 %
    interval, and the groups it is between. Groups of fewer than `min_rows` rows are left out, and so are groups
    without a row that the rate is defined on.
    """
    truth = test[contract.target.name].to_numpy()
    entries = []
    for column in contract.columns:
        if not column.sensitive:
            continue
        labels = segment_labels(test, (column.name,))[column.name].to_numpy()
        for rate, (values, is_defined) in _rates(truth, scores, contract).items():
            members = {name: np.flatnonzero((labels == name) & is_defined) for name in np.unique(labels)}
            large = {name: rows for name, rows in members.items() if len(rows) and (labels == name).sum() >= min_rows}
            if len(large) < 2:
                continue
            kept = np.concatenate(list(large.values()))
            frame = MetricFrame(
                metrics=lambda value, _: float(np.mean(value)),
                y_true=values[kept],
                y_pred=values[kept],
                sensitive_features=pd.Series(labels[kept], name=column.name),
            )
            means = np.array(
                [
                    np.concatenate([values[rows][d].mean(axis=1) for d in draw_rows(len(rows), n_resamples, seed)])
                    for rows in large.values()
                ]
            )
            by_group = {str(name): float(value) for name, value in frame.by_group.items()}
            entries.append(
                {
                    "column": column.name,
                    "rate": rate,
                    "gap": float(frame.difference()),
                    "interval": percentile_interval(means.max(axis=0) - means.min(axis=0)),
                    "highest": max(by_group, key=by_group.__getitem__),
                    "lowest": min(by_group, key=by_group.__getitem__),
                    "groups": by_group,
                    "rows": len(kept),
                }
            )
    return entries


def _rates(truth: npt.NDArray[Any], scores: Scores, contract: Contract) -> dict[str, tuple[Any, Any]]:
    """Return rate → (each row's contribution to the mean, on which rows the rate is defined)."""
    all_rows = np.ones(len(truth), dtype=bool)
    if contract.classes is None:
        return {"error": (np.abs(scores.predictions - truth).astype(np.float64), all_rows)}
    rates = {"error": ((scores.predictions != truth).astype(np.float64), all_rows)}
    if contract.task == "binary":
        is_positive = truth == contract.classes[1]
        predicted_positive = (scores.predictions == contract.classes[1]).astype(np.float64)
        rates |= {
            "selection_rate": (predicted_positive, all_rows),
            "true_positive_rate": (predicted_positive, is_positive),
            "false_positive_rate": (predicted_positive, ~is_positive),
        }
    return rates
