"""Plans of XGBoost's estimators, read from the public JSON form of their booster; scoring imports no XGBoost.

XGBoost rounds values to float32 and compares them with float32 thresholds (`<`), adds the leaves of the trees to the
base score in float32, and transforms the sum in float32 by the C library's `expf`.
"""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skline.scoring import libm
from skline.scoring.estimators.base import EstimatorPlan, Link
from skline.scoring.estimators.categories import integer_categories
from skline.scoring.estimators.ensemble import TreeSum
from skline.scoring.estimators.library_links import ExponentialLink, IdentityLink, LogisticLink, StableSoftmaxLink
from skline.scoring.estimators.trees import Tree, constant_tree, float64_threshold
from skline.scoring.matrix import Matrix, as_floats, check_names
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import FloatArray, UnsupportedStep

IDENTITY = ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:squaredlogerror")
EXPONENTIAL = ("count:poisson", "reg:gamma", "reg:tweedie")
CATEGORICAL = 1


class Forest(NamedTuple):
    """What is read of a booster.

    Attributes
    ----------
    trees : list of dict
        Those that predictions use, interleaved by class.
    base : float32 ndarray of shape (width,)
        The sums' first terms.
    """

    trees: list[dict[str, Any]]
    base: npt.NDArray[np.float32]
    objective: str
    rounds: int


def read_xgboost(checks: RowChecks, estimator: Any, matrix: Matrix) -> EstimatorPlan:  # noqa: ARG001 - the interface of readers
    """Read an XGBClassifier or XGBRegressor whose booster is gbtree."""
    check_names(matrix, estimator)
    if matrix.container == "sparse":
        raise UnsupportedStep("XGBoost takes the zeros of a sparse matrix as missing; set sparse_threshold=0 before it")
    if not np.isnan(estimator.missing):
        raise UnsupportedStep(f"plans do not support {type(estimator).__name__}(missing={estimator.missing!r})")
    expressions = list(as_floats(matrix, estimator, allow_float32=True))
    booster = estimator.get_booster()
    forest = _read_booster(json.loads(booster.save_raw("json"))["learner"])
    tops = _largest_categories(forest.trees)
    for feature, top in tops.items():
        expressions[feature] = integer_categories(expressions[feature], top, estimator, unknown=top + 1.0)
    width = len(forest.base)
    trees = [constant_tree(forest.base[k : k + 1]) for k in range(width)]
    trees += [_read_tree(tree, tops) for tree in forest.trees]
    kernel = partial(_predict_margins, booster=booster, rounds=forest.rounds)
    margin = TreeSum(trees, expressions, kernel, width=width, is_scalar=width == 1)
    return EstimatorPlan(margin, _link(estimator, forest.objective, width))


def _read_booster(learner: dict[str, Any]) -> Forest:
    """Read the part "learner" of a booster's JSON form.

    Raises
    ------
    UnsupportedStep
        If it is not of the kind gbtree, or has several targets.
    """
    booster, params = learner["gradient_booster"], learner["learner_model_param"]
    if booster["name"] != "gbtree":
        raise UnsupportedStep(f"plans do not support XGBoost's booster {booster['name']!r}; use gbtree")
    objective = learner["objective"]["name"]
    width = max(1, int(params["num_class"]))
    scores = np.array(json.loads(params["base_score"]), dtype=np.float32)
    if int(params["num_target"]) != 1 or len(scores) not in (1, width):
        raise UnsupportedStep("XGBoost was fitted on several targets; plans support one")
    model = booster["model"]
    per_round = model["iteration_indptr"]
    rounds = len(per_round) - 1
    if "best_iteration" in learner["attributes"]:  # early stopping: later trees do not count
        rounds = int(learner["attributes"]["best_iteration"]) + 1
    by_class: list[list[dict[str, Any]]] = [[] for _ in range(width)]
    for tree, index in zip(model["trees"][: per_round[rounds]], model["tree_info"], strict=False):
        by_class[index].append(tree)
    trees = [tree for group in zip(*by_class, strict=True) for tree in group]
    base = np.array([_base_margin(float(score), objective) for score in scores], dtype=np.float32)
    return Forest(trees, np.broadcast_to(base, (width,)), objective, rounds)


def _base_margin(score: float, objective: str) -> float:
    """Convert a base score, on the scale of predictions, to the scale of the sums, as XGBoost does in float32."""
    if objective == "binary:logistic":
        return -libm.logf(libm.float32(libm.float32(1 / score) - 1))
    return libm.logf(score) if objective in EXPONENTIAL else score


def _largest_categories(trees: Sequence[dict[str, Any]]) -> dict[int, int]:
    """Return the largest category of the splits of each feature that is split by category."""
    tops: dict[int, int] = {}
    for tree in trees:
        for node, right in _right_categories(tree).items():
            feature = tree["split_indices"][node]
            tops[feature] = max(tops.get(feature, 0), *right)
    return tops


def _right_categories(tree: dict[str, Any]) -> dict[int, frozenset[int]]:
    """Return the categories that go right, for each node that splits by category."""
    right = {}
    for node, start, size in zip(
        tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
    ):
        right[node] = frozenset(tree["categories"][start : start + size])
    return right


def _read_tree(tree: dict[str, Any], tops: dict[int, int]) -> Tree:
    """Read one tree; a category beyond those of its column's splits goes left."""
    conditions = np.array(tree["split_conditions"], dtype=np.float32)
    is_leaf = [child == -1 for child in tree["left_children"]]
    # A value goes left if it is below the condition: at most the float32 before it.
    thresholds = float64_threshold(np.nextafter(conditions, np.float32(-np.inf)))
    categories = {}
    for node, right in _right_categories(tree).items():
        known = frozenset(range(tops[tree["split_indices"][node]] + 2))
        categories[node] = known - right, known
    return Tree(
        [-1 if leaf else feature for leaf, feature in zip(is_leaf, tree["split_indices"], strict=True)],
        thresholds.tolist(),
        tree["left_children"],
        tree["right_children"],
        [bool(left) for left in tree["default_left"]],
        conditions.reshape(-1, 1),
        categories,
    )


def _predict_margins(values: FloatArray, booster: Any, rounds: int) -> Any:
    """Predict the sums with XGBoost itself, for trees that are too large for lookup tables."""
    return booster.inplace_predict(values, iteration_range=(0, rounds), predict_type="margin")


def _link(estimator: Any, objective: str, width: int) -> Link:
    """Return the link of an objective."""
    classes = getattr(estimator, "classes_", None)
    if classes is None and width == 1:
        if objective in IDENTITY:
            return IdentityLink("float32")
        if objective in EXPONENTIAL:
            return ExponentialLink("float32")
    elif classes is not None and objective == "binary:logistic" and len(classes) == 2:
        return LogisticLink(classes, "float32")
    elif classes is not None and objective == "multi:softprob":
        return StableSoftmaxLink(classes, "float32")
    raise UnsupportedStep(f"plans do not support the objective {objective!r} of {type(estimator).__name__}")
