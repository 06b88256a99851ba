"""Quality by segment: each value of a segment column, each chosen crossing of two, missing values among them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from fairlearn.metrics import MetricFrame

from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.evaluation.bootstrap import draws, intervals, middle, values
from skline.evaluation.sampled import sampled
from skline.scoring.answers import Scores

#: Resamples behind a segment's intervals: many segments, each with an interval that need not be exact to a hair.
RESAMPLES = 200
MISSING = "(missing)"
CROSS = " × "


class Group(NamedTuple):
    """One segment: which column or crossing, which value, which rows."""

    column: str
    value: str
    rows: npt.NDArray[np.intp]


def features(test: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """Return segment columns as text; a missing value is a group of its own, which MetricFrame has none for."""
    return pd.DataFrame({name: [_text(value) for value in test[name].tolist()] for name in names})


def _text(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 (NaN, NaT)
        return MISSING
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def chosen(contract: Contract, crossings: tuple[tuple[str, str], ...]) -> list[tuple[str, ...]]:
    """Return the segment columns and crossings to report.

    Raises
    ------
    SklineError
        If a crossing names a column that is no segment.
    """
    names = [column.name for column in contract.segments]
    for name in (name for pair in crossings for name in pair):
        if name not in names:
            raise SklineError(
                f"evaluate.crossings: {name!r} is no segment column (these are {', '.join(names) or 'none'}); "
                "give it segment=True in src/model/contract.py"
            )
    return [*((name,) for name in names), *crossings]


def groups(test: pd.DataFrame, contract: Contract, crossings: tuple[tuple[str, str], ...]) -> Iterator[Group]:
    """Walk through all segments, small ones too, in the order of their names."""
    for names in chosen(contract, crossings):
        labels = features(test, names)
        for value, rows in sorted(labels.groupby(list(names)).indices.items(), key=lambda item: _order(item[0])):
            parts = value if isinstance(value, tuple) else (value,)
            yield Group(CROSS.join(names), CROSS.join(parts), np.asarray(rows, dtype=np.intp))


def _order(value: Any) -> list[tuple[int, float, str]]:
    """Numbers by size, then words."""
    parts = value if isinstance(value, tuple) else (value,)
    return [(0, float(part), "") if part.lstrip("-").isdigit() else (1, 0.0, part) for part in parts]


def segments(
    test: pd.DataFrame,
    scores: Scores,
    contract: Contract,
    threshold: float,
    crossings: tuple[tuple[str, str], ...],
    least: int,
    seed: int,
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Judge every segment of at least `least` rows.

    Returns
    -------
    One entry a segment: column, value, rows, its metrics (None where a segment has no value, such as the recall
    where nothing was positive), and 95 % intervals of them; and how many smaller ones each column has.
    """
    truth = test[contract.target.name].to_numpy()
    numbers = np.arange(len(test), dtype=np.intp)

    def judged(rows: Any, _: Any) -> dict[str, Any]:
        """Everything of one group: MetricFrame gives it the numbers of its rows."""
        rows = np.asarray(rows, dtype=np.intp)
        if len(rows) < least:
            return {"rows": len(rows)}
        model = sampled(truth[rows], scores[rows], contract, threshold)
        known = {name: value if np.isfinite(value) else None for name, value in values(model).items()}
        ends = intervals(model, RESAMPLES, seed) if len(rows) < len(truth) else {}
        return {"rows": len(rows)} | known | {"intervals": {name: end for name, end in ends.items() if end}}

    found: list[dict[str, Any]] = []
    small: dict[str, int] = {}
    for names in chosen(contract, crossings):
        frame = MetricFrame(
            metrics=judged, y_true=numbers, y_pred=numbers, sensitive_features=features(test, names)
        ).by_group
        column = CROSS.join(names)
        for value, entry in sorted(frame.items(), key=lambda item: _order(item[0])):
            if isinstance(entry, dict) and "intervals" in entry:
                parts = value if isinstance(value, tuple) else (value,)
                found.append({"column": column, "value": CROSS.join(parts)} | entry)
            elif isinstance(entry, dict):  # a combination that no row has is NaN
                small[column] = small.get(column, 0) + 1
    return found, small


def gaps(
    test: pd.DataFrame, scores: Scores, contract: Contract, least: int, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """Measure how far groups of each sensitive column lie apart.

    Returns
    -------
    One entry a column and rate: the rate by group (selection rate, true and false positive rate of the second of two
    classes; share of wrong answers; a regression's mean absolute error), the largest difference, its 95 % interval
    and between whom. Groups of fewer than `least` rows are left out, and those without a row that the rate is of.
    """
    truth = test[contract.target.name].to_numpy()
    found = []
    for column in contract.columns:
        if not column.sensitive:
            continue
        labels = features(test, (column.name,))[column.name].to_numpy()
        for rate, (cells, of) in _rates(truth, scores, contract).items():
            members = {name: np.flatnonzero((labels == name) & of) for name in np.unique(labels)}
            large = {name: rows for name, rows in members.items() if len(rows) and (labels == name).sum() >= least}
            if len(large) < 2:
                continue
            kept = np.concatenate(list(large.values()))
            frame = MetricFrame(
                metrics=lambda cell, _: float(np.mean(cell)),
                y_true=cells[kept],
                y_pred=cells[kept],
                sensitive_features=pd.Series(labels[kept], name=column.name),
            )
            means = np.array(
                [
                    np.concatenate([cells[rows][drawn].mean(axis=1) for drawn in draws(len(rows), resamples, seed)])
                    for rows in large.values()
                ]
            )
            by_group = {str(name): float(value) for name, value in frame.by_group.items()}
            found.append(
                {
                    "column": column.name,
                    "rate": rate,
                    "gap": float(frame.difference()),
                    "interval": middle(means.max(axis=0) - means.min(axis=0)),
                    "highest": max(by_group, key=by_group.__getitem__),
                    "lowest": min(by_group, key=by_group.__getitem__),
                    "groups": by_group,
                    "rows": len(kept),
                }
            )
    return found


def _rates(truth: npt.NDArray[Any], scores: Scores, contract: Contract) -> dict[str, tuple[Any, Any]]:
    """Return rate → (each row's part in it, which rows it is of)."""
    everyone = np.ones(len(truth), dtype=bool)
    if contract.classes is None:
        return {"error": (np.abs(scores.predictions - truth).astype(np.float64), everyone)}
    rates = {"error": ((scores.predictions != truth).astype(np.float64), everyone)}
    if contract.task == "binary":
        is_so = truth == contract.classes[1]
        said = (scores.predictions == contract.classes[1]).astype(np.float64)
        rates |= {
            "selection_rate": (said, everyone),
            "true_positive_rate": (said, is_so),
            "false_positive_rate": (said, ~is_so),
        }
    return rates
