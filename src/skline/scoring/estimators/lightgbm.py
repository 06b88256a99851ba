"""Plans of LightGBM's estimators, read from the public dump of their booster; scoring imports no LightGBM.

LightGBM compares float64 values with float64 thresholds (`<=`), adds the leaves of the trees in float64, and transforms
the sum by the C library's `exp`. Before it compares, it replaces values near zero by zero.
"""

from functools import partial
from typing import Any

import numpy as np

from skline.scoring.estimators.base import EstimatorPlan, Link, RegressionLink
from skline.scoring.estimators.categories import integer_categories
from skline.scoring.estimators.ensemble import TreeSum
from skline.scoring.estimators.library_links import ExponentialLink, LogisticLink, OneVersusAllLink, StableSoftmaxLink
from skline.scoring.estimators.trees import Tree, constant_tree, float64_threshold
from skline.scoring.expressions import elementwise
from skline.scoring.matrix import Matrix, as_floats, check_names
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import FloatArray, UnsupportedStep

#: LightGBM's kZeroThreshold, a float32: values up to it count as zero.
ZERO = float(np.float32(1e-35))
#: Rows from which on the booster predicts in several threads.
MIN_ROWS_FOR_THREADS = 4_000
IDENTITY = ("regression", "regression_l1", "huber", "fair", "quantile", "mape")
EXPONENTIAL = ("poisson", "gamma", "tweedie")
#: Parameters that change how LightGBM predicts, with the values that plans support.
PREDICTION_PARAMETERS = {"linear_tree": False, "pred_early_stop": False, "reg_sqrt": False}


