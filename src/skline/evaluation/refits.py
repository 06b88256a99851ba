"""What other fits of the same pipeline would be worth: with other seeds, and on fewer rows."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from skline.contract.spec import Contract
from skline.evaluation.bootstrap import all_once
from skline.evaluation.sampled import sampled
from skline.scoring.reference import score_frame
from skline.tuning.tune import unfitted

SHARES = (0.1, 0.25, 0.5)


def _quality(pipeline: Pipeline, train: pd.DataFrame, test: pd.DataFrame, contract: Contract, metric: str) -> float:
    """Fit, and return the metric on the test part; without calibration or threshold, which seeds do not touch."""
    pipeline.fit(train[contract.input_names], train[contract.target.name].to_numpy())
    scores = score_frame(pipeline, test[contract.input_names])
    model = sampled(test[contract.target.name].to_numpy(), scores, contract, 0.5)
    return float(model.metrics(all_once(len(test)), metric)[metric][0])


def seeds(
    pipeline: Pipeline, train: pd.DataFrame, test: pd.DataFrame, contract: Contract, metric: str, count: int, seed: int
) -> dict[str, Any]:
    """Fit `count` times with other seeds; return the metric of each, their mean, spread and range."""
    found = [_quality(unfitted(pipeline, seed + 1 + index), train, test, contract, metric) for index in range(count)]
    return {
        "metric": metric,
        "values": found,
        "mean": float(np.mean(found)),
        "std": float(np.std(found, ddof=1)) if count > 1 else None,
        "range": max(found) - min(found),
    }


def learning_curve(
    pipeline: Pipeline, train: pd.DataFrame, test: pd.DataFrame, contract: Contract, metric: str, seed: int
) -> list[dict[str, float]]:
    """Fit on growing shares of the training rows, drawn by `seed`, each within the next; the metric of each."""
    order = np.random.default_rng(seed).permutation(len(train))
    points = []
    for share in SHARES:
        rows = train.iloc[np.sort(order[: max(2, round(share * len(train)))])]
        points.append({"rows": len(rows), "value": _quality(unfitted(pipeline), rows, test, contract, metric)})
    return points
