"""The plan of every supported transformer, before estimators that reveal its last bit, equals the pipeline."""

from typing import Any

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.tree import DecisionTreeRegressor

from skline.contract.spec import Column
from skline.features import TextFeatures, TimeFeatures, difference, minutes_of_day, ratio
from skline.scoring.planning import build_plan
from skline.scoring.scores import RowRejected, UnsupportedStep

from .tables import COLUMNS, assert_planned, fit, make_rows

STRING_COLUMNS = ["town", "kind of thing"]
NUMBERS = ["number", "count", "constant", "whole"]
TREES = HistGradientBoostingClassifier(max_iter=15, min_samples_leaf=1, random_state=0)


def apply_to(transformer: Any, names: list[str], **settings: Any) -> ColumnTransformer:
    """Return a ColumnTransformer that applies one transformer to some columns."""
    return ColumnTransformer([("chosen", transformer, names)], **settings)


def test_scaled_column_equals_its_pipeline_to_the_last_bit() -> None:
    """A tree that fits every row reveals the last bit of the scaled column."""
    pipeline = make_pipeline(
        apply_to(make_pipeline(SimpleImputer(), StandardScaler()), ["number"]), DecisionTreeRegressor()
    )
    assert_planned(fit(pipeline, "regression"))


@pytest.mark.parametrize(
    "scaler",
    [
        StandardScaler(),
        StandardScaler(with_mean=False),
        StandardScaler(with_std=False),
        MinMaxScaler(),
        MinMaxScaler(feature_range=(-2, 0.3), clip=True),
        MaxAbsScaler(),
        MaxAbsScaler(clip=True),
        RobustScaler(),
        RobustScaler(with_centering=False, quantile_range=(10, 70), unit_variance=True),
        RobustScaler(with_scaling=False),
    ],
    ids=str,
)
def test_scaler_equals_its_pipeline(scaler: Any) -> None:
    assert_planned(fit(make_pipeline(apply_to(scaler, [*NUMBERS, "flag", "maybe"]), TREES)))
    imputed = make_pipeline(SimpleImputer(strategy="median"), scaler)
    assert_planned(fit(make_pipeline(apply_to(imputed, [*NUMBERS, "flag"]), Ridge()), "regression"))


@pytest.mark.parametrize(
    "imputer",
    [
        SimpleImputer(strategy="mean"),
        SimpleImputer(strategy="median", add_indicator=True),
        SimpleImputer(strategy="most_frequent"),
        SimpleImputer(strategy="constant", fill_value=-7),
        SimpleImputer(strategy="constant", add_indicator=True),
        SimpleImputer(keep_empty_features=True),
        MissingIndicator(error_on_new=False),
        MissingIndicator(features="all"),
        MissingIndicator(),
    ],
    ids=str,
)
def test_imputer_equals_its_pipeline(imputer: Any) -> None:
    assert_planned(fit(make_pipeline(apply_to(imputer, ["number", "constant", "count"]), TREES)))
    assert_planned(fit(make_pipeline(apply_to(imputer, ["number", "count"]), Ridge()), "regression"))


@pytest.mark.parametrize("keep", [False, True])
def test_imputer_of_an_empty_column_equals_its_pipeline(keep: bool) -> None:
    rows = [{**row, "number": None} for row in make_rows(120)]
    from .tables import call_without_warnings, targets, to_frame

    imputer = SimpleImputer(add_indicator=True, keep_empty_features=keep)
    pipeline = make_pipeline(apply_to(imputer, ["number", "count"]), TREES)
    call_without_warnings(pipeline.fit, to_frame(COLUMNS, rows), targets(rows, "binary"))
    assert_planned(pipeline)


