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
#: With fewer test rows, a model cannot show that it is significantly better than a constant prediction.
SIGNIFICANCE_MIN_ROWS = 100


def choose_gates(target: pd.Series, task: Task, test_rows: int) -> dict[str, Any]:
    """Return the section `gates` of params.yaml.

    The linear baseline may be better than the model by three standard errors of a mean over the test rows (of a share
    for a classifier, of the target for a regression), or by the shortfall of trees on linear data, whichever is more.
    """
    three_errors = 3 / math.sqrt(max(test_rows, 1))
    margin = max(0.5 * three_errors, TREE_SHORTFALL_AUC)
    if task == "regression":
        margin = float(target.std()) * max(three_errors, TREE_SHORTFALL_STD)
    gates: dict[str, Any] = {"linear_margin": float(f"{margin:.2g}")}
    if test_rows >= DEFAULT_GATES_MIN_ROWS:
        return gates
    if test_rows < 2 * 200:
        gates["min_rows"] = max(2, test_rows // 2)
    if test_rows < SIGNIFICANCE_MIN_ROWS:
        gates["dummy"] = "better"
    return gates
