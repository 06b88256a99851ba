"""How the comparison metric varies over other fits of the same pipeline: with other seeds, and on fewer rows."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from skline.contract.spec import Contract
from skline.evaluation.bootstrap import metric_value
from skline.evaluation.resampling import make_sample
from skline.scoring.reference import score_frame
from skline.tuning.tune import clone_untuned

SHARES = (0.1, 0.25, 0.5)


def fit_with_seeds(
    pipeline: Pipeline, train: pd.DataFrame, test: pd.DataFrame, contract: Contract, metric: str, count: int, seed: int
) -> dict[str, Any]:
    """Fit `count` times with the seeds after `seed`.

    Returns
    -------
    dict with the `metric`, its `values` on the test part, their `mean`, `std` (None of one fit) and `range`.
    """
    values = [
        _fit_and_measure(clone_untuned(pipeline, seed + 1 + index), train, test, contract, metric)
        for index in range(count)
    ]
    return {
        "metric": metric,
        "values": values,
        "mean": float(np.mean(values)),
        "std": float(np.std(values, ddof=1)) if count > 1 else None,
        "range": max(values) - min(values),
    }


def learning_curve(
    pipeline: Pipeline, train: pd.DataFrame, test: pd.DataFrame, contract: Contract, metric: str, seed: int
) -> list[dict[str, float]]:
    """Fit on growing shares of the training rows, drawn by `seed`, each within the next.

    Returns
    -------
    One dict a share: the number of `rows`, and the metric's `value` on the test part.
    """
    order = np.random.default_rng(seed).permutation(len(train))
    points = []
    for share in SHARES:
        rows = train.iloc[np.sort(order[: max(2, round(share * len(train)))])]
        points.append(
            {"rows": len(rows), "value": _fit_and_measure(clone_untuned(pipeline), rows, test, contract, metric)}
        )
    return points


def _fit_and_measure(
    pipeline: Pipeline, train: pd.DataFrame, test: pd.DataFrame, contract: Contract, metric: str
) -> float:
    """Fit, and return the metric on the test part.

    There is no calibration and no threshold: they depend on the validation part, not on the seed.
    """
    pipeline.fit(train[contract.input_names], train[contract.target.name].to_numpy())
    scores = score_frame(pipeline, test[contract.input_names])
    return metric_value(make_sample(test[contract.target.name].to_numpy(), scores, contract, 0.5), metric)
