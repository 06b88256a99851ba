"""Permutation importance: how much worse the comparison metric gets when an input's values are shuffled.

Breiman 2001, "Random Forests", section 10, here for any model. An input that another one can replace looks
unimportant: the figure is about what the model uses, not about what matters in the world.
"""

from typing import Any

import numpy as np
import pandas as pd

from skline.contract.spec import Contract
from skline.evaluation.bootstrap import metric_value
from skline.evaluation.metrics import lower_is_better
from skline.evaluation.replacement import replacement_scorer
from skline.evaluation.resampling import make_sample
from skline.scoring.scores import Scores

REPEATS = 5


def permutation_importance(
    pipeline: Any, test: pd.DataFrame, contract: Contract, threshold: float, metric: str, rows: int, seed: int
) -> list[dict[str, Any]]:
    """Permute each input REPEATS times in at most `rows` test rows, drawn by `seed`.

    Returns
    -------
    One dict an input, most important first: the `column`, and by how much the metric gets worse: `mean`, `low` and
    `high` over the repeats.
    """
    random = np.random.default_rng(seed)
    drawn = test.iloc[np.sort(random.permutation(len(test))[:rows])].reset_index(drop=True)
    truth, sign = drawn[contract.target.name].to_numpy(), -1.0 if lower_is_better(metric) else 1.0

    def quality(scores: Scores) -> float:
        return sign * metric_value(make_sample(truth, scores, contract, threshold), metric)

    frame = drawn[contract.input_names]
    score = replacement_scorer(pipeline, contract.inputs, frame)
    first = contract.input_names[0]
    before = quality(score(first, frame[first].to_numpy()))
    entries = []
    for name in contract.input_names:
        orders = (random.permutation(len(frame)) for _ in range(REPEATS))
        drops = [before - quality(score(name, frame[name].take(order).to_numpy())) for order in orders]
        entries.append({"column": name, "mean": float(np.mean(drops)), "low": min(drops), "high": max(drops)})
    return sorted(entries, key=lambda entry: -entry["mean"])
