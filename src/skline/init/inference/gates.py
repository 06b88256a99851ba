"""Choose gates that fit the size of the table: a small test part cannot separate a good model from a lucky one."""

import math
from typing import Any

import pandas as pd

from skline.contract.spec import Task

#: From this number of test rows on, all other gates keep their defaults.
DEFAULT_GATES_MIN_ROWS = 1_000
#: Where the true relation is linear, boosted trees stay below a linear model however many rows there are: by up to this
#: much ROC AUC, or this share of the target's standard deviation.
TREE_SHORTFALL_AUC, TREE_SHORTFALL_STD = 0.02, 0.25
#: The tolerated loss from the champion is this factor over the square root of the rows, within two bounds: a smaller
#: loss does not matter, and a larger one is never tolerated (with fewer rows the gate is undecided).
CHAMPION_MARGIN_FACTOR, CHAMPION_MARGINS = 0.4, (0.005, 0.05)
#: Tolerated loss in a segment, as a share of the target's standard deviation.
SEGMENT_MARGIN_STD = 0.1
#: Loss that monitoring tolerates, as a share of the target's standard deviation, as in docs/benchmarks/replay.md.
MONITORED_MARGIN_STD = 0.02
#: With fewer test rows, a model cannot show that it is significantly better than a constant prediction.
SIGNIFICANCE_MIN_ROWS = 100


def choose_gates(target: pd.Series, task: Task, test_rows: int) -> dict[str, Any]:
    """Return the settings of the section `gates` of params.yaml that depend on the table; the others keep defaults.

    The linear baseline may be better than the model by three standard errors of a mean over the test rows (of a share
    for a classifier, of the target for a regression), or by the shortfall of trees on linear data, whichever is more.
    A new model may be worse than the champion by what the test rows can tell of two models that are alike.
    """
    three_errors = 3 / math.sqrt(max(test_rows, 1))
    linear_margin = max(0.5 * three_errors, TREE_SHORTFALL_AUC)
    if task == "regression":
        deviation = float(target.std())
        linear_margin = deviation * max(three_errors, TREE_SHORTFALL_STD)
        champion = {
            "margin": deviation * _champion_margin(test_rows),
            "segment_margin": deviation * SEGMENT_MARGIN_STD,
        }
    else:
        rarest = test_rows * float(target.value_counts(normalize=True).min())
        champion = {"margin": _champion_margin(rarest)}
    gates: dict[str, Any] = {
        "linear_margin": _two_digits(linear_margin),
        "champion": {name: _two_digits(margin) for name, margin in champion.items()},
    }
    if test_rows >= DEFAULT_GATES_MIN_ROWS:
        return gates
    if test_rows < 2 * 200:
        gates["min_rows"] = max(2, test_rows // 2)
    if test_rows < SIGNIFICANCE_MIN_ROWS:
        gates["dummy"] = "better"
    return gates


def choose_monitored_margin(target: pd.Series, task: Task) -> float | None:
    """Return `monitor.performance.margin` of a regression, which is in units of the target; None keeps the default."""
    return _two_digits(float(target.std()) * MONITORED_MARGIN_STD) if task == "regression" else None


def _champion_margin(rows: float) -> float:
    """Return the tolerated loss, as ROC AUC of a classifier or as a share of the target's standard deviation.

    Two models that are alike differ by about 0.11 / sqrt(rows): the standard error of the ROC AUC is about
    0.34 / sqrt(rows of the rarer class) (Hanley and McNeil 1982, for an area of 0.75), and the predictions of two fits
    of one pipeline are correlated by about 0.95. The margin is 3.6 such standard errors, so that 95 % of equal models
    pass. A regression's root mean squared error has a similar relative error.
    """
    low, high = CHAMPION_MARGINS
    return min(max(CHAMPION_MARGIN_FACTOR / math.sqrt(max(rows, 1.0)), low), high)


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")
