"""Gates that a table of its size can be asked to pass: a small test part cannot tell a good model from a lucky one."""

import math
from typing import Any

import pandas as pd

from skline.contract.spec import Task

#: From so many test rows on, the gates' own defaults are asked for.
ENOUGH = 1_000
#: Below so many, better than a constant answer beyond chance is more than can be shown.
FEW = 100


def choose_gates(target: pd.Series, task: Task, test_rows: int) -> dict[str, Any]:
    """Choose what `gates` in params.yaml says.

    The linear baseline may be better by three standard errors of a mean over the test rows: of a share for a
    classifier, of the target for a regression.
    """
    if test_rows >= ENOUGH:
        return {}
    spread = float(target.std()) if task == "regression" else 0.5
    gates: dict[str, Any] = {"linear_margin": float(f"{3 * spread / math.sqrt(max(test_rows, 1)):.2g}")}
    if test_rows < 2 * 200:
        gates["min_rows"] = max(2, test_rows // 2)
    if test_rows < FEW:
        gates["dummy"] = "better"
    return gates
