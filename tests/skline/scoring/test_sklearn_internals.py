"""The private names of scikit-learn exist in the installed version, and no other file of skline uses them."""

import ast
import re
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skline.scoring import sklearn_internals as internals
from skline.scoring.estimators.dispatch import ESTIMATORS, WRAPPERS
from skline.scoring.transformers.dispatch import TRANSFORMERS
from tests.fixtures.demo import ROOT

ROWS = 60
FRAME = pd.DataFrame({"number": np.arange(ROWS) % 7 / 7, "category": np.arange(ROWS) % 3})
VALUES = np.ascontiguousarray(FRAME.to_numpy(dtype=np.float64))
TARGET = (np.arange(ROWS) % 2).astype(int)
CATEGORICAL = {"categorical_features": [1], "min_samples_leaf": 1, "max_iter": 3}


@cache
def hist() -> Any:
    return HistGradientBoostingClassifier(**CATEGORICAL).fit(VALUES, FRAME["category"] == 1)


@cache
def boosting() -> Any:
    return GradientBoostingClassifier(n_estimators=3).fit(VALUES, TARGET)


def calibrated(method: str) -> Any:
    return CalibratedClassifierCV(LogisticRegression(), method=method, cv=2).fit(VALUES, TARGET)


def column_transformer() -> Any:
    return ColumnTransformer([("scaled", StandardScaler(), ["number"])], remainder="passthrough").fit(FRAME)


def hist_predictor() -> Any:
    return internals.hist_trees(hist()).iterations[0][0]


def categorical_node() -> int:
    return int(np.flatnonzero(internals.hist_nodes(hist_predictor()).is_categorical)[0])


#: Every private name that skline uses, with a use of it that fails when the name disappears or means something else.
PRIVATE_NAMES: dict[str, Callable[[], Any]] = {
    "_sklearn_output_config": lambda: (
        internals.configured_output(StandardScaler().set_output(transform="pandas")) == "pandas"
    ),
    "_transformer_to_input_indices": lambda: internals.input_positions(column_transformer(), "remainder") == [1],
    "_fill_dtype": lambda: internals.fill_dtype(SimpleImputer().fit(VALUES)) == np.float64,
    "_n_features_outs": lambda: internals.one_hot_widths(OneHotEncoder().fit(FRAME[["category"]])) == [3],
    "_loss": lambda: (
        internals.loss_link_name(hist()) == "LogitLink"
        and internals.loss_link_name(HistGradientBoostingRegressor(loss="poisson").fit(VALUES, TARGET)) == "LogLink"
    ),
    "_predictors": lambda: len(internals.hist_trees(hist()).iterations) == hist().n_iter_,
    "_baseline_prediction": lambda: internals.hist_trees(hist()).baseline.shape == (1,),
    "_bin_mapper": lambda: internals.hist_trees(hist()).known_categories == {0: frozenset({0, 1, 2})},
    "make_known_categories_bitsets": lambda: internals.hist_trees(hist()).bitsets.dtype == np.uint32,
    "bin_thresholds_": lambda: internals.hist_trees(hist()).known_categories[0] == {0, 1, 2},
    "_preprocessor": lambda: internals.hist_categorical_encoder(hist()).categories_[0].tolist() == [0, 1, 2],
    "raw_left_cat_bitsets": lambda: (
        internals.hist_left_categories(hist_predictor(), categorical_node()) in ({1}, {0, 2})
    ),
    "_openmp_effective_n_threads": lambda: np.array_equal(
        internals.sum_hist_trees(*hist_kernel_arguments(internals.MIN_ROWS_FOR_THREADS)),
        np.tile(internals.sum_hist_trees(*hist_kernel_arguments(1)), internals.MIN_ROWS_FOR_THREADS),
    ),
    "_raw_predict_init": lambda: internals.gradient_boosting_initial(boosting(), 2).shape == (1,),
    "_gradient_boosting": lambda: np.array_equal(
        internals.sum_gradient_boosting_stages(VALUES, boosting()), boosting().decision_function(VALUES)
    ),
    "missing_go_to_left": lambda: (
        internals.missing_goes_left(DecisionTreeClassifier(max_depth=1).fit(VALUES, TARGET).tree_).dtype == bool
    ),
    "_curve_scorer": lambda: internals.positive_label(tuned_threshold()) == 1,
    "_get_pos_label": lambda: internals.positive_label(tuned_threshold()) == 1,
    "_get_response_method": lambda: (
        internals.response_method(FixedThresholdClassifier(LogisticRegression(), response_method="decision_function"))
        == "decision_function"
    ),
    "_training_dim": lambda: (
        internals.target_dimensions(TransformedTargetRegressor(LinearRegression()).fit(VALUES, TARGET)) == 1
    ),
    "_SigmoidCalibration": lambda: (
        internals.sigmoid_parameters(internals.calibrated_members(calibrated("sigmoid"))[0].calibrators[0]) is not None
        and internals.sigmoid_parameters(internals.calibrated_members(calibrated("isotonic"))[0].calibrators[0]) is None
    ),
    "calibrated_classifiers_": lambda: (
        [member.method for member in internals.calibrated_members(calibrated("isotonic"))] == ["isotonic"] * 2
    ),
}
#: Fields of a TreePredictor's nodes.
NODE_FIELDS = {
    "value", "feature_idx", "num_threshold", "missing_go_to_left", "left", "right", "is_leaf", "is_categorical",
    "bitset_idx",
}  # fmt: skip


