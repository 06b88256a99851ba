"""Tune a fitted pipeline on the validation part, and read or remove the tuning of a tuned one."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline

from skline.artifact.tuning import Tuning
from skline.contract.spec import Contract
from skline.scoring.reference import transform_before_last_step
from skline.settings.training import Objective
from skline.tuning.calibration import Method, calibrate
from skline.tuning.conformal import conformal_interval
from skline.tuning.threshold import set_threshold


def tune(
    pipeline: Pipeline,
    validation: pd.DataFrame,
    contract: Contract,
    *,
    method: Method,
    threshold: float | Objective,
    level: float,
    seed: int,
    weights: npt.NDArray[np.float64] | None = None,
) -> tuple[Pipeline, Tuning]:
    """Calibrate a classifier and set its threshold, or measure a regressor's prediction interval.

    Parameters
    ----------
    pipeline : fitted Pipeline
    validation : DataFrame of shape (n_rows, n_columns)
        With the contract's inputs and target; the pipeline must not have been fitted on any of these rows.
    contract : Contract
    method : {"auto", "off", "sigmoid", "isotonic"}
        See `calibrate`.
    threshold : float or Objective
        See `set_threshold`; for binary models only.
    level : float
        Coverage of a regressor's interval.
    seed : int
    weights : float64 array of shape (n_rows,), optional
        Of the validation rows.

    Returns
    -------
    A Pipeline with the same steps, the last of which may be wrapped, and the record of the tuning.
    """
    X = transform_before_last_step(pipeline, validation[contract.input_names])
    truth = validation[contract.target.name].to_numpy()
    if contract.classes is None:
        interval = conformal_interval(truth.astype(np.float64), pipeline[-1].predict(X), level, weights)
        return pipeline, Tuning(rows=len(truth), interval=interval)
    model, calibration = calibrate(pipeline[-1], X, truth, method, seed, weights)
    threshold_record = None
    if contract.task == "binary":
        model, threshold_record = set_threshold(model, X, truth, contract.classes[1], threshold, weights)
    name = pipeline.steps[-1][0]
    return Pipeline([*pipeline.steps[:-1], (name, model)]), Tuning(
        rows=len(truth), calibration=calibration, threshold=threshold_record
    )


def recalibrate(
    pipeline: Pipeline,
    recent: pd.DataFrame,
    contract: Contract,
    *,
    method: Method,
    threshold: float | Objective,
    level: float,
    seed: int,
    weights: npt.NDArray[np.float64] | None = None,
) -> tuple[Pipeline, Tuning]:
    """Set calibration and threshold, or the interval, of a tuned pipeline again, on recent labelled rows.

    The pipeline is not fitted: trees and coefficients stay as they are. See `tune` for parameters and returns; `recent`
    takes the place of the validation part.
    """
    return tune(
        remove_tuning(pipeline),
        recent,
        contract,
        method=method,
        threshold=threshold,
        level=level,
        seed=seed,
        weights=weights,
    )


def threshold_of(pipeline: Any) -> float:
    """Return the probability from which the pipeline predicts the second class."""
    model = pipeline[-1] if isinstance(pipeline, Pipeline) else pipeline
    return float(model.threshold) if isinstance(model, FixedThresholdClassifier) else 0.5


def remove_tuning(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline as it was before `tune`: without calibration and threshold around the last step."""
    model = pipeline[-1]
    while isinstance(model, FixedThresholdClassifier | CalibratedClassifierCV):
        if not isinstance(model.estimator, FrozenEstimator):
            break
        model = model.estimator.estimator
    return Pipeline([*pipeline.steps[:-1], (pipeline.steps[-1][0], model)])


def clone_untuned(pipeline: Pipeline, seed: int | None = None) -> Pipeline:
    """Return an unfitted copy of the pipeline without its tuning; with `seed` as every `random_state`."""
    copy = clone(remove_tuning(pipeline))
    if seed is not None:
        states = [name for name in copy.get_params() if name.split("__")[-1] == "random_state"]
        copy.set_params(**dict.fromkeys(states, seed))
    return copy
