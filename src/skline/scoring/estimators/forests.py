"""Plans of single trees and forests, which round their input to float32 and average the values of leaves."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from skline.scoring.code_writer import Expression
from skline.scoring.estimators.base import EstimatorPlan, ProbabilityLink, RegressionLink
from skline.scoring.estimators.ensemble import TreeSum
from skline.scoring.estimators.trees import constant_tree, read_tree_arrays
from skline.scoring.matrix import Matrix, as_floats, check_names
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import FloatArray, UnsupportedStep


def read_tree(checks: RowChecks, estimator: Any, matrix: Matrix) -> EstimatorPlan:
    """Read a DecisionTree or ExtraTree, classifier or regressor."""
    expressions = _inputs(checks, estimator, estimator, matrix)
    tree = estimator.tree_
    classes = getattr(estimator, "classes_", None)
    width = 1 if classes is None else len(classes)
    kernel = partial(_predict_tree, tree=tree, width=None if classes is None else width)
    trees = [read_tree_arrays(tree, tree.value[:, 0, :width])]
    margin = TreeSum(trees, expressions, kernel, is_scalar=classes is None)
    return EstimatorPlan(margin, RegressionLink() if classes is None else ProbabilityLink(classes))


def read_forest(checks: RowChecks, estimator: Any, matrix: Matrix) -> EstimatorPlan:
    """Read a RandomForest or ExtraTrees, classifier or regressor.

    With several jobs scikit-learn adds the trees in the order in which its threads end, so a row's last bits differ
    from call to call. The plan adds in the order of the trees, and is then only "ulp".
    """
    members = estimator.estimators_
    expressions = _inputs(checks, estimator, members[0], matrix)
    classes = getattr(estimator, "classes_", None)
    width = 1 if classes is None else len(classes)
    fitted_trees = [member.tree_ for member in members]
    kernel = partial(_average_trees, trees=fitted_trees, width=None if classes is None else width)
    trees = [constant_tree(np.zeros(width))]
    trees += [read_tree_arrays(tree, tree.value[:, 0, :width]) for tree in fitted_trees]
    margin = TreeSum(
        trees,
        expressions,
        kernel,
        divisor=len(fitted_trees),
        is_scalar=classes is None,
        exactness="bits" if estimator.n_jobs in (None, 1) else "ulp",
    )
    return EstimatorPlan(margin, RegressionLink() if classes is None else ProbabilityLink(classes))


def _predict_tree(values: FloatArray, tree: Any, width: int | None) -> FloatArray:
    """Predict with the tree's own function: shape (n,) if `width` is None, else (n, width)."""
    leaf_values: FloatArray = tree.predict(values.astype(np.float32))
    return leaf_values[:, 0] if width is None else leaf_values[:, :width]


def _average_trees(values: FloatArray, trees: Sequence[Any], width: int | None) -> FloatArray:
    """Average the trees' predictions in their order."""
    rounded = values.astype(np.float32)
    sums = np.zeros((len(values), width or 1))
    for tree in trees:
        sums += tree.predict(rounded)[:, : width or 1]
    sums /= len(trees)
    return sums[:, 0] if width is None else sums


def _inputs(checks: RowChecks, estimator: Any, member: Any, matrix: Matrix) -> tuple[Expression, ...]:
    """Return the columns that the trees get; missing values are allowed only where this type of tree allows them."""
    if estimator.n_outputs_ != 1:
        raise UnsupportedStep(f"{type(estimator).__name__} has {estimator.n_outputs_} targets; plans support one")
    check_names(matrix, estimator)
    expressions = as_floats(matrix, estimator, allow_float32=True)
    allows_missing = matrix.container != "sparse" and member.__sklearn_tags__().input_tags.allow_nan
    checks.require(expressions, "float32 or missing" if allows_missing else "float32")
    return expressions
