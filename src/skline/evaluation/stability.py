"""How the comparison metric varies over other fits of the same pipeline: with other seeds, and on fewer rows."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.pipeline import Pipeline

from skline.contract.spec import Contract
from skline.evaluation.bootstrap import metric_value
from skline.evaluation.resampling import make_sample
from skline.parallel import LOCAL, Workers
from skline.scoring.reference import score_frame
from skline.tuning.tune import clone_untuned

SHARES = (0.1, 0.25, 0.5)


@dataclass(frozen=True)
class Parts:
    """What every fit needs: the pipeline without its tuning, both parts, and the metric."""

    pipeline: Pipeline
    train: pd.DataFrame
    test: pd.DataFrame
    contract: Contract
    metric: str


class Refit(NamedTuple):
    """A fit with a seed, or with the pipeline's own; on the rows at these positions, or on all."""

    seed: int | None = None
    rows: npt.NDArray[np.intp] | None = None


def fit_with_seeds(
    pipeline: Pipeline,
    train: pd.DataFrame,
    test: pd.DataFrame,
    contract: Contract,
    metric: str,
    count: int,
    seed: int,
    workers: Workers = LOCAL,
) -> dict[str, Any]:
    """Fit `count` times with the seeds after `seed`.

    Returns
    -------
    dict with the `metric`, its `values` on the test part, their `mean`, `std` (None of one fit) and `range`.
    """
    parts = Parts(clone_untuned(pipeline), train, test, contract, metric)
    values = list(workers.map(fit_and_measure, parts, (Refit(seed + 1 + index) for index in range(count))))
    return {
        "metric": metric,
        "values": values,
        "mean": float(np.mean(values)),
        "std": float(np.std(values, ddof=1)) if count > 1 else None,
        "range": max(values) - min(values),
    }


def learning_curve(
    pipeline: Pipeline,
    train: pd.DataFrame,
    test: pd.DataFrame,
    contract: Contract,
    metric: str,
    seed: int,
    workers: Workers = LOCAL,
) -> list[dict[str, float]]:
    """Fit on growing shares of the training rows, drawn by `seed`, each within the next.

    A share that lacks a class is left out: estimators reject such rows, or predict one class for all of them.

    Returns
    -------
    One dict a share: the number of `rows`, and the metric's `value` on the test part.
    """
    order = np.random.default_rng(seed).permutation(len(train)).astype(np.intp)
    drawn = [np.sort(order[: max(2, round(share * len(train)))]) for share in SHARES]
    target, n_classes = train[contract.target.name], len(contract.classes or ())
    shares = [rows for rows in drawn if not n_classes or target.iloc[rows].nunique() == n_classes]
    parts = Parts(clone_untuned(pipeline), train, test, contract, metric)
    values = workers.map(fit_and_measure, parts, (Refit(rows=rows) for rows in shares))
    return [{"rows": len(rows), "value": value} for rows, value in zip(shares, values, strict=True)]


def fit_and_measure(parts: Parts, refit: Refit) -> float:
    """Fit, and return the metric on the test part.

    There is no calibration and no threshold: they depend on the validation part, not on the seed.
    """
    pipeline, contract = clone_untuned(parts.pipeline, refit.seed), parts.contract
    train = parts.train if refit.rows is None else parts.train.iloc[refit.rows]
    pipeline.fit(train[contract.input_names], train[contract.target.name].to_numpy())
    scores = score_frame(pipeline, parts.test[contract.input_names])
    return metric_value(make_sample(parts.test[contract.target.name].to_numpy(), scores, contract, 0.5), parts.metric)