@pytest.mark.parametrize("fill", ["Łódź", "none of these"])
def test_imputer_of_strings_equals_its_pipeline(fill: str) -> None:
    for imputer in (
        SimpleImputer(strategy="most_frequent"),
        SimpleImputer(strategy="constant", fill_value=fill),
    ):
        for encoder in (
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        ):
            assert_planned(fit(make_pipeline(apply_to(make_pipeline(imputer, encoder), STRING_COLUMNS), TREES)))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {"handle_unknown": "error"},
        {"handle_unknown": "ignore"},
        {"handle_unknown": "warn", "max_categories": 3},
        {"handle_unknown": "infrequent_if_exist", "min_frequency": 15},
        {"handle_unknown": "infrequent_if_exist", "max_categories": 2},
        {"handle_unknown": "ignore", "min_frequency": 0.1},
        {"handle_unknown": "error", "min_frequency": 0.1},
        {"drop": "first"},
        {"drop": "first", "handle_unknown": "ignore"},
        {"drop": "if_binary", "handle_unknown": "infrequent_if_exist", "max_categories": 4},
        {"dtype": np.float32, "handle_unknown": "ignore"},
        {"dtype": int, "handle_unknown": "ignore"},
    ],
    ids=str,
)
def test_one_hot_encoder_equals_its_pipeline(settings: dict[str, Any], sparse: bool) -> None:
    encoder = OneHotEncoder(**settings, sparse_output=sparse)
    names = [*STRING_COLUMNS, "count", "flag"]
    if settings.get("handle_unknown") == "error" or "handle_unknown" not in settings:
        names = [*STRING_COLUMNS, "flag"]
    step = ColumnTransformer(
        [("a", encoder, names), ("b", SimpleImputer(), ["number"])], sparse_threshold=float(sparse)
    )
    assert_planned(fit(make_pipeline(step, LogisticRegression())))


@pytest.mark.parametrize(
    "settings",
    [
        {"handle_unknown": "error"},
        {"handle_unknown": "use_encoded_value", "unknown_value": np.nan},
        {"handle_unknown": "use_encoded_value", "unknown_value": -1, "encoded_missing_value": -2},
        {"handle_unknown": "use_encoded_value", "unknown_value": np.nan, "max_categories": 3},
        {
            "handle_unknown": "use_encoded_value",
            "unknown_value": -5,
            "min_frequency": 12,
            "encoded_missing_value": -2,
        },
        {"handle_unknown": "use_encoded_value", "unknown_value": -1, "dtype": np.float32},
    ],
    ids=str,
)
def test_ordinal_encoder_equals_its_pipeline(settings: dict[str, Any]) -> None:
    names = STRING_COLUMNS if settings["handle_unknown"] == "error" else [*STRING_COLUMNS, "count", "flag", "maybe"]
    assert_planned(fit(make_pipeline(apply_to(OrdinalEncoder(**settings), names), TREES)))


def test_encoder_with_explicit_categories_equals_its_pipeline() -> None:
    encoder = OneHotEncoder(categories=[["green", "red", "blue"], [-1.0, 0.0, 2.0]], handle_unknown="ignore")
    assert_planned(fit(make_pipeline(apply_to(encoder, ["kind of thing", "count"]), LogisticRegression())))


@pytest.mark.parametrize("encode", ["ordinal", "onehot", "onehot-dense"])
@pytest.mark.parametrize("strategy", ["uniform", "quantile", "kmeans"])
def test_discretizer_equals_its_pipeline(encode: Any, strategy: Any) -> None:
    bins = KBinsDiscretizer(n_bins=4, encode=encode, strategy=strategy, quantile_method="averaged_inverted_cdf")
    step = apply_to(make_pipeline(SimpleImputer(), bins), ["number", "whole"])
    assert_planned(fit(make_pipeline(step, LogisticRegression(max_iter=500))))


