"""Score with the pipeline itself, but call its last step once for both predictions and probabilities.

`predict` and `predict_proba` each repeat the transformations, and mostly the last step's sums too. A last step that
plans support is scored by its plan. Of the other classifiers, those whose predictions and probabilities both follow
from one margin are called for that margin; any other estimator is called twice.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sklearn import get_config

from skline.contract.frames import to_frame
from skline.contract.spec import Column, Value
from skline.scoring.estimators.base import Link, ProbabilityLink
from skline.scoring.estimators.boosting import gradient_boosting_link, hist_link
from skline.scoring.estimators.linear import logistic_link
from skline.scoring.final_estimator import FinalEstimatorScorer
from skline.scoring.reference import is_pipeline, score_estimator, transform_before_last_step
from skline.scoring.scores import Scores, UnsupportedStep
from skline.scoring.sklearn_internals import public_type_name

log = logging.getLogger("skline.scoring")

#: Classifiers whose predictions follow from `predict_proba`.
PROBABILITY_CLASSIFIERS = (
    "sklearn.ensemble.ExtraTreesClassifier",
    "sklearn.ensemble.RandomForestClassifier",
    "sklearn.tree.DecisionTreeClassifier",
)
#: Classifiers whose predictions and probabilities follow from `decision_function`.
DECISION_CLASSIFIERS: dict[str, Callable[[Any], Link]] = {
    "sklearn.ensemble.GradientBoostingClassifier": gradient_boosting_link,
    "sklearn.ensemble.HistGradientBoostingClassifier": hist_link,
    "sklearn.linear_model.LogisticRegression": logistic_link,
}


def pipeline_scorer(pipeline: Any, columns: Sequence[Column]) -> Callable[[Sequence[Mapping[str, Value]]], Scores]:
    """Return a function that scores rows, with the results of `score_with_pipeline`."""
    score_frame = frame_scorer(pipeline)
    return lambda rows: score_frame(to_frame(columns, rows))


def frame_scorer(pipeline: Any) -> Callable[[Any], Scores]:
    """Return a function that scores a DataFrame of the pipeline's columns, with the results of `score_frame`."""
    score = _final_estimator_scorer(pipeline)
    return lambda frame: score(transform_before_last_step(pipeline, frame))


def _final_estimator_scorer(pipeline: Any) -> Callable[[Any], Scores]:
    """Return a function that scores transformed rows with the last step of the pipeline."""
    estimator = pipeline.steps[-1][1] if is_pipeline(pipeline) else pipeline
    n_features = getattr(estimator, "n_features_in_", None)
    score_unplanned = _unplanned_scorer(estimator)
    if is_pipeline(pipeline) and n_features is not None and get_config()["transform_output"] == "default":
        name = type(estimator).__name__
        try:
            return FinalEstimatorScorer(estimator, n_features, score_unplanned).score
        except UnsupportedStep as error:
            log.debug("%s scores without a plan: %s", name, error)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in reading it, it can still score
            log.warning("%s scores without a plan: reading it failed with %s", name, type(error).__name__)
    return score_unplanned


def _unplanned_scorer(estimator: Any) -> Callable[[Any], Scores]:
    """Return a function that scores data with an estimator without a plan, in as few calls as possible."""
    name = public_type_name(estimator)
    if getattr(estimator, "n_outputs_", 1) == 1:
        if name in PROBABILITY_CLASSIFIERS:
            probability_link = ProbabilityLink(estimator.classes_)
            return lambda data: probability_link.batch_scores(estimator.predict_proba(data))
        if name in DECISION_CLASSIFIERS:
            try:
                link = DECISION_CLASSIFIERS[name](estimator)
            except UnsupportedStep:
                return partial(score_estimator, estimator)
            return lambda data: link.batch_scores(estimator.decision_function(data))
    return partial(score_estimator, estimator)
