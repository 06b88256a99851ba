"""Plans of HistGradientBoosting and GradientBoosting; large batches use scikit-learn's own prediction functions."""

from functools import partial
from typing import Any

import numpy as np

from skline.scoring.code_writer import Expression
from skline.scoring.estimators.base import BinaryLink, EstimatorPlan, Link, RegressionLink, SoftmaxLink
from skline.scoring.estimators.ensemble import TreeSum
from skline.scoring.estimators.trees import Tree, constant_tree, read_tree_arrays
from skline.scoring.matrix import Matrix, as_floats, check_names
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import UnsupportedStep
from skline.scoring.sklearn_internals import (
    gradient_boosting_initial,
    hist_categorical_encoder,
    hist_left_categories,
    hist_nodes,
    hist_trees,
    loss_link_name,
    sum_gradient_boosting_stages,
    sum_hist_trees,
)
from skline.scoring.transformers.categories import read_ordinal_encoder
from skline.scoring.transformers.dispatch import side_by_side


def read_hist_gradient_boosting(checks: RowChecks, estimator: Any, matrix: Matrix) -> EstimatorPlan:
    """Read a HistGradientBoostingClassifier or HistGradientBoostingRegressor."""
    expressions = _hist_inputs(checks, estimator, matrix)
    fitted = hist_trees(estimator)
    width = len(fitted.baseline)
    trees = [constant_tree(fitted.baseline[k : k + 1]) for k in range(width)]
    for iteration in fitted.iterations:
        trees += [_hist_tree(predictor, fitted.known_categories) for predictor in iteration]

    kernel = partial(
        sum_hist_trees,
        iterations=fitted.iterations,
        baseline=fitted.baseline,
        bitsets=fitted.bitsets,
        feature_map=fitted.feature_map,
    )
    margin = TreeSum(trees, expressions, kernel, width=width, is_scalar=width == 1, order="F")
    return EstimatorPlan(margin, hist_link(estimator))


def _hist_inputs(checks: RowChecks, estimator: Any, matrix: Matrix) -> tuple[Expression, ...]:
    """Return the float64 columns that the trees get: categorical columns are encoded and come first."""
    check_names(matrix, estimator)
    encoder = hist_categorical_encoder(estimator)
    if encoder is None:
        return as_floats(matrix, estimator, allow_float32=True)
    is_categorical = np.asarray(estimator.is_categorical_)
    parts = []
    for selected, step in ((is_categorical, encoder), (~is_categorical, None)):
        indices = np.flatnonzero(selected)
        if not len(indices):
            continue
        names = None if matrix.names is None else tuple(matrix.names[i] for i in indices)
        columns = tuple(matrix.expressions[i] for i in indices)
        part = Matrix(columns, matrix.container, names, matrix.is_mixed)
        if step is not None:
            parts.append(read_ordinal_encoder(checks, step, part))
        else:
            parts.append(Matrix(as_floats(part, estimator, allow_float32=True), "array"))
    return as_floats(side_by_side(parts, is_sparse=False), estimator, allow_float32=True)


def _hist_tree(predictor: Any, known_categories: dict[int, frozenset[int]]) -> Tree:
    """Read one TreePredictor."""
    nodes = hist_nodes(predictor)
    feature = np.where(nodes.is_leaf, -1, nodes.feature).tolist()
    categories = {}
    for node in np.flatnonzero(nodes.is_categorical & ~nodes.is_leaf).tolist():
        goes_left = hist_left_categories(predictor, node)
        categories[node] = goes_left, known_categories[feature[node]] | goes_left
    return Tree(
        feature,
        nodes.threshold.tolist(),
        nodes.left.tolist(),
        nodes.right.tolist(),
        nodes.missing_goes_left.tolist(),
        nodes.value.reshape(-1, 1),
        categories,
    )


def hist_link(estimator: Any) -> Link:
    """Return the link of a HistGradientBoosting estimator's loss."""
    classes = getattr(estimator, "classes_", None)
    name = loss_link_name(estimator)
    if classes is not None:
        if name == "LogitLink" and len(classes) == 2:
            return BinaryLink(classes)
        if name == "MultinomialLogit":
            return SoftmaxLink(classes)
    elif name in ("IdentityLink", "LogLink"):
        return RegressionLink(np.exp if name == "LogLink" else None)
    raise UnsupportedStep(f"plans do not support the link {name} of {type(estimator).__name__}; use a loss by name")


def read_gradient_boosting(checks: RowChecks, estimator: Any, matrix: Matrix) -> EstimatorPlan:
    """Read a GradientBoostingClassifier or GradientBoostingRegressor."""
    check_names(matrix, estimator)
    expressions = as_floats(matrix, estimator, allow_float32=True)
    checks.require(expressions, "float32")
    initial = type(estimator.init_).__name__
    if estimator.init_ != "zero" and initial not in ("DummyClassifier", "DummyRegressor"):
        raise UnsupportedStep(f"plans do not support {type(estimator).__name__}(init={initial}); leave init=None")
    baseline = gradient_boosting_initial(estimator, len(expressions))
    width = len(baseline)
    rate = float(estimator.learning_rate)
    trees = [constant_tree(baseline[k : k + 1]) for k in range(width)]
    for stage in estimator.estimators_:
        trees += [read_tree_arrays(member.tree_, rate * member.tree_.value[:, 0, :1]) for member in stage]

    kernel = partial(sum_gradient_boosting_stages, estimator=estimator)
    margin = TreeSum(trees, expressions, kernel, width=width, is_scalar=width == 1)
    return EstimatorPlan(margin, gradient_boosting_link(estimator))


def gradient_boosting_link(estimator: Any) -> Link:
    """Return the link of a GradientBoosting estimator's loss."""
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        return RegressionLink()
    if len(classes) > 2:
        return SoftmaxLink(classes)
    factor = 2.0 if loss_link_name(estimator) == "HalfLogitLink" else 1.0
    return BinaryLink(classes, second_at_zero=True, factor=factor)
