"""Gates that a table of its size can be asked to pass: a small test part cannot tell a good model from a lucky one."""

import math
from typing import Any

import pandas as pd

from skline.contract.spec import Task

#: From so many test rows on, all other gates are at their defaults.
ENOUGH = 1_000
#: Where the truth is a straight line, boosted trees fall short of a linear model, however many rows there are: by up to
#: so much of ROC AUC, and of the target's spread.
SHORT, SHORT_OF_SPREAD = 0.02, 0.25
#: Below so many, better than a constant answer beyond chance is more than can be shown.
FEW = 100


def choose_gates(target: pd.Series, task: Task, test_rows: int) -> dict[str, Any]:
    """Choose what `gates` in params.yaml says.

    The linear baseline may be better by three standard errors of a mean over the test rows (of a share for a
    classifier, of the target for a regression), or by what trees fall short on a straight line, whichever is more.
    """
    chance = 3 / math.sqrt(max(test_rows, 1))
    margin = max(0.5 * chance, SHORT)
    if task == "regression":
        margin = float(target.std()) * max(chance, SHORT_OF_SPREAD)
    gates: dict[str, Any] = {"linear_margin": float(f"{margin:.2g}")}
    if test_rows >= ENOUGH:
        return gates
    if test_rows < 2 * 200:
        gates["min_rows"] = max(2, test_rows // 2)
    if test_rows < FEW:
        gates["dummy"] = "better"
    return gates
