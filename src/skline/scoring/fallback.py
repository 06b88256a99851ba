"""Scoring with the pipeline itself, but asking its last step once for both predictions and probabilities.

`predict` and `predict_proba` each repeat the preparation, and mostly the model's sums too. A last step that can be
planned by itself is asked by its plan. Of others, classifiers whose two answers are known to follow from one margin
are asked for that margin; any other is asked twice.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sklearn import get_config

from skline.contract.frames import to_frame
from skline.contract.spec import Column, Value
from skline.scoring.answers import NotPlannable, Scores
from skline.scoring.boosting import gradient_link, hist_link
from skline.scoring.last_step import LastStep
from skline.scoring.model import Binary, Link, Shares, Softmax
from skline.scoring.reference import prepared_for_last_step, score_with
from skline.scoring.transformers import qualified_name

log = logging.getLogger("skline.scoring")

#: Estimators whose probabilities are the margin, and those that have a decision_function.
AVERAGING = tuple(
    f"sklearn.{name}"
    for name in (
        "ensemble._forest.ExtraTreesClassifier",
        "ensemble._forest.RandomForestClassifier",
        "tree._classes.DecisionTreeClassifier",
    )
)
DECIDING: dict[str, Callable[[Any], Link]] = {
    "sklearn.ensemble._gb.GradientBoostingClassifier": gradient_link,
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier": hist_link,
    "sklearn.linear_model._logistic.LogisticRegression": lambda estimator: (
        Binary(estimator.classes_) if len(estimator.classes_) == 2 else Softmax(estimator.classes_)
    ),
}


def pipeline_scorer(pipeline: Any, columns: Sequence[Column]) -> Callable[[Sequence[Mapping[str, Value]]], Scores]:
    """Return a function that scores rows and gives what `score_with_pipeline` gives."""
    score_frame = frame_scorer(pipeline)
    return lambda rows: score_frame(to_frame(columns, rows))


def frame_scorer(pipeline: Any) -> Callable[[Any], Scores]:
    """Return a function that scores a DataFrame of the pipeline's columns and gives what `score_frame` gives."""
    score = _last_step(pipeline)
    return lambda frame: score(prepared_for_last_step(pipeline, frame))


def _last_step(pipeline: Any) -> Callable[[Any], Scores]:
    """How the estimator that ends the pipeline is asked."""
    is_pipeline = qualified_name(pipeline) == "sklearn.pipeline.Pipeline"
    estimator = pipeline.steps[-1][1] if is_pipeline else pipeline
    features = getattr(estimator, "n_features_in_", None)
    unplanned = partial(_margin(estimator), estimator)
    if is_pipeline and features is not None and get_config()["transform_output"] == "default":
        try:
            return LastStep(estimator, features, unplanned).score
        except NotPlannable as error:
            log.debug("%s is asked itself: %s", type(estimator).__name__, error)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in reading it, it can still be asked
            log.warning("%s is asked itself: reading it failed with %s", type(estimator).__name__, type(error).__name__)
    return unplanned


def _margin(estimator: Any) -> Callable[[Any, Any], Scores]:
    """How an estimator is asked that is not planned."""
    name = qualified_name(estimator)
    if getattr(estimator, "n_outputs_", 1) != 1:
        return score_with
    if name in AVERAGING:
        shares = Shares(estimator.classes_)
        return lambda model, data: shares.answers(model.predict_proba(data))
    if name in DECIDING:
        try:
            link = DECIDING[name](estimator)
        except NotPlannable:
            return score_with
        return lambda model, data: link.answers(model.decision_function(data))
    return score_with