@pytest.mark.parametrize("encoding", ["ordinal", "cyclic"])
def test_time_features_equal_their_pipeline(encoding: Any) -> None:
    parts = ("year", "month", "day", "weekday", "day_of_year", "hour", "minute", "days")
    times = TimeFeatures(parts=parts, encoding=encoding)
    assert_planned(fit(make_pipeline(apply_to(times, ["day", "moment"]), TREES)))
    scaled = make_pipeline(
        TimeFeatures(parts=parts, encoding=encoding), SimpleImputer(add_indicator=True), StandardScaler()
    )
    assert_planned(fit(make_pipeline(apply_to(scaled, ["day", "moment"]), Ridge()), "regression"))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_target_encoder_equals_its_pipeline(task: str) -> None:
    encoder = TargetEncoder(
        target_type="continuous" if task == "regression" else task, cv=KFold(3, shuffle=True, random_state=0)
    )
    trees = HistGradientBoostingRegressor(max_iter=15) if task == "regression" else TREES
    for names in (STRING_COLUMNS, [*STRING_COLUMNS, "count", "flag", "maybe"]):
        assert_planned(fit(make_pipeline(apply_to(encoder, names), trees), task))


def test_text_features_equal_their_pipeline() -> None:
    unusual = [
        {**row, "town": text}
        for row, text in zip(make_rows(5, 7), ["", " \t", "A A a", "Longer ßtext", "\x00"], strict=True)
    ]
    for features in (TextFeatures(random_state=0), TextFeatures(n_components=1, max_ngrams=2, random_state=0)):
        assert_planned(fit(make_pipeline(apply_to(features, STRING_COLUMNS), TREES)), [*unusual, *make_rows(4, 7)])


def test_minutes_of_day_equals_its_pipeline() -> None:
    step = apply_to(FunctionTransformer(minutes_of_day), ["whole", "number", "count", "flag"])
    assert_planned(fit(make_pipeline(step, TREES)))
    assert_planned(fit(make_pipeline(step, SimpleImputer(), StandardScaler(), Ridge()), "regression"))


@pytest.mark.parametrize("function", [ratio, difference], ids=lambda function: function.__name__)
@pytest.mark.parametrize("pair", [["number", "count"], ["whole", "number"], ["constant", "flag"], ["maybe", "flag"]])
def test_arithmetic_of_two_columns_equals_its_pipeline(function: Any, pair: list[str]) -> None:
    step = apply_to(FunctionTransformer(function), pair)
    zeros = [{**row, pair[1]: 0 if pair[1] != "flag" else False} for row in make_rows(4, 7)]
    assert_planned(fit(make_pipeline(step, TREES)), [*zeros, *make_rows(9, 7)])
    if (function, pair) != (ratio, ["whole", "number"]):  # it overflows to infinity, which Ridge rejects
        assert_planned(fit(make_pipeline(step, SimpleImputer(), StandardScaler(), Ridge()), "regression"), zeros)


def test_arithmetic_of_other_than_two_columns_has_no_plan() -> None:
    with pytest.raises(ValueError, match="ratio takes two columns, and gets an array of shape"):
        fit(make_pipeline(apply_to(FunctionTransformer(ratio), NUMBERS), TREES))


@pytest.mark.parametrize("function", [np.sqrt, np.log1p, np.exp, np.abs, None], ids=str)
def test_numpy_function_equals_its_pipeline(function: Any) -> None:
    # The tree separates exp(x) of many x, so that a different last bit leads to another leaf.
    step = apply_to(make_pipeline(MinMaxScaler(), FunctionTransformer(function)), ["number", "constant"])
    tree = DecisionTreeRegressor(random_state=0)
    assert_planned(fit(make_pipeline(step, tree), "regression"))
    checked = apply_to(
        make_pipeline(SimpleImputer(), MinMaxScaler(), FunctionTransformer(function, validate=True)),
        ["number"],
    )
    assert_planned(fit(make_pipeline(checked, StandardScaler(), TREES)))


