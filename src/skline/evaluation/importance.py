"""What each input is worth: how much worse the model gets when its values change hands among test rows.

Breiman 2001, "Random Forests", section 10, here for any model and the comparison metric. An input that another one
can stand in for looks worth little: it says what the model uses, not what matters in the world.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from skline.contract.spec import Contract
from skline.evaluation.bootstrap import all_once
from skline.evaluation.sampled import LOWER, sampled
from skline.scoring.answers import NotPlannable, Scores
from skline.scoring.plan import build_plan
from skline.scoring.reference import score_frame

REPEATS = 5
ScoreFrame = Callable[[pd.DataFrame], Scores]


def scorer(pipeline: Any, contract: Contract) -> ScoreFrame:
    """Return what scores frames of the inputs: the exact plan, which is quicker, or the pipeline itself."""
    try:
        plan = build_plan(pipeline, contract.inputs)
    except NotPlannable:
        return lambda frame: score_frame(pipeline, frame)
    return lambda frame: plan.score_columns({name: frame[name].to_numpy() for name in contract.input_names})


def importance(
    score: ScoreFrame, test: pd.DataFrame, contract: Contract, threshold: float, metric: str, rows: int, seed: int
) -> list[dict[str, Any]]:
    """Permute each input in at most `rows` test rows, drawn by `seed`, REPEATS times.

    Returns
    -------
    One entry an input, most important first: how much worse the metric gets on average, least and most.
    """
    random = np.random.default_rng(seed)
    drawn = test.iloc[np.sort(random.permutation(len(test))[:rows])].reset_index(drop=True)
    truth, sign = drawn[contract.target.name].to_numpy(), -1.0 if metric in LOWER else 1.0

    def quality(frame: pd.DataFrame) -> float:
        model = sampled(truth, score(frame), contract, threshold)
        return sign * float(model.metrics(all_once(len(truth)), metric)[metric][0])

    frame = drawn[contract.input_names]
    before = quality(frame)
    found = []
    for name in contract.input_names:
        shuffled = frame.copy()
        drops = []
        for _ in range(REPEATS):
            shuffled[name] = frame[name].take(random.permutation(len(frame))).to_numpy()
            drops.append(before - quality(shuffled))
        found.append({"column": name, "mean": float(np.mean(drops)), "low": min(drops), "high": max(drops)})
    return sorted(found, key=lambda entry: -entry["mean"])
