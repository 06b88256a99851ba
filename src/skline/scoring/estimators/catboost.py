"""Plans of CatBoost's estimators, read from the public JSON form of their model; scoring imports no CatBoost.

A tree of CatBoost has the same split at all nodes of a level: whether a value, rounded to float32, is above a border.
The leaves are added in float64, then the bias. A logistic function has the C library's bits; softmax and exponential
are CatBoost's own, within a few units in the last place.
"""

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from skline.scoring.estimators.base import EstimatorPlan, Link, RegressionLink
from skline.scoring.estimators.ensemble import TreeSum
from skline.scoring.estimators.library_links import ExponentialLink, LogisticLink, OneVersusAllLink, StableSoftmaxLink
from skline.scoring.estimators.trees import Tree, constant_tree, float64_threshold
from skline.scoring.matrix import Matrix, as_floats, check_names
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import Exactness, FloatArray, UnsupportedStep

IDENTITY = ("RMSE", "MAE", "Quantile", "MAPE", "Huber", "LogCosh", "Expectile", "Lq")
EXPONENTIAL = ("Poisson", "Tweedie")


def read_catboost(checks: RowChecks, estimator: Any, matrix: Matrix) -> EstimatorPlan:  # noqa: ARG001 - the interface of readers
    """Read a CatBoostClassifier or CatBoostRegressor over numbers, with symmetric trees."""
    # CatBoost's n_features_in_ is 0 after it was unpickled.
    check_names(matrix, estimator, width=len(estimator.feature_names_))
    if matrix.container == "sparse":
        raise UnsupportedStep("plans do not support CatBoost over a sparse matrix; set sparse_threshold=0 before it")
    expressions = as_floats(matrix, estimator, allow_float32=True)
    with tempfile.TemporaryDirectory(prefix="skline-") as folder:
        path = Path(folder) / "model.json"
        estimator.save_model(str(path), format="json")
        model = json.loads(path.read_bytes())
    scale, bias = model["scale_and_bias"]
    if "oblivious_trees" not in model or scale != 1:
        raise UnsupportedStep("plans support CatBoost's symmetric trees only; leave grow_policy as it is")
    width = len(bias)
    trees = [constant_tree(np.zeros(width))]
    trees += [_read_tree(tree, _missing_is_above(model), width) for tree in model["oblivious_trees"]]
    trees.append(constant_tree(np.array(bias, dtype=np.float64)))
    link, exactness = _link(estimator, width)
    kernel = partial(_predict_margins, model=estimator)
    margin = TreeSum(trees, expressions, kernel, is_scalar=width == 1, exactness=exactness)
    return EstimatorPlan(margin, link)


def _missing_is_above(model: dict[str, Any]) -> dict[int, bool]:
    """Return for each feature whether a missing value counts as above every border."""
    if model["features_info"].get("categorical_features"):
        raise UnsupportedStep("plans do not support CatBoost's cat_features; encode them with OneHotEncoder before it")
    return {
        feature["feature_index"]: feature["nan_value_treatment"] == "AsTrue"
        for feature in model["features_info"]["float_features"]
    }


def _read_tree(tree: dict[str, Any], missing_is_above: dict[int, bool], width: int) -> Tree:
    """Read one tree: node p has the children 2 p + 1 and 2 p + 2; bit i of a leaf's number is the side of split i."""
    splits = tree["splits"] or []  # None where no column has two values
    values = np.array(tree["leaf_values"], dtype=np.float64).reshape(-1, width)
    unknown = {split["split_type"] for split in splits} - {"FloatFeature"}
    if unknown:
        raise UnsupportedStep(f"plans do not support CatBoost's splits of type {', '.join(sorted(unknown))}")
    inner = 2 ** len(splits) - 1
    thresholds = float64_threshold(np.array([split["border"] for split in splits], dtype=np.float64)).tolist()
    levels = [(p + 1).bit_length() - 1 for p in range(inner)]
    leaves = [_leaf_number(node, len(splits)) for node in range(inner, 2 * inner + 1)]
    n_leaves = len(leaves)
    features = [split["float_feature_index"] for split in splits]
    return Tree(
        [features[level] for level in levels] + [-1] * n_leaves,
        [thresholds[level] for level in levels] + [0.0] * n_leaves,
        [2 * p + 1 for p in range(inner)] + [-1] * n_leaves,
        [2 * p + 2 for p in range(inner)] + [-1] * n_leaves,
        [not missing_is_above[features[level]] for level in levels] + [False] * n_leaves,
        np.concatenate([np.zeros((inner, width)), values[leaves]]),
        {},
    )


def _leaf_number(node: int, depth: int) -> int:
    """Return the number of the leaf at a node of the last level."""
    number = 0
    for level in reversed(range(depth)):
        number |= (1 - node % 2) << level  # a right child is even
        node = (node - 1) // 2
    return number


def _predict_margins(values: FloatArray, model: Any) -> Any:
    """Predict the sums with CatBoost itself, for trees that are too large for lookup tables."""
    return np.asarray(model.predict(values, prediction_type="RawFormulaVal"), dtype=np.float64)


def _link(estimator: Any, width: int) -> tuple[Link, Exactness]:
    """Return the link of the loss function, and how exact its results are."""
    loss = str(estimator.get_all_params()["loss_function"])
    name = loss.partition(":")[0]
    classes = getattr(estimator, "classes_", None)
    if classes is None or not len(classes):
        if width == 1 and name in IDENTITY:
            return RegressionLink(), "bits"
        if width == 1 and name in EXPONENTIAL:
            return ExponentialLink("float64"), "ulp"
    elif width == 1 and name in ("Logloss", "CrossEntropy") and len(classes) == 2:
        return LogisticLink(classes, "float64", by_margin=True), "bits"
    elif name == "MultiClass" and width == len(classes):
        return StableSoftmaxLink(classes, "float64", by_margin=True), "ulp"
    elif name == "MultiClassOneVsAll" and width == len(classes):
        return OneVersusAllLink(classes, "float64", by_margin=True), "bits"
    raise UnsupportedStep(f"plans do not support the loss function {loss} of {type(estimator).__name__}")
