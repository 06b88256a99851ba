"""All private names of scikit-learn that skline uses, behind accessors; no other file may use one.

scikit-learn may change these names in any release without notice. pyproject.toml therefore bounds its version from
above, and tests/skline/scoring/test_sklearn_internals.py calls each accessor: before the bound is raised, the tests of
this package must pass with the new version. scikit-learn is imported only inside functions, so that a stored plan can
be loaded without it.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skline.scoring.scores import FloatArray

#: Rows from which on HistGradientBoosting's predictors use several threads.
MIN_ROWS_FOR_THREADS = 4_000


def public_type_name(value: Any) -> str:
    """Return the full name of the exact type, by the public module that exports it.

    scikit-learn defines classes in private modules: sklearn.ensemble._forest.RandomForestClassifier becomes
    sklearn.ensemble.RandomForestClassifier. A type that its public module does not export keeps the name of its own
    module, so another class of the same name is never mistaken for scikit-learn's.
    """
    cls = type(value)
    parts = cls.__module__.split(".")
    private = next((index for index, part in enumerate(parts) if part.startswith("_")), len(parts))
    public_module = ".".join(parts[:private])
    if getattr(sys.modules.get(public_module), cls.__qualname__, None) is cls:
        return f"{public_module}.{cls.__qualname__}"
    return f"{cls.__module__}.{cls.__qualname__}"


def configured_output(transformer: Any) -> str | None:
    """Return the container that `set_output(transform=…)` chose; None where it was not called or chose none."""
    config: Mapping[str, str | None] = getattr(transformer, "_sklearn_output_config", {})
    return config.get("transform")


def input_positions(column_transformer: Any, name: str) -> list[int]:
    """Return the positions of the columns that a ColumnTransformer's transformer gets."""
    return list(column_transformer._transformer_to_input_indices.get(name, []))


def fill_dtype(imputer: Any) -> np.dtype[Any]:
    """Return the dtype to which a SimpleImputer converts its fill value."""
    dtype: np.dtype[Any] = imputer._fill_dtype
    return dtype


def one_hot_widths(encoder: Any) -> list[int]:
    """Return the number of output columns for each input column of a OneHotEncoder."""
    return list(encoder._n_features_outs)


def loss_link_name(estimator: Any) -> str:
    """Return the class name of the link function in a gradient boosting estimator's loss."""
    return type(estimator._loss.link).__name__


class HistTrees(NamedTuple):
    """The fitted trees of a HistGradientBoosting estimator, and what their own prediction function needs.

    Attributes
    ----------
    iterations : sequence of sequences of TreePredictor
        One tree an output and iteration.
    baseline : float64 ndarray of shape (n_trees_per_iteration,)
        The values with which the sums start.
    bitsets, feature_map : ndarray
        The known categories, as `TreePredictor.predict` takes them.
    known_categories : dict from feature to frozenset of int
    """

    iterations: Sequence[Sequence[Any]]
    baseline: FloatArray
    bitsets: Any
    feature_map: Any
    known_categories: dict[int, frozenset[int]]


def hist_trees(estimator: Any) -> HistTrees:
    """Return the fitted trees of a HistGradientBoosting estimator."""
    mapper = estimator._bin_mapper
    bitsets, feature_map = mapper.make_known_categories_bitsets()
    known_categories = {
        feature: frozenset(int(category) for category in mapper.bin_thresholds_[feature])
        for feature in np.flatnonzero(mapper.is_categorical_).tolist()
    }
    # 0.0 + turns -0.0 into 0.0, as the estimator's own sum does.
    baseline = 0.0 + np.asarray(estimator._baseline_prediction, dtype=np.float64).ravel()
    return HistTrees(estimator._predictors, baseline, bitsets, feature_map, known_categories)


def hist_categorical_encoder(estimator: Any) -> Any:
    """Return the fitted encoder of a HistGradientBoosting estimator's categorical columns, None if it has none."""
    preprocessor = estimator._preprocessor
    return None if preprocessor is None else preprocessor.named_transformers_["encoder"]


class HistNodes(NamedTuple):
    """The nodes of one TreePredictor as arrays of shape (nodes,)."""

    is_leaf: npt.NDArray[np.bool_]
    feature: npt.NDArray[Any]
    threshold: FloatArray
    left: npt.NDArray[Any]
    right: npt.NDArray[Any]
    missing_goes_left: npt.NDArray[np.bool_]
    value: FloatArray
    is_categorical: npt.NDArray[np.bool_]


