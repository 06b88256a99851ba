"""Which estimators a plan knows, by the full name of their exact type."""

from collections.abc import Callable
from typing import Any

from skline.scoring.answers import NotPlannable
from skline.scoring.boosting import read_gradient_boosting, read_hist_gradient_boosting
from skline.scoring.calibration import read_calibrated
from skline.scoring.dummy import read_dummy
from skline.scoring.forests import read_forest, read_tree
from skline.scoring.linear import read_linear_regressor, read_logistic_regression
from skline.scoring.matrix import Matrix, Reading
from skline.scoring.model import Model, ReadModel
from skline.scoring.transformers import check_output, qualified_name, transform
from skline.scoring.wrappers import read_frozen, read_threshold, read_transformed_target

MODELS: dict[str, Callable[[Reading, Any, Matrix], Model]] = {
    "sklearn.dummy.DummyClassifier": read_dummy,
    "sklearn.dummy.DummyRegressor": read_dummy,
    "sklearn.ensemble._forest.ExtraTreesClassifier": read_forest,
    "sklearn.ensemble._forest.ExtraTreesRegressor": read_forest,
    "sklearn.ensemble._forest.RandomForestClassifier": read_forest,
    "sklearn.ensemble._forest.RandomForestRegressor": read_forest,
    "sklearn.ensemble._gb.GradientBoostingClassifier": read_gradient_boosting,
    "sklearn.ensemble._gb.GradientBoostingRegressor": read_gradient_boosting,
    **dict.fromkeys(
        (
            "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
            "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor",
        ),
        read_hist_gradient_boosting,
    ),
    "sklearn.linear_model._logistic.LogisticRegression": read_logistic_regression,
    **dict.fromkeys(
        (
            "sklearn.linear_model._base.LinearRegression",
            "sklearn.linear_model._bayes.ARDRegression",
            "sklearn.linear_model._bayes.BayesianRidge",
            "sklearn.linear_model._coordinate_descent.ElasticNet",
            "sklearn.linear_model._coordinate_descent.ElasticNetCV",
            "sklearn.linear_model._coordinate_descent.Lasso",
            "sklearn.linear_model._coordinate_descent.LassoCV",
            "sklearn.linear_model._huber.HuberRegressor",
            "sklearn.linear_model._least_angle.Lars",
            "sklearn.linear_model._least_angle.LassoLars",
            "sklearn.linear_model._ridge.Ridge",
            "sklearn.linear_model._ridge.RidgeCV",
        ),
        read_linear_regressor,
    ),
    **{
        f"sklearn.tree._classes.{name}": read_tree
        for name in (
            "DecisionTreeClassifier",
            "DecisionTreeRegressor",
            "ExtraTreeClassifier",
            "ExtraTreeRegressor",
        )
    },
}

#: Those that hold another estimator.
WRAPPERS: dict[str, Callable[[Reading, Any, Matrix, ReadModel], Model]] = {
    "sklearn.calibration.CalibratedClassifierCV": read_calibrated,
    "sklearn.compose._target.TransformedTargetRegressor": read_transformed_target,
    "sklearn.frozen._frozen.FrozenEstimator": read_frozen,
    "sklearn.model_selection._classification_threshold.FixedThresholdClassifier": read_threshold,
    "sklearn.model_selection._classification_threshold.TunedThresholdClassifierCV": read_threshold,
}


def read_model(reading: Reading, estimator: Any, matrix: Matrix) -> Model:
    """Read a fitted estimator, or a pipeline that ends in one.

    Raises
    ------
    NotPlannable
        If a type or a parameter is not known.
    """
    name = qualified_name(estimator)
    if name == "sklearn.pipeline.Pipeline":
        for _, step in estimator.steps[:-1]:
            if step is not None:
                matrix = transform(reading, step, matrix)
        return read_model(reading, estimator.steps[-1][1], matrix)
    check_output(estimator)
    if name in WRAPPERS:
        return WRAPPERS[name](reading, estimator, matrix, read_model)
    if name not in MODELS:
        raise NotPlannable(
            f"{type(estimator).__name__} is an estimator that no plan knows; the pipeline itself can serve it"
        )
    return MODELS[name](reading, estimator, matrix)
