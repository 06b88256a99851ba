"""The plans of XGBoost's estimators equal XGBoost to the bit."""

import json
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import FixedThresholdClassifier
from xgboost import XGBClassifier, XGBRegressor

from skline.contract.frames import to_frame
from skline.features import BoostingClassifier, BoostingRegressor
from skline.scoring.planning import build_plan
from skline.scoring.scores import UnsupportedStep

from . import boosting_tables
from .boosting_tables import COLUMNS, encoded, random_rows
from .tables import assert_planned

SMALL: dict[str, Any] = {"n_estimators": 8, "max_depth": 4, "min_child_weight": 0.5, "n_jobs": 1, "random_state": 0}


#: Since 3.4 `dart` is a name of the tree booster, which drops trees only if `rate_drop` or `one_drop` says so.
DART = pytest.mark.skipif(
    tuple(map(int, xgboost.__version__.split(".")[:2])) >= (3, 4), reason="this XGBoost has no booster of that name"
)


def classifier(**params: Any) -> BoostingClassifier:
    return BoostingClassifier(XGBClassifier(**SMALL | params), categories=1)


def regressor(**params: Any) -> BoostingRegressor:
    return BoostingRegressor(XGBRegressor(**SMALL | params), categories=1)


ESTIMATORS: dict[str, tuple[Any, str]] = {
    "binary": (classifier(), "binary"),
    "binary, one-hot categories": (classifier(max_cat_to_onehot=10), "binary"),
    "binary, base score": (classifier(base_score=0.3), "binary"),
    "binary, no categories": (BoostingClassifier(XGBClassifier(**SMALL)), "binary"),
    "binary, parallel trees": (classifier(num_parallel_tree=3, subsample=0.5), "binary"),
    "binary, calibrated": (CalibratedClassifierCV(classifier(), cv=2), "binary"),
    "binary, calibrated, isotonic": (CalibratedClassifierCV(classifier(), method="isotonic", cv=2), "binary"),
    "binary, threshold": (FixedThresholdClassifier(classifier(), threshold=0.3), "binary"),
    "multiclass": (classifier(), "multiclass"),
    "multiclass, parallel trees": (classifier(num_parallel_tree=2, subsample=0.5), "multiclass"),
    "regression": (regressor(), "regression"),
    "regression, exact": (BoostingRegressor(XGBRegressor(**SMALL, tree_method="exact")), "regression"),
    **{f"regression, {name}": (regressor(objective=name), "positive") for name in (
        "reg:absoluteerror", "reg:pseudohubererror", "reg:squaredlogerror", "count:poisson", "reg:gamma", "reg:tweedie"
    )},
}  # fmt: skip


@pytest.mark.parametrize("name", ESTIMATORS)
def test_plan_equals_xgboost_to_the_bit(name: str) -> None:
    boosting_tables.assert_bits_at_thresholds(*ESTIMATORS[name], seed=len(name))


@settings(max_examples=12, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), name=st.sampled_from(list(ESTIMATORS)))
def test_plan_of_a_random_table_equals_xgboost_to_the_bit(data: st.DataObject, name: str) -> None:
    boosting_tables.assert_bits_on_random_tables(data, *ESTIMATORS[name], seed=len(name))


@pytest.mark.parametrize("row_method", ["branches", "walk", "estimator"])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_every_way_to_score_a_row_equals_xgboost(task: str, row_method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    boosting_tables.assert_planned_without_lookups(classifier(), task, row_method, monkeypatch)


def test_early_stopping_keeps_the_trees_up_to_the_best_score() -> None:
    model = BoostingClassifier(
        XGBClassifier(**SMALL | {"n_estimators": 300}), categories=1, early_stopping_rounds=5, random_state=1
    )
    rows = random_rows(200)
    pipeline = boosting_tables.fit(encoded(model), rows, "binary", seed=4)
    best = pipeline[-1].estimator_.best_iteration
    assert best < 290
    margin: Any = assert_planned(pipeline, rows[:20], COLUMNS)._estimator_plan.margin
    assert len(margin.trees) == 2 + best


def test_unencoded_unknown_categories_go_left() -> None:
    """An encoder may give them a number beyond every known one, instead of NaN."""
    pipeline = encoded(classifier())
    pipeline[0].transformers[0][1].set_params(unknown_value=40, encoded_missing_value=39)
    rows = [row for row in random_rows(120) if row["kind"] is not None]
    boosting_tables.fit(pipeline, rows, "binary", seed=2)
    assert_planned(pipeline, [*rows[:5], *({**row, "kind": "unseen"} for row in rows[:10])], COLUMNS)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        pytest.param({"booster": "dart"}, "the booster 'dart'|booster 'dart'", marks=DART),
        ({"missing": 0.0}, "missing=0.0"),
        ({"objective": "reg:logistic"}, "the objective 'reg:logistic'"),
    ],
)
def test_what_is_not_supported_is_named(params: dict[str, Any], message: str) -> None:
    rows = random_rows(60)
    frame = to_frame(COLUMNS[1:], rows)
    model = XGBRegressor(**SMALL | params).fit(frame, np.tanh(frame["a"].fillna(0)) ** 2)
    with pytest.raises(UnsupportedStep, match=message):
        build_plan(model, COLUMNS[1:])


def test_json_has_what_the_reader_reads() -> None:
    model = boosting_tables.fit(encoded(classifier()), random_rows(120), "binary", seed=1)[-1].estimator_
    learner = json.loads(model.get_booster().save_raw("json"))["learner"]
    assert {"attributes", "gradient_booster", "learner_model_param", "objective"} <= set(learner), xgboost.__version__
    assert {"base_score", "num_class", "num_target"} <= set(learner["learner_model_param"])
    trees = learner["gradient_booster"]["model"]
    assert {"iteration_indptr", "tree_info", "trees"} <= set(trees)
    fields = {
        "categories", "categories_nodes", "categories_segments", "categories_sizes", "default_left", "left_children",
        "right_children", "split_conditions", "split_indices",
    }  # fmt: skip
    assert all(fields <= set(tree) for tree in trees["trees"])
    assert any(tree["categories_nodes"] for tree in trees["trees"])
