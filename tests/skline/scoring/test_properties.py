"""Random pipelines, fitted on generated tables, equal their plans bit for bit."""

import datetime as dt
import warnings
from typing import Any

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skline.contract.frames import to_frame
from skline.contract.spec import Column
from skline.features import TimeFeatures, difference, minutes_of_day, ratio

from .tables import Row, assert_planned

COLUMNS = (
    Column(name="a", kind="number", nullable=True),
    Column(name="b", kind="number"),
    Column(name="c", kind="integer"),
    Column(name="d", kind="integer", nullable=True),
    Column(name="e", kind="boolean"),
    Column(name="f", kind="string", nullable=True),
    Column(name="g", kind="string"),
    Column(name="h", kind="datetime", nullable=True),
    Column(name="i", kind="date"),
)
EXTREME = [0.0, -0.0, 5e-324, -5e-324, 2.2e-308, 1e-45, 1.0, 1e16, 3.4028235e38, 0.1, -0.1, 1e150]
COMMON_STRINGS = ["", "a", "A", "ß", "東京", "nan", "None", "\x00", "🙂", "-1"]


def numbers(*, fitted: bool) -> st.SearchStrategy[float]:
    """Generate floats; those that are only scored may be infinite or overflow."""
    widest = 1e100 if fitted else None
    ordinary = st.floats(-100, 100) | st.sampled_from(EXTREME[:-1] if fitted else [*EXTREME, 1.7e308, -1.7e308])
    return ordinary | st.floats(
        min_value=None if widest is None else -widest,
        max_value=widest,
        allow_nan=False,
        allow_infinity=not fitted,
    )


def strings(*, fitted: bool) -> st.SearchStrategy[str]:
    """Generate strings: few, so that categories repeat; those that are only scored may be any string."""
    few = st.sampled_from(COMMON_STRINGS)
    return few if fitted else few | st.text(max_size=4)


def table(*, fitted: bool, rows: int) -> st.SearchStrategy[list[Row]]:
    """Generate rows of the table."""
    row = st.fixed_dictionaries(
        {
            "a": st.none() | numbers(fitted=fitted),
            "b": numbers(fitted=fitted),
            "c": st.integers(0, 2400) | st.integers(-(2**53), 2**53),
            "d": st.none() | st.integers(-3, 3),
            "e": st.booleans(),
            "f": st.none() | strings(fitted=fitted),
            "g": strings(fitted=fitted),
            "h": st.none() | st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)),
            "i": st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)),
        }
    )
    return st.lists(row, min_size=rows, max_size=rows)  # type: ignore[return-value]


SCALERS = st.sampled_from(
    [
        StandardScaler(),
        MinMaxScaler(),
        MinMaxScaler(clip=True),
        RobustScaler(),
        "passthrough",
        KBinsDiscretizer(n_bins=3, encode="onehot-dense", strategy="uniform"),
    ]
)
IMPUTERS = st.builds(
    SimpleImputer,
    strategy=st.sampled_from(["mean", "median", "most_frequent", "constant"]),
    add_indicator=st.booleans(),
    keep_empty_features=st.booleans(),
)
ONE_HOT = st.builds(
    OneHotEncoder,
    handle_unknown=st.sampled_from(["ignore", "infrequent_if_exist", "error", "warn"]),
    min_frequency=st.sampled_from([None, 2, 5]),
    drop=st.sampled_from([None, None, "first", "if_binary"]),
    sparse_output=st.booleans(),
)
ORDINAL = st.builds(
    OrdinalEncoder,
    handle_unknown=st.just("use_encoded_value"),
    unknown_value=st.sampled_from([-1, -7]),
    encoded_missing_value=st.sampled_from([-2, -3]),
    max_categories=st.sampled_from([None, 2, 4]),
)
TIMES = st.builds(
    TimeFeatures,
    parts=st.lists(
        st.sampled_from(["year", "month", "day", "weekday", "day_of_year", "hour", "minute", "days"]),
        min_size=1,
        unique=True,
    ),
    encoding=st.sampled_from(["ordinal", "cyclic"]),
)
CLASSIFIERS: list[Any] = [
    HistGradientBoostingClassifier(max_iter=6, min_samples_leaf=1),
    HistGradientBoostingClassifier(max_iter=6, min_samples_leaf=1),
    GradientBoostingClassifier(n_estimators=5),
    RandomForestClassifier(n_estimators=5),
    ExtraTreesClassifier(n_estimators=5),
    DecisionTreeClassifier(),
    LogisticRegression(max_iter=50),
    CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=1), method="isotonic", cv=2),
    CalibratedClassifierCV(DecisionTreeClassifier(max_depth=3), cv=2),
]
REGRESSORS: list[Any] = [
    HistGradientBoostingRegressor(max_iter=6, min_samples_leaf=1),
    HistGradientBoostingRegressor(loss="poisson", max_iter=4, min_samples_leaf=1),
    GradientBoostingRegressor(n_estimators=5),
    RandomForestRegressor(n_estimators=5),
    DecisionTreeRegressor(),
    LinearRegression(),
    Ridge(),
    ElasticNet(max_iter=50),
]


