"""The candidates of a search: the default configuration, then others drawn from a space that suits the estimator."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from skline.errors import SklineError
from skline.settings import Range

#: Parameter → its possible values, or a range of numbers.
Space = Mapping[str, list[Any] | Range]

_FOREST: Space = {
    "max_features": ["sqrt", 0.3, 0.5, 1.0],
    "min_samples_leaf": [1, 2, 5, 10, 20],
    "max_depth": [None, 8, 16],
}
_BOOSTING: Space = {
    "learning_rate": Range(low=0.02, high=0.3, log=True),
    "max_leaf_nodes": [7, 15, 31, 63],
    "min_samples_leaf": [5, 10, 20, 50, 100],
    "l2_regularization": [0.0, 0.1, 1.0, 10.0],
    "max_features": [0.3, 0.6, 1.0],
}
_LIGHTGBM: Space = {
    "learning_rate": Range(low=0.02, high=0.3, log=True),
    "num_leaves": [7, 15, 31, 63],
    "min_child_samples": [5, 10, 20, 50, 100],
    "reg_lambda": [0.0, 0.1, 1.0, 10.0],
    "colsample_bytree": [0.3, 0.6, 1.0],
}
_XGBOOST: Space = {
    "learning_rate": Range(low=0.02, high=0.3, log=True),
    "max_depth": [3, 4, 5, 6],
    "min_child_weight": [1, 2, 5, 10, 20],
    "reg_lambda": [0.1, 1.0, 10.0],
    "colsample_bytree": [0.3, 0.6, 1.0],
}
_CATBOOST: Space = {
    "learning_rate": Range(low=0.02, high=0.3, log=True),
    "depth": [3, 4, 5, 6],
    "l2_leaf_reg": [1.0, 3.0, 10.0],
}
#: Class of an estimator → its most important parameters, with the usual range of good values.
SPACES: dict[str, Space] = {
    "HistGradientBoostingClassifier": _BOOSTING,
    "HistGradientBoostingRegressor": _BOOSTING,
    "RandomForestClassifier": _FOREST,
    "RandomForestRegressor": _FOREST,
    "ExtraTreesClassifier": _FOREST,
    "ExtraTreesRegressor": _FOREST,
    "LGBMClassifier": _LIGHTGBM,
    "LGBMRegressor": _LIGHTGBM,
    "XGBClassifier": _XGBOOST,
    "XGBRegressor": _XGBOOST,
    "CatBoostClassifier": _CATBOOST,
    "CatBoostRegressor": _CATBOOST,
    "LogisticRegression": {"C": Range(low=1e-3, high=1e3, log=True)},
    "Ridge": {"alpha": Range(low=1e-3, high=1e3, log=True)},
    "ElasticNet": {"alpha": Range(low=1e-4, high=10, log=True), "l1_ratio": [0.1, 0.5, 0.9, 1.0]},
}
#: Only boosting without early stopping needs a chosen number of trees.
_TREES = Range(low=50, high=400, log=True)
_LIBRARY_SPACES = (_LIGHTGBM, _XGBOOST, _CATBOOST)


def default_space(pipeline: Pipeline) -> dict[str, list[Any] | Range]:
    """Return the space of the pipeline's estimator, also inside a calibration or a transformed target.

    Raises
    ------
    SklineError
        If there is no default space for the estimator.
    """
    params = pipeline.get_params()
    estimators = {name: value for name, value in params.items() if type(value).__name__ in SPACES}
    if not estimators:
        last = type(pipeline[-1]).__name__
        raise SklineError(
            f"train.search: there is no default space for {last}; add one as train.search.space in params.yaml: "
            "step__parameter: [values] or {low: …, high: …, log: true}"
        )
    prefix = min(estimators, key=len)
    estimator = estimators[prefix]
    space = dict(SPACES[type(estimator).__name__])
    if getattr(estimator, "early_stopping", True) is False:
        space["max_iter"] = _TREES
    wrapper = params.get(prefix.removesuffix("__estimator"))
    if SPACES[type(estimator).__name__] in _LIBRARY_SPACES and not getattr(wrapper, "early_stopping_rounds", None):
        space["n_estimators"] = _TREES
    # CatBoost's get_params returns only what was set.
    return {f"{prefix}__{name}": values for name, values in space.items() if f"{prefix}__{name}" in params}


def draw_candidates(space: Space, count: int, seed: int) -> list[dict[str, Any]]:
    """Draw distinct configurations; the first is {}, the default configuration.

    Parameters
    ----------
    space : mapping from "step__parameter" to values or Range
    count : int
        Number of configurations, including the default one; fewer are returned where the space holds fewer.
    seed : int
    """
    random = np.random.default_rng(seed)
    candidates: list[dict[str, Any]] = [{}]
    for _ in range(20 * count):
        if len(candidates) >= count:
            break
        drawn = {name: _draw(values, random) for name, values in space.items()}
        if drawn not in candidates:
            candidates.append(drawn)
    return candidates[:count]


def _draw(values: list[Any] | Range, random: np.random.Generator) -> Any:
    """Return one of the values, or a number of the range with four significant digits, so that it is readable."""
    if isinstance(values, list):
        return values[int(random.integers(len(values)))]
    if values.log:
        number = float(np.exp(random.uniform(np.log(values.low), np.log(values.high))))
    else:
        number = float(random.uniform(values.low, values.high))
    is_integer = isinstance(values.low, int) and isinstance(values.high, int)
    number = min(max(float(f"{number:.4g}"), values.low), values.high)
    return round(number) if is_integer else number
