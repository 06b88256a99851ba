"""Gaps between the groups of sensitive columns: how much a rate differs, with simultaneous confidence intervals.

The largest of many differences is large by chance alone, so a gap is judged by intervals that hold for all pairs of
groups together (Bonferroni). Shares have Newcombe's interval of a difference, made of two Wilson intervals (Newcombe
1998, "Interval estimation for the difference between independent proportions", method 10), which holds for few rows and
for shares near 0 and 1; means have Welch's. Rows are assumed to be independent of each other.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from skline.contract.spec import Contract
from skline.evaluation.bootstrap import CONFIDENCE
from skline.evaluation.intervals import wilson_interval
from skline.evaluation.segments import segment_labels
from skline.scoring.scores import Scores


class Group(NamedTuple):
    """The rows of one group on which a rate is defined.

    `variance` is that of the rows' contributions to the mean; None for a share, whose rows contribute 0 or 1.
    """

    rows: int
    mean: float
    variance: float | None = None


def group_gaps(test: pd.DataFrame, scores: Scores, contract: Contract, min_rows: int) -> list[dict[str, Any]]:
    """Measure the differences between the groups of each sensitive column.

    Parameters
    ----------
    test : DataFrame of shape (n, n_columns)
    scores : Scores of the same n rows
    contract : Contract
    min_rows : int
        Smallest number of rows on which a group's rate is defined, such as the positive rows of a true positive rate;
        groups with fewer are named and not compared.

    Returns
    -------
    One entry a column and rate (selection rate, true and false positive rate of the second of two classes; share of
    wrong predictions; a regression's mean absolute error): `groups`, the rate by group; `rows` and, for a mean,
    `variances` behind them; `small`, the rows of the groups that are too small; and, where there are two groups to
    compare, the largest difference, `gap`, its simultaneous 95 % `interval`, and the `highest` and `lowest` group. Else
    these are None.
    """
    truth = test[contract.target.name].to_numpy()
    entries = []
    for column in contract.columns:
        if not column.sensitive:
            continue
        labels = segment_labels(test, (column.name,))[column.name].to_numpy()
        for rate, (values, is_defined) in _rates(truth, scores, contract).items():
            members = {str(name): values[(labels == name) & is_defined] for name in np.unique(labels)}
            groups = {
                name: Group(len(each), float(each.mean()), None if contract.classes else float(each.var(ddof=1)))
                for name, each in members.items()
                if len(each) >= max(min_rows, 2)
            }
            entry = {
                "column": column.name,
                "rate": rate,
                "groups": {name: group.mean for name, group in groups.items()},
                "rows": {name: group.rows for name, group in groups.items()},
                "variances": {name: group.variance for name, group in groups.items() if group.variance is not None},
                "small": {name: len(each) for name, each in members.items() if name not in groups},
                "min_rows": min_rows,
            }
            entries.append(entry | _largest_gap(groups))
    return entries


def _largest_gap(groups: Mapping[str, Group]) -> dict[str, Any]:
    """Return the largest difference between two groups; None where there are no two."""
    if len(groups) < 2:
        return {"gap": None, "interval": None, "highest": None, "lowest": None}
    highest = max(groups, key=lambda name: groups[name].mean)
    lowest = min(groups, key=lambda name: groups[name].mean)
    return {
        "gap": groups[highest].mean - groups[lowest].mean,
        "interval": gap_interval(list(groups.values()), count_pairs(len(groups))),
        "highest": highest,
        "lowest": lowest,
    }


def groups_of(entry: Mapping[str, Any]) -> list[Group]:
    """Return the compared groups of an entry of `group_gaps`."""
    rates, rows, variances = entry["groups"], entry["rows"], entry["variances"]
    return [Group(rows[name], rate, variances.get(name)) for name, rate in rates.items()]


def count_pairs(n_groups: int) -> int:
    """Return the number of pairs of groups."""
    return n_groups * (n_groups - 1) // 2


def gap_interval(groups: Sequence[Group], comparisons: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return an interval of the largest difference between the true rates of the groups.

    Parameters
    ----------
    groups : sequence of at least two Group
    comparisons : int
        Number of pairs, of these groups and of all others that are judged together: with probability `confidence` the
        intervals of all of them hold.
    confidence : float
    """
    tail = (1 - confidence) / (2 * comparisons)
    z = float(stats.norm.isf(tail))
    wilson = {group: wilson_interval(group.mean, group.rows, z) for group in groups if group.variance is None}
    low = high = 0.0
    for pair in combinations(groups, 2):
        first, second = sorted(pair, key=lambda group: -group.mean)
        if first.variance is None or second.variance is None:
            ends = _newcombe_interval(first.mean, second.mean, wilson[first], wilson[second])
        else:
            ends = _welch_interval(first, second, tail)
        low, high = max(low, ends[0]), max(high, -ends[0], ends[1])
    return low, high


def _newcombe_interval(
    first: float, second: float, first_ends: tuple[float, float], second_ends: tuple[float, float]
) -> tuple[float, float]:
    """Return Newcombe's interval of the difference of two shares, from the Wilson interval of each."""
    below = math.hypot(first - first_ends[0], second_ends[1] - second)
    above = math.hypot(first_ends[1] - first, second - second_ends[0])
    return first - second - below, first - second + above


def _welch_interval(first: Group, second: Group, tail: float) -> tuple[float, float]:
    """Return an interval of the difference of two means; each end errs with probability `tail`."""
    difference = first.mean - second.mean
    squares = [(group.variance or 0.0) / group.rows for group in (first, second)]  # of the standard errors
    total = sum(squares)
    if total == 0:
        return difference, difference
    freedom = total**2 / sum(
        square**2 / (group.rows - 1) for square, group in zip(squares, (first, second), strict=True)
    )
    half_width = float(stats.t.isf(tail, freedom) * np.sqrt(total))
    return difference - half_width, difference + half_width


def _rates(
    truth: npt.NDArray[Any], scores: Scores, contract: Contract
) -> dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]]:
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