def read_lightgbm(checks: RowChecks, estimator: Any, matrix: Matrix) -> EstimatorPlan:  # noqa: ARG001 - the interface of readers
    """Read a LGBMClassifier or LGBMRegressor; infinite and missing values are scored as LightGBM does."""
    check_names(matrix, estimator)
    expressions = list(as_floats(matrix, estimator, allow_float32=True))
    parameters = estimator.get_params()
    for name, supported in PREDICTION_PARAMETERS.items():
        if parameters.get(name, supported) != supported:
            raise UnsupportedStep(f"plans do not support {type(estimator).__name__}({name}={parameters[name]!r})")
    booster = estimator.booster_
    dump = booster.dump_model()
    if dump["pandas_categorical"]:
        raise UnsupportedStep("LightGBM was fitted on a frame with categories; encode them with OrdinalEncoder")
    # LightGBM reads an array of integers as float32.
    is_rounded = matrix.container != "frame" and matrix.dtypes <= {"int64", "int32", "bool"}
    reader = _TreeReader(is_rounded=is_rounded)
    width = dump["num_tree_per_iteration"]
    trees = [constant_tree(np.zeros(1)) for _ in range(width)]
    trees += [reader.read(info["tree_structure"]) for info in dump["tree_info"]]
    for feature, top in reader.categories.items():
        expressions[feature] = integer_categories(expressions[feature], top, estimator)
    for feature, kinds in reader.missing_kinds.items():
        if "Zero" in kinds:
            if len(kinds) > 1:
                raise UnsupportedStep("LightGBM was fitted with zero_as_missing on a model without it")
            expressions[feature] = elementwise(
                expressions[feature], "nan if -{z} <= {x} <= {z} else {x}", _zero_as_missing, {"z": ZERO}
            )
    margin = TreeSum(
        trees,
        expressions,
        partial(_predict_margins, booster=booster),
        width=width,
        divisor=float(len(dump["tree_info"]) // width) if dump["average_output"] else None,
        is_scalar=width == 1,
    )
    return EstimatorPlan(margin, _link(estimator, dump.get("objective", "custom")))


class _TreeReader:
    """Reads the trees of a dump, and notes by feature what their splits presume.

    Attributes
    ----------
    categories : dict from feature to int
        The largest category of the splits by category.
    missing_kinds : dict from feature to set of {"None", "Zero", "NaN"}
        What counts as missing, by LightGBM's names.
    """

    def __init__(self, *, is_rounded: bool) -> None:
        self.categories: dict[int, int] = {}
        self.missing_kinds: dict[int, set[str]] = {}
        self._is_rounded = is_rounded

    def read(self, root: dict[str, Any]) -> Tree:
        """Read one tree."""
        nodes: list[dict[str, Any]] = []
        stack = [root]
        while stack:
            node = stack.pop()
            node["position"] = len(nodes)
            nodes.append(node)
            if "split_feature" in node:
                stack += [node["right_child"], node["left_child"]]
        splits: list[dict[str, Any] | None] = [node if "split_feature" in node else None for node in nodes]
        values = np.array([[node.get("leaf_value", 0.0)] for node in nodes], dtype=np.float64)
        categories = {}
        for position, split in enumerate(splits):
            if split is not None and split["decision_type"] == "==":
                left = frozenset(int(text) for text in split["threshold"].split("||"))
                categories[position] = left, left
                feature = split["split_feature"]
                self.categories[feature] = max(self.categories.get(feature, 0), *left)
        return Tree(
            [-1 if split is None else split["split_feature"] for split in splits],
            [0.0 if split is None else self._threshold(split) for split in splits],
            [-1 if split is None else split["left_child"]["position"] for split in splits],
            [-1 if split is None else split["right_child"]["position"] for split in splits],
            [split is not None and self._missing_left(split) for split in splits],
            values,
            categories,
        )

    def _threshold(self, node: dict[str, Any]) -> float:
        """Return the threshold for values that were not yet replaced by zero, nor rounded to float32."""
        if node["decision_type"] == "==":
            return 0.0
        threshold = float(node["threshold"])
        if 0 <= threshold <= ZERO:
            threshold = ZERO
        elif -ZERO <= threshold < 0:
            threshold = float(np.nextafter(-ZERO, -np.inf))
        return float(float64_threshold(np.array([threshold]))[0]) if self._is_rounded else threshold

    def _missing_left(self, node: dict[str, Any]) -> bool:
        """Return whether a missing value goes left; where the feature had none in training, it counts as zero."""
        if node["decision_type"] == "==":
            return False
        kind = node["missing_type"]
        self.missing_kinds.setdefault(node["split_feature"], set()).add(kind)
        return float(node["threshold"]) >= 0 if kind == "None" else bool(node["default_left"])


def _zero_as_missing(values: FloatArray) -> FloatArray:
    return np.where(np.abs(values) <= ZERO, np.nan, values)


def _predict_margins(values: FloatArray, booster: Any) -> FloatArray:
    """Predict the sums with LightGBM itself, for trees that are too large for lookup tables."""
    threads = 1 if len(values) < MIN_ROWS_FOR_THREADS else 0
    margins: FloatArray = booster.predict(values, raw_score=True, num_threads=threads)
    return margins


def _link(estimator: Any, objective: str) -> Link:
    """Return the link of an objective, which the dump gives with its parameters: "binary sigmoid:1"."""
    name, _, parameters = objective.partition(" ")
    classes = getattr(estimator, "classes_", None)
    has_decision_function = hasattr(estimator, "decision_function")  # from LightGBM 4.7 on
    if classes is None:
        if name in IDENTITY and "sqrt" not in parameters:
            return RegressionLink()
        if name in EXPONENTIAL:
            return ExponentialLink("float64")
    elif name == "binary" and parameters == "sigmoid:1" and len(classes) == 2:
        return LogisticLink(classes, "float64", has_decision_function=has_decision_function)
    elif name == "multiclass":
        return StableSoftmaxLink(classes, "float64", has_decision_function=has_decision_function)
    elif name == "multiclassova" and parameters.endswith("sigmoid:1"):
        return OneVersusAllLink(classes, "float64", has_decision_function=has_decision_function)
    raise UnsupportedStep(f"plans do not support the objective {objective!r} of {type(estimator).__name__}")
