"""The plan of every supported estimator, behind the same preprocessing, equals the pipeline."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

from skline.contract.frames import to_frame
from skline.features import TimeFeatures, minutes_of_day
from skline.scoring.estimators import trees

from .tables import COLUMNS, assert_planned, fit, make_rows, targets, use_row_method

NUMBERS = ["number", "count", "constant", "maybe"]


def preprocessed(estimator: Any, *, impute: bool = True) -> Pipeline:
    """Return a pipeline of preprocessing for every kind of column and the estimator."""
    numbers: Any = make_pipeline(SimpleImputer(), StandardScaler()) if impute else "passthrough"
    times: Any = TimeFeatures(parts=("month", "weekday", "day_of_year", "year"), encoding="cyclic")
    return make_pipeline(
        ColumnTransformer(
            [
                ("numbers", numbers, NUMBERS),
                ("flag", "passthrough", ["flag"]),
                ("clock", FunctionTransformer(minutes_of_day), ["whole"]),
                ("town", OneHotEncoder(handle_unknown="ignore"), ["town", "kind of thing"]),
                ("day", times, ["day"]),
            ],
            sparse_threshold=0,
        ),
        estimator,
    )


SMALL = {"n_estimators": 12, "random_state": 0}
CLASSIFIERS = {
    "hgb": HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=3),
    "hgb_deep": HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=1, max_leaf_nodes=None),
    "gb": GradientBoostingClassifier(**SMALL),
    "forest": RandomForestClassifier(**SMALL),
    "forest_deep": RandomForestClassifier(**SMALL, min_samples_leaf=1, class_weight="balanced"),
    "extra": ExtraTreesClassifier(**SMALL, max_depth=4),
    "tree": DecisionTreeClassifier(random_state=0),
    "extra_tree": ExtraTreeClassifier(random_state=0, max_depth=3),
    "logistic": LogisticRegression(max_iter=2000),
    "dummy": DummyClassifier(),
}


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifier_equals_its_pipeline(name: str, task: str) -> None:
    plan = assert_planned(fit(preprocessed(CLASSIFIERS[name]), task))
    assert plan.exactness == ("ulp" if name == "logistic" else "bits")


REGRESSORS = {
    "hgb": HistGradientBoostingRegressor(max_iter=20),
    "hgb_poisson": HistGradientBoostingRegressor(loss="poisson", max_iter=10),
    "hgb_gamma": HistGradientBoostingRegressor(loss="gamma", max_iter=10),
    "hgb_absolute": HistGradientBoostingRegressor(loss="absolute_error", max_iter=10),
    "hgb_quantile": HistGradientBoostingRegressor(loss="quantile", quantile=0.8, max_iter=10),
    "gb": GradientBoostingRegressor(**SMALL),
    "gb_huber": GradientBoostingRegressor(**SMALL, loss="huber", init="zero"),
    "forest": RandomForestRegressor(**SMALL),
    "extra": ExtraTreesRegressor(**SMALL),
    "tree": DecisionTreeRegressor(random_state=0),
    "linear": LinearRegression(),
    "ridge": Ridge(),
    "lasso": Lasso(alpha=0.01),
    "elastic": ElasticNet(alpha=0.01, max_iter=5000),
    "dummy": DummyRegressor(),
    "log_target": TransformedTargetRegressor(
        HistGradientBoostingRegressor(max_iter=10), func=np.log1p, inverse_func=np.expm1
    ),
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressor_equals_its_pipeline(name: str) -> None:
    assert_planned(fit(preprocessed(REGRESSORS[name]), "positive"))


@pytest.mark.parametrize("name", ["hgb", "forest", "extra", "tree"])
def test_trees_with_missing_values_equal_their_pipeline(name: str) -> None:
    assert_planned(fit(preprocessed(CLASSIFIERS[name], impute=False)))


@pytest.mark.parametrize("row_method", ["branches", "branches without tables", "walk"])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("name", ["hgb", "hgb_deep", "forest", "gb"])
def test_trees_without_lookups_in_tables_equal_their_pipeline(
    name: str, task: str, row_method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_row_method(monkeypatch, row_method)
    assert_planned(fit(preprocessed(CLASSIFIERS[name], impute=name == "gb"), task))


@pytest.mark.parametrize("name", ["hgb", "forest", "tree"])
def test_trees_predicted_by_their_own_function_equal_their_pipeline(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_row_method(monkeypatch, "estimator")
    assert_planned(fit(preprocessed(CLASSIFIERS[name])))


@pytest.mark.parametrize("row_method", ["lookup tables", "branches", "walk"])
@pytest.mark.parametrize("categorical", [["town", "kind of thing"], [0, 3]])
def test_categorical_splits_equal_their_pipeline(
    categorical: Any, row_method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_row_method(monkeypatch, row_method)
    columns = tuple(c for c in COLUMNS if c.name in ("town", "number", "count", "kind of thing"))
    names = [c.name for c in columns]
    features = categorical if isinstance(categorical[0], str) else [names.index("town"), names.index("kind of thing")]
    model = HistGradientBoostingClassifier(max_iter=15, min_samples_leaf=2, categorical_features=features)
    assert_planned(fit(model, columns=columns), columns=columns)
    assert_planned(fit(Pipeline([("model", model)]), "multiclass", columns), columns=columns)


def test_categorical_splits_after_an_encoder_equal_their_pipeline() -> None:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=-1)
    pipeline = make_pipeline(
        ColumnTransformer([("text", encoder, ["town", "kind of thing"])], remainder="drop"),
        HistGradientBoostingClassifier(categorical_features=np.array([True, True]), max_iter=10, min_samples_leaf=2),
    )
    assert_planned(fit(pipeline))


def test_linear_model_over_sparse_one_hot_columns_is_exact_to_the_bit() -> None:
    for estimator, task in (
        (LogisticRegression(), "binary"),
        (LogisticRegression(), "multiclass"),
        (Ridge(solver="lsqr"), "regression"),
        (Lasso(alpha=0.001), "regression"),
    ):
        pipeline = make_pipeline(
            ColumnTransformer(
                [
                    (
                        "town",
                        OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=9),
                        ["town", "kind of thing"],
                    ),
                    ("n", make_pipeline(SimpleImputer(), StandardScaler()), ["number", "whole"]),
                ],
                sparse_threshold=1.0,
            ),
            estimator,
        )
        assert assert_planned(fit(pipeline, task)).exactness == "bits"


@pytest.mark.parametrize("name", ["forest", "gb", "tree"])
def test_trees_over_a_sparse_matrix_equal_their_pipeline(name: str) -> None:
    pipeline = make_pipeline(
        ColumnTransformer(
            [("t", OneHotEncoder(handle_unknown="ignore"), ["town"]), ("n", "passthrough", ["number"])],
            sparse_threshold=1,
        ),
        CLASSIFIERS[name],
    )
    rows = [row for row in make_rows(160) if row["number"] is not None]
    pipeline.fit(to_frame(COLUMNS, rows), targets(rows, "binary"))
    assert_planned(pipeline)


@pytest.mark.parametrize(
    ("estimator", "method", "task"),
    [
        ("hgb", "sigmoid", "binary"),
        ("hgb", "isotonic", "multiclass"),
        ("forest", "isotonic", "binary"),
        ("forest", "sigmoid", "multiclass"),
        ("logistic", "sigmoid", "binary"),
        ("logistic", "isotonic", "binary"),
    ],
)
def test_calibrated_classifier_equals_its_pipeline(estimator: str, method: Any, task: str) -> None:
    assert_planned(fit(preprocessed(CalibratedClassifierCV(CLASSIFIERS[estimator], method=method, cv=2)), task))


def test_calibrated_frozen_pipeline_equals_its_pipeline() -> None:
    fitted = fit(preprocessed(CLASSIFIERS["hgb"]))
    assert_planned(fit(CalibratedClassifierCV(FrozenEstimator(fitted), method="isotonic")))


ON_DECISION_FUNCTION = {"response_method": "decision_function"}


@pytest.mark.parametrize(
    ("estimator", "settings"),
    [
        ("hgb", {"threshold": 0.3}),
        ("hgb", {"threshold": 0.7, "pos_label": 0}),
        ("hgb", {"threshold": -0.2, **ON_DECISION_FUNCTION}),
        ("logistic", {"threshold": 0.2, "pos_label": 0, **ON_DECISION_FUNCTION}),
        ("logistic", {}),
        ("forest", {"threshold": 0.25}),
    ],
)
def test_fixed_threshold_equals_its_pipeline(estimator: str, settings: dict[str, Any]) -> None:
    assert_planned(fit(FixedThresholdClassifier(preprocessed(CLASSIFIERS[estimator]), **settings)))


def test_tuned_threshold_of_a_frozen_pipeline_equals_its_pipeline() -> None:
    fitted = fit(preprocessed(CLASSIFIERS["hgb"]))
    tuned = TunedThresholdClassifierCV(FrozenEstimator(fitted), cv="prefit", refit=False)
    assert_planned(fit(tuned))


@pytest.mark.parametrize("labels", [["no", "yes"], [False, True], [2.0, 7.0]])
def test_classes_keep_their_type(labels: list[Any]) -> None:
    rows = make_rows(120)
    target = pd.Series([labels[i] for i in targets(rows, "binary")])
    for name in ("hgb", "forest", "logistic"):
        assert_planned(preprocessed(CLASSIFIERS[name]).fit(to_frame(COLUMNS, rows), target))


def test_exponential_loss_equals_its_pipeline() -> None:
    assert_planned(fit(preprocessed(GradientBoostingClassifier(**SMALL, loss="exponential"))))


def test_forest_with_several_jobs_is_ulp() -> None:
    plan = assert_planned(fit(preprocessed(RandomForestClassifier(n_estimators=5, n_jobs=2, random_state=0))))
    assert plan.exactness == "ulp"


def test_float64_threshold_is_the_largest_value_that_rounds_to_the_float32_threshold() -> None:
    rng = np.random.default_rng(3)
    edges = np.concatenate([rng.normal(size=200), [0.0, 1e-45, 1e-40, 16777217.0, 3.4028234e38, 0.1]])
    limits = trees.float64_threshold(edges)
    for edge, limit in zip(edges, limits, strict=True):
        assert np.float32(limit) <= edge
        assert not np.float32(np.nextafter(limit, np.inf)) <= edge