@st.composite
def pipelines(draw: Any, task: str) -> Any:
    """Generate a ColumnTransformer of random parts with a random estimator."""
    parts = [
        (
            "numbers",
            make_pipeline(draw(IMPUTERS), draw(SCALERS)),
            draw(st.sampled_from([["a", "b"], ["a", "c", "d"], ["b", "d"]])),
        ),
        ("clock", make_pipeline(FunctionTransformer(minutes_of_day), SimpleImputer()), ["c", "d"]),
        ("ratio", make_pipeline(FunctionTransformer(ratio), draw(IMPUTERS)), ["a", "d"]),
        ("difference", make_pipeline(FunctionTransformer(difference), SimpleImputer()), ["c", "b"]),
        ("missing", MissingIndicator(error_on_new=False), ["a", "d"]),
        ("one_hot", draw(ONE_HOT), draw(st.sampled_from([["f", "g"], ["g", "e"], ["f"]]))),
        ("ordinal", draw(ORDINAL), draw(st.sampled_from([["f", "g"], ["g"], ["d", "g"]]))),
        ("times", make_pipeline(draw(TIMES), SimpleImputer(strategy="constant", fill_value=-1)), ["h", "i"]),
        ("flag", "passthrough", ["e"]),
    ]
    selected = draw(st.lists(st.sampled_from(parts), min_size=1, max_size=5, unique_by=lambda part: part[0]))
    columns = ColumnTransformer(selected, sparse_threshold=draw(st.sampled_from([0, 0.3, 1.0])))
    estimator = draw(st.sampled_from(REGRESSORS if task == "regression" else CLASSIFIERS))
    if task == "binary" and draw(st.booleans()):
        estimator = FixedThresholdClassifier(
            estimator, threshold=draw(st.sampled_from([0.2, 0.5, 1.0])), response_method="predict_proba"
        )
    return make_pipeline(columns, estimator)


@settings(max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_plan_equals_its_pipeline_to_the_bit(data: st.DataObject) -> None:
    task = data.draw(st.sampled_from(["binary", "multiclass", "regression"]))
    pipeline = data.draw(pipelines(task))
    rows = data.draw(table(fitted=True, rows=12)) * 3
    rng = np.random.default_rng(0)
    target = {
        "binary": rng.integers(0, 2, len(rows)),
        "multiclass": rng.choice(["x", "y", "z"], len(rows)),
        "regression": rng.gamma(1.0, size=len(rows)),
    }[task]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pipeline.fit(to_frame(COLUMNS, rows), target)
        except (ValueError, TypeError) as error:
            # For example an estimator that does not support sparse matrices, or an overflow in fit.
            assume(not str(error))
    assert_planned(pipeline, [*rows[:3], *data.draw(table(fitted=False, rows=7))], COLUMNS)
