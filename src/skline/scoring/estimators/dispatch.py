"""Find the reader of a fitted estimator by its exact type, and read it into an EstimatorPlan.

Only exact types are supported, named as their public module exports them: a subclass may override anything.
"""

from collections.abc import Callable
from typing import Any

from skline.scoring.estimators.base import EstimatorPlan, ReadEstimator
from skline.scoring.estimators.boosting import read_gradient_boosting, read_hist_gradient_boosting
from skline.scoring.estimators.calibration import read_calibrated
from skline.scoring.estimators.catboost import read_catboost
from skline.scoring.estimators.dummy import read_dummy
from skline.scoring.estimators.forests import read_forest, read_tree
from skline.scoring.estimators.lightgbm import read_lightgbm
from skline.scoring.estimators.linear import read_linear_regressor, read_logistic_regression
from skline.scoring.estimators.wrappers import (
    read_boosting,
    read_frozen,
    read_threshold,
    read_transformed_target,
)
from skline.scoring.estimators.xgboost import read_xgboost
from skline.scoring.matrix import Matrix
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import UnsupportedStep
from skline.scoring.sklearn_internals import public_type_name
from skline.scoring.transformers.dispatch import check_output, transform

ESTIMATORS: dict[str, ReadEstimator] = {
    "catboost.core.CatBoostClassifier": read_catboost,
    "catboost.core.CatBoostRegressor": read_catboost,
    "lightgbm.sklearn.LGBMClassifier": read_lightgbm,
    "lightgbm.sklearn.LGBMRegressor": read_lightgbm,
    "sklearn.dummy.DummyClassifier": read_dummy,
    "sklearn.dummy.DummyRegressor": read_dummy,
    "sklearn.ensemble.ExtraTreesClassifier": read_forest,
    "sklearn.ensemble.ExtraTreesRegressor": read_forest,
    "sklearn.ensemble.GradientBoostingClassifier": read_gradient_boosting,
    "sklearn.ensemble.GradientBoostingRegressor": read_gradient_boosting,
    "sklearn.ensemble.HistGradientBoostingClassifier": read_hist_gradient_boosting,
    "sklearn.ensemble.HistGradientBoostingRegressor": read_hist_gradient_boosting,
    "sklearn.ensemble.RandomForestClassifier": read_forest,
    "sklearn.ensemble.RandomForestRegressor": read_forest,
    "sklearn.linear_model.ARDRegression": read_linear_regressor,
    "sklearn.linear_model.BayesianRidge": read_linear_regressor,
    "sklearn.linear_model.ElasticNet": read_linear_regressor,
    "sklearn.linear_model.ElasticNetCV": read_linear_regressor,
    "sklearn.linear_model.HuberRegressor": read_linear_regressor,
    "sklearn.linear_model.Lars": read_linear_regressor,
    "sklearn.linear_model.Lasso": read_linear_regressor,
    "sklearn.linear_model.LassoCV": read_linear_regressor,
    "sklearn.linear_model.LassoLars": read_linear_regressor,
    "sklearn.linear_model.LinearRegression": read_linear_regressor,
    "sklearn.linear_model.LogisticRegression": read_logistic_regression,
    "sklearn.linear_model.Ridge": read_linear_regressor,
    "sklearn.linear_model.RidgeCV": read_linear_regressor,
    "sklearn.tree.DecisionTreeClassifier": read_tree,
    "sklearn.tree.DecisionTreeRegressor": read_tree,
    "sklearn.tree.ExtraTreeClassifier": read_tree,
    "sklearn.tree.ExtraTreeRegressor": read_tree,
    "xgboost.sklearn.XGBClassifier": read_xgboost,
    "xgboost.sklearn.XGBRegressor": read_xgboost,
}

#: Estimators that wrap another one; their readers get the function that reads it.
WRAPPERS: dict[str, Callable[[RowChecks, Any, Matrix, ReadEstimator], EstimatorPlan]] = {
    "skline.features.boosting.BoostingClassifier": read_boosting,
    "skline.features.boosting.BoostingRegressor": read_boosting,
    "sklearn.calibration.CalibratedClassifierCV": read_calibrated,
    "sklearn.compose.TransformedTargetRegressor": read_transformed_target,
    "sklearn.frozen.FrozenEstimator": read_frozen,
    "sklearn.model_selection.FixedThresholdClassifier": read_threshold,
    "sklearn.model_selection.TunedThresholdClassifierCV": read_threshold,
}


def read_estimator(checks: RowChecks, estimator: Any, matrix: Matrix) -> EstimatorPlan:
    """Read a fitted estimator, or a pipeline that ends in one.

    Parameters
    ----------
    checks : RowChecks
        Collects the conditions under which the estimator rejects a row.
    estimator : estimator
    matrix : Matrix
        What the estimator receives.

    Raises
    ------
    UnsupportedStep
        If plans do not support a type or a parameter.
    """
    name = public_type_name(estimator)
    if name == "sklearn.pipeline.Pipeline":
        for _, step in estimator.steps[:-1]:
            if step is not None:
                matrix = transform(checks, step, matrix)
        return read_estimator(checks, estimator.steps[-1][1], matrix)
    check_output(estimator)
    if name in WRAPPERS:
        return WRAPPERS[name](checks, estimator, matrix, read_estimator)
    if name not in ESTIMATORS:
        raise UnsupportedStep(
            f"plans do not support the estimator {type(estimator).__name__}; the pipeline itself can serve it"
        )
    return ESTIMATORS[name](checks, estimator, matrix)
