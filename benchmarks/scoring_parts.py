"""The estimators and transformers that `benchmarks/scoring_paths.py` times."""

from typing import Any

import numpy as np
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import BaseEstimator, TransformerMixin
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
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, KFold, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline, make_pipeline
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
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from xgboost import XGBClassifier, XGBRegressor

from skline.features import BoostingClassifier, BoostingRegressor, TextFeatures, TimeFeatures, minutes_of_day


class CustomTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer of the user's own, which no plan supports."""

    def fit(self, X: Any, y: Any = None) -> "CustomTransformer":  # noqa: ARG002
        """Learn nothing."""
        return self

    def transform(self, X: Any) -> Any:
        """Return the values as they are."""
        return np.asarray(X, dtype=np.float64)


CUSTOM = CustomTransformer()
TREES = HistGradientBoostingClassifier(early_stopping=False)
FOREST: dict[str, Any] = {"n_estimators": 100, "random_state": 0, "min_samples_leaf": 5}
LIGHTGBM: dict[str, Any] = {"n_jobs": 1, "verbosity": -1}
XGBOOST: dict[str, Any] = {"n_jobs": 1}
ORDINAL = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)

#: Name, estimator, task.
ESTIMATORS: list[tuple[str, Any, str]] = [
    ("HistGradientBoostingClassifier", TREES, "binary"),
    ("HistGradientBoostingClassifier, 3 classes", TREES, "multiclass"),
    ("HistGradientBoostingRegressor", HistGradientBoostingRegressor(early_stopping=False), "regression"),
    ("HistGradientBoostingRegressor, poisson", HistGradientBoostingRegressor(loss="poisson"), "regression"),
    ("GradientBoostingClassifier", GradientBoostingClassifier(), "binary"),
    ("GradientBoostingRegressor", GradientBoostingRegressor(), "regression"),
    ("LGBMClassifier", LGBMClassifier(**LIGHTGBM), "binary"),
    (
        "LGBMClassifier, 3 classes, categories",
        BoostingClassifier(LGBMClassifier(**LIGHTGBM), categories=2),
        "multiclass",
    ),
    ("LGBMRegressor, poisson", LGBMRegressor(**LIGHTGBM, objective="poisson"), "regression"),
    ("XGBClassifier", XGBClassifier(**XGBOOST), "binary"),
    ("XGBClassifier, 3 classes", BoostingClassifier(XGBClassifier(**XGBOOST)), "multiclass"),
    ("XGBRegressor, poisson", BoostingRegressor(XGBRegressor(**XGBOOST, objective="count:poisson")), "regression"),
    ("RandomForestClassifier", RandomForestClassifier(**FOREST), "binary"),
    ("RandomForestRegressor", RandomForestRegressor(**FOREST), "regression"),
    ("ExtraTreesClassifier, 6 levels", ExtraTreesClassifier(**FOREST, max_depth=6), "binary"),
    ("ExtraTreesRegressor, 6 levels", ExtraTreesRegressor(**FOREST, max_depth=6), "regression"),
    ("DecisionTreeClassifier", DecisionTreeClassifier(max_depth=8), "binary"),
    ("DecisionTreeRegressor", DecisionTreeRegressor(max_depth=8), "regression"),
    ("LogisticRegression", LogisticRegression(max_iter=1000), "binary"),
    ("LogisticRegression, 3 classes", LogisticRegression(max_iter=1000), "multiclass"),
    ("LinearRegression", LinearRegression(), "regression"),
    ("Ridge", Ridge(), "regression"),
    ("Lasso", Lasso(alpha=0.01), "regression"),
    ("ElasticNet", ElasticNet(alpha=0.01), "regression"),
    ("CalibratedClassifierCV, sigmoid", CalibratedClassifierCV(TREES, cv=2), "binary"),
    ("CalibratedClassifierCV, isotonic", CalibratedClassifierCV(TREES, cv=2, method="isotonic"), "binary"),
    ("FixedThresholdClassifier", FixedThresholdClassifier(TREES, threshold=0.3), "binary"),
    ("TunedThresholdClassifierCV", TunedThresholdClassifierCV(TREES, cv=2), "binary"),
    (
        "TransformedTargetRegressor",
        TransformedTargetRegressor(HistGradientBoostingRegressor(), func=np.log1p, inverse_func=np.expm1),
        "regression",
    ),
    ("DummyClassifier", DummyClassifier(), "binary"),
    ("DummyRegressor", DummyRegressor(), "regression"),
]

#: Name, transformer, columns that it transforms.
TRANSFORMERS: list[tuple[str, Any, list[str]]] = [
    ("ColumnTransformer, passthrough", "passthrough", ["clock", "distance"]),
    ("SimpleImputer", SimpleImputer(add_indicator=True), ["clock", "distance"]),
    ("MissingIndicator", MissingIndicator(features="all"), ["clock", "distance"]),
    ("StandardScaler", StandardScaler(), ["clock", "distance"]),
    ("MinMaxScaler", MinMaxScaler(clip=True), ["clock", "distance"]),
    ("MaxAbsScaler", MaxAbsScaler(), ["clock", "distance"]),
    ("RobustScaler", RobustScaler(), ["clock", "distance"]),
    ("OneHotEncoder", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["carrier", "dest"]),
    (
        "OneHotEncoder, infrequent",
        OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=20, sparse_output=False),
        ["carrier", "dest"],
    ),
    ("OrdinalEncoder", ORDINAL, ["carrier", "dest"]),
    (
        "TargetEncoder",
        TargetEncoder(target_type="binary", cv=KFold(5, shuffle=True, random_state=0)),
        ["carrier", "dest"],
    ),
    ("TextFeatures", TextFeatures(random_state=0), ["dest"]),
    ("KBinsDiscretizer", KBinsDiscretizer(encode="onehot-dense"), ["clock"]),
    ("TimeFeatures", TimeFeatures(parts=("month", "weekday", "day_of_year"), encoding="cyclic"), ["day"]),
    ("FunctionTransformer, minutes_of_day", FunctionTransformer(minutes_of_day), ["clock"]),
    ("FunctionTransformer, np.log1p", FunctionTransformer(np.log1p), ["distance"]),
]


def with_preprocessing(estimator: Any) -> Pipeline:
    """Return the estimator behind the transformers that a table of flights needs."""
    codes = make_pipeline(ORDINAL, SimpleImputer(strategy="constant", fill_value=-1))
    columns = ColumnTransformer(
        [
            ("text", codes, ["carrier", "dest"]),
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["distance"]),
            ("time", TimeFeatures(parts=("month", "weekday")), ["day"]),
            ("clock", FunctionTransformer(minutes_of_day), ["clock"]),
        ]
    )
    return make_pipeline(columns, estimator)


def before_trees(transformer: Any, columns: list[str]) -> Pipeline:
    """Return a pipeline of the transformer and gradient-boosted trees."""
    return make_pipeline(ColumnTransformer([("part", transformer, columns)]), TREES)
