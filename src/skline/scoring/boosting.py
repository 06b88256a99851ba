"""HistGradientBoosting and GradientBoosting: their trees in plan form, their own kernels for many rows."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from skline.scoring.answers import FloatArray, NotPlannable
from skline.scoring.ensemble import Ensemble
from skline.scoring.matrix import Matrix, Reading, check_names, numbers
from skline.scoring.model import Binary, Link, Model, Softmax, Value
from skline.scoring.read.categories import read_ordinal_encoder
from skline.scoring.source import Cell
from skline.scoring.transformers import side_by_side
from skline.scoring.trees import Tree, float64_threshold, stump

#: Rows above which HistGradientBoosting's kernel is given more than one thread.
MANY_ROWS = 4_000


def read_hist_gradient_boosting(reading: Reading, estimator: Any, matrix: Matrix) -> Model:
    """HistGradientBoostingClassifier and HistGradientBoostingRegressor."""
    cells = _hist_cells(reading, estimator, matrix)
    bitsets, feature_map = estimator._bin_mapper.make_known_categories_bitsets()
    base = 0.0 + np.asarray(estimator._baseline_prediction, dtype=np.float64).ravel()
    width = estimator.n_trees_per_iteration_
    known = {
        feature: frozenset(int(category) for category in estimator._bin_mapper.bin_thresholds_[feature])
        for feature in np.flatnonzero(estimator._bin_mapper.is_categorical_).tolist()
    }
    iterations = estimator._predictors
    trees = [stump(base[k : k + 1]) for k in range(width)]
    trees += [_hist_tree(predictor, known) for iteration in iterations for predictor in iteration]

    kernel = partial(_hist_kernel, iterations=iterations, base=base, bitsets=bitsets, feature_map=feature_map)
    link = hist_link(estimator)
    return Model(Ensemble(trees, cells, kernel, width=width, scalar=width == 1, order="F"), link)


def _hist_kernel(
    values: FloatArray, iterations: Sequence[Sequence[Any]], base: FloatArray, bitsets: Any, feature_map: Any
) -> FloatArray:
    """Add up what scikit-learn's own predictors give, as the estimator does."""
    from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

    threads = 1 if len(values) < MANY_ROWS else _openmp_effective_n_threads()
    raw = np.zeros((len(values), len(base)), order="F")
    raw += base
    for iteration in iterations:
        for k, predictor in enumerate(iteration):
            raw[:, k] += predictor.predict(values, bitsets, feature_map, threads)
    return raw[:, 0] if len(base) == 1 else raw


def _hist_cells(reading: Reading, estimator: Any, matrix: Matrix) -> tuple[Cell, ...]:
    """Return the float64 matrix that the trees see: categorical columns are encoded and come first."""
    check_names(matrix, estimator)
    preprocessor = estimator._preprocessor
    if preprocessor is None:
        return numbers(matrix, estimator, float32=True)
    categorical = np.asarray(estimator.is_categorical_)
    parts = []
    for chosen, step in ((categorical, preprocessor.named_transformers_["encoder"]), (~categorical, None)):
        indices = np.flatnonzero(chosen)
        if not len(indices):
            continue
        names = None if matrix.names is None else tuple(matrix.names[i] for i in indices)
        part = Matrix(tuple(matrix.cells[i] for i in indices), matrix.container, names, matrix.mixed)
        if step is not None:
            parts.append(read_ordinal_encoder(reading, step, part))
        else:
            parts.append(Matrix(numbers(part, estimator, float32=True), "array"))
    return numbers(side_by_side(parts, sparse=False), estimator, float32=True)


def _hist_tree(predictor: Any, known: dict[int, frozenset[int]]) -> Tree:
    """One TreePredictor."""
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    feature = np.where(leaf, -1, nodes["feature_idx"]).tolist()
    categories = {}
    for node in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf).tolist():
        words = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]].tolist()
        goes_left = frozenset(c for c in range(256) if (words[c // 32] >> (c % 32)) & 1)
        categories[node] = goes_left, known[feature[node]] | goes_left
    return Tree(
        feature,
        nodes["num_threshold"].tolist(),
        nodes["left"].tolist(),
        nodes["right"].tolist(),
        nodes["missing_go_to_left"].astype(bool).tolist(),
        nodes["value"].reshape(-1, 1),
        categories,
    )


def hist_link(estimator: Any) -> Link:
    """What the estimator's loss makes of the sums."""
    classes = getattr(estimator, "classes_", None)
    inverse = type(estimator._loss.link).__name__
    if classes is not None:
        if inverse == "LogitLink" and len(classes) == 2:
            return Binary(classes)
        if inverse == "MultinomialLogit":
            return Softmax(classes)
    elif inverse in ("IdentityLink", "LogLink"):
        return Value(np.exp if inverse == "LogLink" else None)
    raise NotPlannable(f"{type(estimator).__name__} has the link {inverse}, which no plan knows; use a loss by name")


def read_gradient_boosting(reading: Reading, estimator: Any, matrix: Matrix) -> Model:
    """GradientBoostingClassifier and GradientBoostingRegressor."""
    check_names(matrix, estimator)
    cells = numbers(matrix, estimator, float32=True)
    reading.require(cells, "float32")
    initial = type(estimator.init_).__name__
    if estimator.init_ != "zero" and initial not in ("DummyClassifier", "DummyRegressor"):
        raise NotPlannable(f"{type(estimator).__name__} has init={initial}, which no plan knows; leave init=None")
    base = estimator._raw_predict_init(np.zeros((1, len(cells)), dtype=np.float32))[0]
    width = len(base)
    rate = float(estimator.learning_rate)
    trees = [stump(base[k : k + 1]) for k in range(width)]
    for stage in estimator.estimators_:
        trees += [grown_tree(member.tree_, rate * member.tree_.value[:, 0, :1]) for member in stage]

    kernel = partial(_gradient_kernel, estimator=estimator)
    return Model(Ensemble(trees, cells, kernel, width=width, scalar=width == 1), gradient_link(estimator))


def _gradient_kernel(values: FloatArray, estimator: Any) -> FloatArray:
    """Add up the stages as the estimator does."""
    from sklearn.ensemble._gradient_boosting import predict_stages

    rounded = values.astype(np.float32)
    raw: FloatArray = estimator._raw_predict_init(rounded)
    predict_stages(estimator.estimators_, rounded, estimator.learning_rate, raw)
    return raw.ravel() if raw.shape[1] == 1 else raw


def gradient_link(estimator: Any) -> Link:
    """What the estimator's loss makes of the sums."""
    classes = getattr(estimator, "classes_", None)
    inverse = type(estimator._loss.link).__name__
    if classes is None:
        return Value()
    if len(classes) > 2:
        return Softmax(classes)
    return Binary(classes, at_zero=True, factor=2.0 if inverse == "HalfLogitLink" else 1.0)


def grown_tree(tree: Any, values: FloatArray) -> Tree:
    """One sklearn.tree Tree, which rounds its input to float32; values have shape (nodes, k)."""
    leaf = tree.children_left == -1
    missing = getattr(tree, "missing_go_to_left", np.zeros(len(leaf)))
    return Tree(
        np.where(leaf, -1, tree.feature).tolist(),
        float64_threshold(tree.threshold).tolist(),
        tree.children_left.tolist(),
        tree.children_right.tolist(),
        missing.astype(bool).tolist(),
        values,
        {},
    )
