"""Which configurations a search tries: the default one, then others drawn from a space that suits the estimator."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from skline.errors import SklineError
from skline.settings import Range

#: What one parameter may become: some of these values, or a number in a range.
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
#: Class of an estimator → its parameters that matter most, and where good values lie.
SPACES: dict[str, Space] = {
    "HistGradientBoostingClassifier": _BOOSTING,
    "HistGradientBoostingRegressor": _BOOSTING,
    "RandomForestClassifier": _FOREST,
    "RandomForestRegressor": _FOREST,
    "ExtraTreesClassifier": _FOREST,
    "ExtraTreesRegressor": _FOREST,
    "LogisticRegression": {"C": Range(low=1e-3, high=1e3, log=True)},
    "Ridge": {"alpha": Range(low=1e-3, high=1e3, log=True)},
    "ElasticNet": {"alpha": Range(low=1e-4, high=10, log=True), "l1_ratio": [0.1, 0.5, 0.9, 1.0]},
}
#: Boosting that stops by itself needs no number of trees chosen; one that does not, does.
_TREES = Range(low=50, high=400, log=True)


def default_space(pipeline: Pipeline) -> dict[str, list[Any] | Range]:
    """Find the space for the pipeline's estimator, also inside a calibration or a transformed target.

    Raises
    ------
    SklineError
        If the estimator has no space here.
    """
    known = {name: value for name, value in pipeline.get_params().items() if type(value).__name__ in SPACES}
    if not known:
        last = type(pipeline[-1]).__name__
        raise SklineError(
            f"train.search: there is no default space for {last}; write one under train.search.space in params.yaml, "
            "as step__parameter: [values] or {low: …, high: …, log: true}"
        )
    prefix = min(known, key=len)
    estimator = known[prefix]
    space = dict(SPACES[type(estimator).__name__])
    if getattr(estimator, "early_stopping", True) is False:
        space["max_iter"] = _TREES
    return {f"{prefix}__{name}": values for name, values in space.items()}


def candidates(space: Space, wanted: int, seed: int) -> list[dict[str, Any]]:
    """Draw distinct configurations; the first is {}, the default one.

    Parameters
    ----------
    space : mapping from "step__parameter" to values or Range
    wanted : int
        How many configurations, the default one among them; fewer where the space holds fewer.
    seed : int
    """
    random = np.random.default_rng(seed)
    found: list[dict[str, Any]] = [{}]
    for _ in range(20 * wanted):
        if len(found) >= wanted:
            break
        drawn = {name: _draw(values, random) for name, values in space.items()}
        if drawn not in found:
            found.append(drawn)
    return found[:wanted]


def _draw(values: list[Any] | Range, random: np.random.Generator) -> Any:
    """One of the values, or a number of the range, rounded to four digits so that it can be read."""
    if isinstance(values, list):
        return values[int(random.integers(len(values)))]
    if values.log:
        number = float(np.exp(random.uniform(np.log(values.low), np.log(values.high))))
    else:
        number = float(random.uniform(values.low, values.high))
    whole = isinstance(values.low, int) and isinstance(values.high, int)
    number = min(max(float(f"{number:.4g}"), values.low), values.high)
    return round(number) if whole else number