def test_nested_column_transformers_equal_their_pipeline() -> None:
    inner = ColumnTransformer(
        [
            ("again", StandardScaler(), ["number"]),
            ("gone", "drop", ["constant"]),
            ("text", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["town"]),
        ],
        remainder="passthrough",
    )
    outer = ColumnTransformer(
        [
            ("nested", inner, ["town", "constant", "number", "flag"]),
            ("none", StandardScaler(), []),
            ("gone", "drop", STRING_COLUMNS[1:]),
        ],
        remainder=make_pipeline(SimpleImputer(), RobustScaler()),
    )
    columns = tuple(c for c in COLUMNS if c.kind not in ("date", "datetime"))
    assert_planned(fit(make_pipeline(outer, "passthrough", TREES), columns=columns), columns=columns)
    by_index = ColumnTransformer([("first", MinMaxScaler(), [0, 1]), ("rest", "passthrough", slice(2, 5))])
    assert_planned(fit(make_pipeline(outer, by_index, TREES), columns=columns), columns=columns)


def test_frame_without_preprocessing_equals_its_pipeline() -> None:
    columns = tuple(c for c in COLUMNS if c.kind in ("number", "integer", "boolean"))
    assert_planned(fit(TREES, columns=columns), columns=columns)
    assert_planned(
        fit(make_pipeline(SimpleImputer(), StandardScaler(), Ridge()), "regression", columns), columns=columns
    )


class Subclass(StandardScaler):
    """A subclass, which may override anything."""


class CustomTransformer(TransformerMixin, BaseEstimator):
    """A transformer that scikit-learn does not have."""

    def fit(self, X: Any, y: Any = None) -> "CustomTransformer":
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: Any) -> Any:
        return np.asarray(X)


@pytest.mark.parametrize(
    ("step", "names", "message"),
    [
        (Subclass(), ["whole"], "Subclass"),
        (CustomTransformer(), ["whole"], "CustomTransformer"),
        (FunctionTransformer(np.sign), ["number"], "sign"),
        (FunctionTransformer(lambda X: X), ["number"], "lambda"),
        (SimpleImputer(missing_values=-1), ["whole"], "missing_values"),
        (StandardScaler().set_output(transform="pandas"), ["whole"], "set_output"),
        (make_pipeline(OrdinalEncoder(dtype=np.float32), StandardScaler()), ["flag"], "float32"),
        (make_pipeline(OneHotEncoder(), StandardScaler(with_mean=False)), ["flag"], "sparse"),
    ],
)
def test_unsupported_step_is_rejected_by_name(step: Any, names: list[str], message: str) -> None:
    pipeline = fit(make_pipeline(apply_to(step, names, sparse_threshold=0), TREES))
    with pytest.raises(UnsupportedStep, match=message):
        build_plan(pipeline, COLUMNS)


def test_transformer_weights_and_other_columns_are_unsupported() -> None:
    weighted = ColumnTransformer([("a", StandardScaler(), ["whole"])], transformer_weights={"a": 2.0})
    with pytest.raises(UnsupportedStep, match="transformer_weights"):
        build_plan(fit(make_pipeline(weighted, TREES)), COLUMNS)
    pipeline = fit(make_pipeline(apply_to(StandardScaler(), ["whole"]), TREES))
    with pytest.raises(UnsupportedStep, match="whole"):
        build_plan(pipeline, [Column(name="other", kind="number")])
    with config_context(transform_output="pandas"), pytest.raises(UnsupportedStep, match="transform_output"):
        build_plan(pipeline, COLUMNS)


def test_rejected_row_names_the_value() -> None:
    plan = build_plan(fit(make_pipeline(apply_to(OneHotEncoder(sparse_output=False), ["town"]), TREES)), COLUMNS)
    row = {**make_rows(1)[0], "town": "Atlantis"}
    with pytest.raises(RowRejected, match="Atlantis"):
        plan.score_row(row)
    with pytest.raises(RowRejected, match="Atlantis"):
        plan.score_rows([row] * 100)
