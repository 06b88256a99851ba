"""Single trees and forests of them, which round their input to float32 and average what the leaves hold."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from skline.scoring.answers import FloatArray, NotPlannable
from skline.scoring.boosting import grown_tree
from skline.scoring.ensemble import Ensemble
from skline.scoring.matrix import Matrix, Reading, check_names, numbers
from skline.scoring.model import Model, Shares, Value
from skline.scoring.source import Cell
from skline.scoring.trees import stump


def read_tree(reading: Reading, estimator: Any, matrix: Matrix) -> Model:
    """DecisionTree and ExtraTree, classifier and regressor."""
    cells = _cells(reading, estimator, estimator, matrix)
    tree = estimator.tree_
    classes = getattr(estimator, "classes_", None)
    width = 1 if classes is None else len(classes)
    kernel = partial(_tree_kernel, tree=tree, width=None if classes is None else width)
    margin = Ensemble([grown_tree(tree, tree.value[:, 0, :width])], cells, kernel, scalar=classes is None)
    return Model(margin, Value() if classes is None else Shares(classes))


def read_forest(reading: Reading, estimator: Any, matrix: Matrix) -> Model:
    """RandomForest and ExtraTrees, classifier and regressor.

    With several jobs scikit-learn adds the trees up in whatever order its threads end: a row gets other last
    bits from call to call, and the plan, which adds in the order of the trees, is called "ulp".
    """
    members = estimator.estimators_
    cells = _cells(reading, estimator, members[0], matrix)
    classes = getattr(estimator, "classes_", None)
    width = 1 if classes is None else len(classes)
    trees = [member.tree_ for member in members]
    kernel = partial(_forest_kernel, trees=trees, width=None if classes is None else width)
    plan = [stump(np.zeros(width)), *(grown_tree(tree, tree.value[:, 0, :width]) for tree in trees)]
    margin = Ensemble(
        plan,
        cells,
        kernel,
        divisor=len(trees),
        scalar=classes is None,
        exactness="bits" if estimator.n_jobs in (None, 1) else "ulp",
    )
    return Model(margin, Value() if classes is None else Shares(classes))


def _tree_kernel(values: FloatArray, tree: Any, width: int | None) -> FloatArray:
    """What the tree's own arithmetic gives: (n,) without, (n, width) with a width."""
    leaves: FloatArray = tree.predict(values.astype(np.float32))
    return leaves[:, 0] if width is None else leaves[:, :width]


def _forest_kernel(values: FloatArray, trees: Sequence[Any], width: int | None) -> FloatArray:
    """Average the trees in their order."""
    rounded = values.astype(np.float32)
    sums = np.zeros((len(values), width or 1))
    for tree in trees:
        sums += tree.predict(rounded)[:, : width or 1]
    sums /= len(trees)
    return sums[:, 0] if width is None else sums


def _cells(reading: Reading, estimator: Any, member: Any, matrix: Matrix) -> tuple[Cell, ...]:
    """Return the cells that the trees see; missing values only where this kind of tree lets them pass."""
    if estimator.n_outputs_ != 1:
        raise NotPlannable(f"{type(estimator).__name__} has {estimator.n_outputs_} targets; a plan has one")
    check_names(matrix, estimator)
    cells = numbers(matrix, estimator, float32=True)
    missing = matrix.container != "sparse" and member.__sklearn_tags__().input_tags.allow_nan
    reading.require(cells, "float32 or missing" if missing else "float32")
    return cells