def hist_nodes(predictor: Any) -> HistNodes:
    """Return the nodes of a TreePredictor."""
    nodes = predictor.nodes
    return HistNodes(
        is_leaf=nodes["is_leaf"].astype(bool),
        feature=nodes["feature_idx"],
        threshold=nodes["num_threshold"],
        left=nodes["left"],
        right=nodes["right"],
        missing_goes_left=nodes["missing_go_to_left"].astype(bool),
        value=nodes["value"],
        is_categorical=nodes["is_categorical"].astype(bool),
    )


def hist_left_categories(predictor: Any, node: int) -> frozenset[int]:
    """Return the categories that go left at a categorical node of a TreePredictor."""
    words = predictor.raw_left_cat_bitsets[predictor.nodes["bitset_idx"][node]].tolist()
    return frozenset(category for category in range(256) if (words[category // 32] >> (category % 32)) & 1)


def sum_hist_trees(
    values: FloatArray, iterations: Sequence[Sequence[Any]], baseline: FloatArray, bitsets: Any, feature_map: Any
) -> FloatArray:
    """Sum the predictions of TreePredictors in the estimator's own order: (n,) for one output, else (n, outputs)."""
    from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

    threads = 1 if len(values) < MIN_ROWS_FOR_THREADS else _openmp_effective_n_threads()
    raw = np.zeros((len(values), len(baseline)), order="F")
    raw += baseline
    for iteration in iterations:
        for k, predictor in enumerate(iteration):
            raw[:, k] += predictor.predict(values, bitsets, feature_map, threads)
    return raw[:, 0] if len(baseline) == 1 else raw


def gradient_boosting_initial(estimator: Any, n_features: int) -> FloatArray:
    """Return the constant values, shape (outputs,), with which the sums of a GradientBoosting estimator start."""
    initial: FloatArray = estimator._raw_predict_init(np.zeros((1, n_features), dtype=np.float32))[0]
    return initial


def sum_gradient_boosting_stages(values: FloatArray, estimator: Any) -> FloatArray:
    """Sum the stages as the GradientBoosting estimator does: (n,) for one output, else (n, outputs)."""
    from sklearn.ensemble._gradient_boosting import predict_stages

    rounded = values.astype(np.float32)
    raw: FloatArray = estimator._raw_predict_init(rounded)
    predict_stages(estimator.estimators_, rounded, estimator.learning_rate, raw)
    return raw.ravel() if raw.shape[1] == 1 else raw


def missing_goes_left(tree: Any) -> npt.NDArray[np.bool_]:
    """Return for each node of a decision tree's `tree_` whether missing values go left."""
    flags: npt.NDArray[np.bool_] = tree.missing_go_to_left.astype(bool)
    return flags


def positive_label(threshold_classifier: Any) -> Any:
    """Return the class to which a threshold classifier's score refers; None for the second of two."""
    if hasattr(threshold_classifier, "best_threshold_"):
        return threshold_classifier._curve_scorer._get_pos_label()
    return threshold_classifier.pos_label


def response_method(threshold_classifier: Any) -> str:
    """Return the name of the method whose result a threshold classifier compares with its threshold."""
    return str(np.atleast_1d(threshold_classifier._get_response_method())[0])


def target_dimensions(transformed_target_regressor: Any) -> int:
    """Return the number of dimensions of the target on which a TransformedTargetRegressor was fitted."""
    return int(transformed_target_regressor._training_dim)


class CalibratedMember(NamedTuple):
    """One of the fitted classifiers of a CalibratedClassifierCV."""

    estimator: Any
    calibrators: Sequence[Any]
    method: str


def calibrated_members(calibrated_classifier: Any) -> list[CalibratedMember]:
    """Return the fitted classifiers of a CalibratedClassifierCV with their calibrators."""
    return [
        CalibratedMember(member.estimator, member.calibrators, member.method)
        for member in calibrated_classifier.calibrated_classifiers_
    ]


def sigmoid_parameters(calibrator: Any) -> tuple[float, float] | None:
    """Return a and b of the sigmoid 1 / (1 + exp(a x + b)); None if the calibrator is not a sigmoid."""
    from sklearn.calibration import _SigmoidCalibration

    if type(calibrator) is not _SigmoidCalibration:
        return None
    return float(calibrator.a_), float(calibrator.b_)
