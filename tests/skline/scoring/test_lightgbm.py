"""The plans of LightGBM's estimators equal LightGBM to the bit."""

from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline

from skline.contract.frames import to_frame
from skline.features import BoostingClassifier, BoostingRegressor
from skline.scoring.planning import build_plan
from skline.scoring.scores import UnsupportedStep

from . import boosting_tables
from .boosting_tables import COLUMNS, encoded, random_rows
from .tables import assert_planned

SMALL: dict[str, Any] = {
    "n_estimators": 8,
    "min_child_samples": 2,
    "min_data_per_group": 2,
    "cat_smooth": 1,
    "verbosity": -1,
    "n_jobs": 1,
    "random_state": 0,
}
BAGGED = {"boosting_type": "rf", "subsample": 0.6, "subsample_freq": 1}


def classifier(**params: Any) -> BoostingClassifier:
    return BoostingClassifier(LGBMClassifier(**SMALL | params), categories=1)


def regressor(**params: Any) -> BoostingRegressor:
    return BoostingRegressor(LGBMRegressor(**SMALL | params), categories=1)


ESTIMATORS: dict[str, tuple[Any, str]] = {
    "binary": (classifier(), "binary"),
    "binary, no categories": (LGBMClassifier(**SMALL), "binary"),
    "binary, zero as missing": (classifier(zero_as_missing=True), "binary"),
    "binary, missing is zero": (classifier(use_missing=False), "binary"),
    "binary, dropout": (classifier(boosting_type="dart"), "binary"),
    "binary, bagged": (classifier(**BAGGED), "binary"),
    "binary, calibrated": (CalibratedClassifierCV(LGBMClassifier(**SMALL), cv=2), "binary"),
    "binary, calibrated, isotonic": (CalibratedClassifierCV(classifier(), method="isotonic", cv=2), "binary"),
    "binary, threshold": (FixedThresholdClassifier(classifier(), threshold=0.3), "binary"),
    "multiclass": (classifier(), "multiclass"),
    "multiclass, one versus all": (classifier(objective="multiclassova"), "multiclass"),
    "multiclass, bagged": (classifier(**BAGGED), "multiclass"),
    "regression": (regressor(), "regression"),
    "regression, no categories": (LGBMRegressor(**SMALL), "regression"),
    **{f"regression, {name}": (regressor(objective=name), "positive") for name in (
        "regression_l1", "huber", "fair", "quantile", "mape", "poisson", "gamma", "tweedie"
    )},
}  # fmt: skip


@pytest.mark.parametrize("name", ESTIMATORS)
def test_plan_equals_lightgbm_to_the_bit(name: str) -> None:
    boosting_tables.assert_bits_at_thresholds(*ESTIMATORS[name], seed=len(name))


@settings(max_examples=12, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), name=st.sampled_from(list(ESTIMATORS)))
def test_plan_of_a_random_table_equals_lightgbm_to_the_bit(data: st.DataObject, name: str) -> None:
    boosting_tables.assert_bits_on_random_tables(data, *ESTIMATORS[name], seed=len(name))


@pytest.mark.parametrize("row_method", ["branches", "walk", "estimator"])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_every_way_to_score_a_row_equals_lightgbm(task: str, row_method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    boosting_tables.assert_planned_without_lookups(classifier(), task, row_method, monkeypatch)


def test_early_stopping_keeps_the_trees_up_to_the_best_score() -> None:
    model = BoostingClassifier(
        LGBMClassifier(**SMALL | {"n_estimators": 300}), categories=1, early_stopping_rounds=5, random_state=1
    )
    rows = random_rows(200)
    pipeline = boosting_tables.fit(encoded(model), rows, "binary", seed=4)
    booster = pipeline[-1].estimator_
    assert 1 <= booster.best_iteration_ < 290
    plan = assert_planned(pipeline, rows[:20], COLUMNS)
    margin: Any = plan._estimator_plan.margin
    assert len(margin.trees) == 1 + booster.best_iteration_


def test_integers_of_an_array_are_read_as_float32() -> None:
    rows = [{**row, "c": 2**24 + index % 3} for index, row in enumerate(random_rows(60))]
    columns = (COLUMNS[3],)
    frame = to_frame(columns, rows)
    pipeline = make_pipeline(ColumnTransformer([("all", "passthrough", ["c"])]), LGBMClassifier(**SMALL))
    pipeline.fit(frame, frame["c"].to_numpy() % 2)
    assert_planned(pipeline, rows[:6], columns)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"linear_tree": True}, "linear_tree=True"),
        ({"pred_early_stop": True}, "pred_early_stop=True"),
        ({"objective": "regression", "reg_sqrt": True}, "reg_sqrt=True"),
        ({"objective": "cross_entropy_lambda"}, "the objective 'cross_entropy_lambda'"),
    ],
)
def test_what_is_not_supported_is_named(params: dict[str, Any], message: str) -> None:
    rows = random_rows(60)
    frame = to_frame(COLUMNS[1:], rows)
    model = LGBMRegressor(**SMALL | params).fit(frame, np.tanh(frame["a"].fillna(0)) ** 2)
    with pytest.raises(UnsupportedStep, match=message):
        build_plan(model, COLUMNS[1:])


def test_dump_has_what_the_reader_reads() -> None:
    rows = random_rows(120)
    model = boosting_tables.fit(encoded(classifier()), rows, "binary", seed=1)[-1].estimator_
    dump = model.booster_.dump_model()
    names = {"average_output", "num_tree_per_iteration", "objective", "pandas_categorical", "tree_info"}
    assert names <= set(dump), lightgbm.__version__
    nodes, stack = [], [info["tree_structure"] for info in dump["tree_info"]]
    while stack:
        nodes.append(node := stack.pop())
        stack += [node[side] for side in ("left_child", "right_child") if side in node]
    splits = [node for node in nodes if "split_feature" in node]
    fields = {"split_feature", "threshold", "decision_type", "default_left", "missing_type", "left_child"}
    assert all(fields <= set(node) for node in splits)
    assert {node["decision_type"] for node in splits} == {"<=", "=="}
    assert all("leaf_value" in node for node in nodes if "split_feature" not in node)
