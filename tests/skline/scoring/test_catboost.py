"""The plans of CatBoost's estimators equal CatBoost: to the bit, or within a few units in the last place.

CatBoost takes 270 MB, so these tests run in an environment of their own: `uv run --group catboost pytest -m catboost`.
"""

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skline.contract.frames import to_frame
from skline.features import BoostingClassifier, BoostingRegressor
from skline.init.codegen.estimators import Estimator
from skline.scoring.planning import build_plan
from skline.scoring.scores import UnsupportedStep
from tests.skline.init.codegen import test_pipeline_source as generated

from . import boosting_tables
from .boosting_tables import COLUMNS, random_rows, rows_at_thresholds
from .tables import assert_planned

pytestmark = pytest.mark.catboost
catboost = pytest.importorskip("catboost", reason="needs the dependency group catboost")

SMALL: dict[str, Any] = {
    "n_estimators": 8,
    "depth": 3,
    "verbose": False,
    "allow_writing_files": False,
    "thread_count": 1,
    "random_seed": 0,
}


def classifier(**params: Any) -> BoostingClassifier:
    return BoostingClassifier(catboost.CatBoostClassifier(**SMALL | params))


def regressor(**params: Any) -> BoostingRegressor:
    return BoostingRegressor(catboost.CatBoostRegressor(**SMALL | params))


def encoded(estimator: Any) -> Pipeline:
    """Return a pipeline that encodes the categories one-hot."""
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("kind", encoder, ["kind"]), ("numbers", "passthrough", ["a", "b", "c"])])
    return make_pipeline(columns, estimator)


#: Name → estimator, task, exactness.
ESTIMATORS: dict[str, tuple[Any, str, str]] = {
    "binary": (classifier(), "binary", "bits"),
    "binary, cross entropy": (classifier(loss_function="CrossEntropy"), "binary", "bits"),
    "binary, missing above": (classifier(nan_mode="Max"), "binary", "bits"),
    "binary, without the wrapper": (catboost.CatBoostClassifier(**SMALL), "binary", "bits"),
    "binary, calibrated": (CalibratedClassifierCV(classifier(), cv=2), "binary", "bits"),
    "binary, threshold": (FixedThresholdClassifier(classifier(), threshold=0.3), "binary", "bits"),
    "multiclass": (classifier(), "multiclass", "ulp"),
    "multiclass, one versus all": (classifier(loss_function="MultiClassOneVsAll"), "multiclass", "bits"),
    "regression": (regressor(), "regression", "bits"),
    **{f"regression, {name}": (regressor(loss_function=name), "positive", "bits") for name in (
        "MAE", "Quantile:alpha=0.8", "MAPE", "Huber:delta=1", "LogCosh", "Expectile:alpha=0.4", "Lq:q=3"
    )},
    "regression, Poisson": (regressor(loss_function="Poisson"), "positive", "ulp"),
    "regression, Tweedie": (regressor(loss_function="Tweedie:variance_power=1.5"), "positive", "ulp"),
}  # fmt: skip


@pytest.mark.parametrize("name", ESTIMATORS)
def test_plan_equals_catboost(name: str) -> None:
    estimator, task, exactness = ESTIMATORS[name]
    rows = random_rows(80)
    pipeline = boosting_tables.fit(encoded(estimator), rows, task, seed=len(name))
    assert assert_planned(pipeline, rows[:12], COLUMNS).exactness == exactness


@settings(max_examples=8, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), name=st.sampled_from(list(ESTIMATORS)))
def test_plan_of_a_random_table_equals_catboost(data: st.DataObject, name: str) -> None:
    estimator, task, exactness = ESTIMATORS[name]
    fitted = data.draw(boosting_tables.table(12, fitted=True)) * 3
    columns = COLUMNS[1:]
    numbers = make_pipeline(ColumnTransformer([("numbers", "passthrough", ["a", "b", "c"])]), estimator)
    pipeline = boosting_tables.fit(numbers, fitted, task, seed=len(name))
    others = data.draw(boosting_tables.table(6, fitted=False))
    rows = [*fitted[:2], *others, *rows_at_thresholds(pipeline, others, 20, columns)]
    assert assert_planned(pipeline, rows, columns).exactness == exactness


@pytest.mark.parametrize("row_method", ["branches", "walk", "estimator"])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_every_way_to_score_a_row_equals_catboost(task: str, row_method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    boosting_tables.assert_planned_without_lookups(classifier(), task, row_method, monkeypatch)


def test_pipeline_that_was_read_from_a_file_has_a_plan(tmp_path: Path) -> None:
    rows = random_rows(80)
    joblib.dump(boosting_tables.fit(encoded(classifier()), rows, "binary", seed=1), tmp_path / "pipeline.joblib")
    assert_planned(joblib.load(tmp_path / "pipeline.joblib"), rows[:5], COLUMNS)


def test_estimator_that_was_fitted_on_other_columns_has_no_plan() -> None:
    frame = to_frame(COLUMNS[1:], random_rows(60))
    model = catboost.CatBoostRegressor(**SMALL).fit(frame.to_numpy(dtype=float), np.tanh(frame["b"]))
    with pytest.raises(UnsupportedStep, match="fitted on 3 columns, but gets 2"):
        build_plan(model, COLUMNS[2:])


def test_early_stopping_keeps_the_trees_up_to_the_best_score() -> None:
    inner = catboost.CatBoostClassifier(**SMALL | {"n_estimators": 300})
    rows = random_rows(200)
    model = BoostingClassifier(inner, early_stopping_rounds=5, random_state=1)
    pipeline = boosting_tables.fit(encoded(model), rows, "binary", seed=4)
    margin: Any = assert_planned(pipeline, rows[:20], COLUMNS)._estimator_plan.margin
    assert len(margin.trees) == 2 + pipeline[-1].estimator_.tree_count_ < 290


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("task", generated.TASKS)
def test_generated_pipeline_has_a_plan(task: Any, early_stopping: bool) -> None:
    contract = generated.make_contract(generated.GROUPS, task)
    estimator = Estimator("catboost", early_stopping, poisson=task == "regression" and early_stopping)
    assert_planned(generated.fit_pipeline(contract, estimator, n=50), generated.UNSEEN_ROWS, contract.inputs)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"grow_policy": "Lossguide"}, "symmetric trees only"),
        ({"loss_function": "RMSEWithUncertainty"}, "the loss function RMSEWithUncertainty"),
    ],
)
def test_what_is_not_supported_is_named(params: dict[str, Any], message: str) -> None:
    frame = to_frame(COLUMNS[1:], random_rows(60))
    model = catboost.CatBoostRegressor(**SMALL | params).fit(frame, np.tanh(frame["b"]))
    with pytest.raises(UnsupportedStep, match=message):
        build_plan(model, COLUMNS[1:])


def test_json_has_what_the_reader_reads(tmp_path: Path) -> None:
    model = boosting_tables.fit(encoded(classifier()), random_rows(120), "binary", seed=1)[-1].estimator_
    model.save_model(str(tmp_path / "model.json"), format="json")
    dump = json.loads((tmp_path / "model.json").read_bytes())
    assert {"features_info", "oblivious_trees", "scale_and_bias"} <= set(dump), catboost.__version__
    assert {"feature_index", "nan_value_treatment"} <= set(dump["features_info"]["float_features"][0])
    assert {"leaf_values", "splits"} <= set(dump["oblivious_trees"][0])
    split = dump["oblivious_trees"][0]["splits"][0]
    assert {"border", "float_feature_index", "split_type"} <= set(split)
