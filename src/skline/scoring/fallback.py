"""Scoring with the pipeline itself, but asking its last step once for both predictions and probabilities.

`predict` and `predict_proba` each repeat the preparation, and mostly the model's sums too. For classifiers
whose two answers are known to follow from one margin it is asked for that margin; any other is asked twice.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from skline.contract.frames import to_frame
from skline.contract.spec import Column, Value
from skline.scoring.answers import NotPlannable, Scores
from skline.scoring.boosting import gradient_link, hist_link
from skline.scoring.model import Binary, Link, Shares, Softmax
from skline.scoring.reference import prepared_for_last_step, score_with
from skline.scoring.transformers import qualified_name

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
    estimator, ask = _last_step(pipeline)
    return lambda frame: ask(estimator, prepared_for_last_step(pipeline, frame))


def _last_step(pipeline: Any) -> tuple[Any, Callable[[Any, Any], Scores]]:
    """The estimator that ends the pipeline, and how to ask it."""
    is_pipeline = qualified_name(pipeline) == "sklearn.pipeline.Pipeline"
    estimator = pipeline.steps[-1][1] if is_pipeline else pipeline
    name = qualified_name(estimator)
    if getattr(estimator, "n_outputs_", 1) != 1:
        return estimator, score_with
    if name in AVERAGING:
        shares = Shares(estimator.classes_)
        return estimator, lambda model, data: shares.answers(model.predict_proba(data))
    if name in DECIDING:
        try:
            link = DECIDING[name](estimator)
        except NotPlannable:
            return estimator, score_with
        return estimator, lambda model, data: link.answers(model.decision_function(data))
    return estimator, score_with