def hist_kernel_arguments(rows: int) -> tuple[Any, ...]:
    fitted = internals.hist_trees(hist())
    encoded = np.tile(np.array([[1.0, 0.5]]), (rows, 1))
    return encoded, fitted.iterations, fitted.baseline, fitted.bitsets, fitted.feature_map


def tuned_threshold() -> Any:
    return TunedThresholdClassifierCV(LogisticRegression(), scoring="f1", cv=2).fit(VALUES, TARGET)


@pytest.mark.parametrize("name", PRIVATE_NAMES)
def test_private_name_exists_in_the_installed_version(name: str) -> None:
    assert PRIVATE_NAMES[name](), f"scikit-learn {sklearn.__version__} changed {name}; adapt sklearn_internals.py"


def test_tree_predictor_nodes_have_the_fields_in_use() -> None:
    assert set(hist_predictor().nodes.dtype.names) >= NODE_FIELDS


@pytest.mark.parametrize("name", [*ESTIMATORS, *WRAPPERS, *TRANSFORMERS, "sklearn.isotonic.IsotonicRegression"])
def test_supported_type_is_found_by_its_public_name(name: str) -> None:
    module, _, class_name = name.rpartition(".")
    cls = getattr(pytest.importorskip(module, reason="an optional library is not installed"), class_name)
    assert internals.public_type_name(cls.__new__(cls)) == name


def test_subclass_or_namesake_never_has_a_public_name() -> None:
    namesake = type("RandomForestClassifier", (RandomForestClassifier,), {"__module__": "sklearn.ensemble._forest"})
    assert internals.public_type_name(namesake()) == "sklearn.ensemble._forest.RandomForestClassifier"
    assert internals.public_type_name(RandomForestClassifier()) == "sklearn.ensemble.RandomForestClassifier"


def test_list_is_complete() -> None:
    tree = ast.parse(Path(internals.__file__).read_text())
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    imported = {
        part
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn")
        for part in (*(node.module or "").split("."), *(alias.name for alias in node.names))
    }
    private = {name for name in attributes | imported if name.startswith("_") and not name.startswith("__")}
    assert private - {"_openmp_helpers"} <= PRIVATE_NAMES.keys()


def test_no_other_file_uses_a_private_name() -> None:
    private = {name for name in PRIVATE_NAMES if name.startswith("_")} | {"raw_left_cat_bitsets", "bin_thresholds_"}
    for path in (ROOT / "src").rglob("*.py"):
        if path == Path(internals.__file__):
            continue
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"sklearn(\.\w+)*\._", source), f"{path} names a private module of scikit-learn"
        tree = ast.parse(source)
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & private
        owned = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        }
        assert not used - owned, f"{path} uses {used - owned} of scikit-learn; add an accessor to sklearn_internals.py"


def test_version_of_scikit_learn_is_bounded_to_one_minor_release() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    [requirement] = [line for line in dependencies if re.match(r"scikit-learn\b", line)]
    bounds = re.fullmatch(r"scikit-learn>=1\.(\d+)(?:\.\d+)?,<1\.(\d+)", requirement)
    assert bounds, f"{requirement}: bound scikit-learn to one minor release, whose private names are tested here"
    assert int(bounds[2]) == int(bounds[1]) + 1
    assert sklearn.__version__.startswith(f"1.{bounds[1]}.")
