"""Finish a fitted pipeline on the validation part, and look inside one that was finished."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline

from skline.contract.spec import Contract
from skline.scoring.reference import prepared_for_last_step
from skline.settings_threshold import Objective
from skline.tuning.calibrate import Method, calibrate
from skline.tuning.conformal import interval
from skline.tuning.record import Tuning
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
) -> tuple[Pipeline, Tuning]:
    """Calibrate a classifier and set its threshold, or measure a regressor's interval.

    Parameters
    ----------
    pipeline : fitted Pipeline
    validation : DataFrame of shape (n_rows, n_columns)
        With the contract's inputs and target; none of these rows was fitted on.
    contract : Contract
    method : {"auto", "off", "sigmoid", "isotonic"}
        See `calibrate`.
    threshold : float or Objective
        See `set_threshold`; of binary models alone.
    level : float
        Of a regressor's interval.
    seed : int

    Returns
    -------
    One Pipeline with the same steps, the last of which may be wrapped, and what was set.
    """
    X = prepared_for_last_step(pipeline, validation[contract.input_names])
    truth = validation[contract.target.name].to_numpy()
    if contract.classes is None:
        found = interval(truth.astype(np.float64), pipeline[-1].predict(X), level)
        return pipeline, Tuning(rows=len(truth), interval=found)
    model, calibration = calibrate(pipeline[-1], X, truth, method, seed)
    limit = None
    if contract.task == "binary":
        model, limit = set_threshold(model, X, truth, contract.classes[1], threshold)
    name = pipeline.steps[-1][0]
    return Pipeline([*pipeline.steps[:-1], (name, model)]), Tuning(
        rows=len(truth), calibration=calibration, threshold=limit
    )


def bare(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline as it was before `tune`: a calibration or threshold around a frozen model is taken off."""
    model = pipeline[-1]
    while isinstance(model, FixedThresholdClassifier | CalibratedClassifierCV):
        if not isinstance(model.estimator, FrozenEstimator):
            break
        model = model.estimator.estimator
    return Pipeline([*pipeline.steps[:-1], (pipeline.steps[-1][0], model)])


def unfitted(pipeline: Pipeline, seed: int | None = None) -> Pipeline:
    """Return an unfitted copy of what `bare` returns; with `seed`, in every random state."""
    copy = clone(bare(pipeline))
    if seed is not None:
        states = [name for name in copy.get_params() if name.split("__")[-1] == "random_state"]
        copy.set_params(**dict.fromkeys(states, seed))
    return copy


def threshold_of(pipeline: Any) -> float:
    """From which probability of the second class the pipeline answers it."""
    model = pipeline[-1] if isinstance(pipeline, Pipeline) else pipeline
    return float(model.threshold) if isinstance(model, FixedThresholdClassifier) else 0.5
