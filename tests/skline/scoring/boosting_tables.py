"""Tables for the plans of LightGBM, XGBoost and CatBoost: categories, missing values, and values at every threshold."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from skline.contract.frames import to_frame
from skline.contract.spec import Column
from skline.scoring.expressions import LookupTable
from skline.scoring.planning import build_plan

from .tables import Row, assert_planned, use_row_method

#: The first column is encoded as categories, the others are numbers.
COLUMNS = (
    Column(name="kind", kind="string", nullable=True),
    Column(name="a", kind="number", nullable=True),
    Column(name="b", kind="number", nullable=True),
    Column(name="c", kind="integer"),
)
KINDS = ("red", "green", "blue", "ultraviolet", "infrared", "white")
#: Zeros of both signs, the limits of LightGBM's zero, denormals of both precisions, and the limits of float32.
SPECIAL = (
    0.0, -0.0, 5e-324, -5e-324, 1e-35, -1e-35, float(np.float32(1e-35)), -float(np.float32(1e-35)), 1.2e-38, 1e-45,
    3.4e38, -3.4e38, 1e150, -1e150, 16777217.0, 0.1, -0.1,
)  # fmt: skip


def table(rows: int, *, fitted: bool) -> st.SearchStrategy[list[Row]]:
    """Generate rows; those that are only scored have unseen categories, and may overflow float32."""
    limit = 1e30 if fitted else 1e300
    special = st.sampled_from([value for value in SPECIAL if abs(value) <= limit])
    number = st.none() | st.floats(-3, 3) | special | st.floats(-limit, limit)
    kinds = st.none() | st.sampled_from(KINDS[:5])
    row = st.fixed_dictionaries(
        {
            "kind": kinds if fitted else kinds | st.text(max_size=2),
            "a": number,
            "b": number | st.integers(-3, 3).map(float),
            "c": st.integers(-4, 4) | st.integers(-(2**53), 2**53),
        }
    )
    return st.lists(row, min_size=rows, max_size=rows)  # type: ignore[return-value]


def random_rows(count: int) -> list[Row]:
    """Return rows of ordinary values, some of them missing."""
    rng = np.random.default_rng(5)
    return [
        {
            "kind": None if rng.random() < 0.1 else str(rng.choice(KINDS)),
            "a": None if rng.random() < 0.2 else float(rng.normal()),
            "b": float(rng.normal()),
            "c": int(rng.integers(-4, 5)),
        }
        for _ in range(count)
    ]


def encoded(estimator: Any) -> Pipeline:
    """Return a pipeline that encodes the categories, which are the estimator's first column."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
    columns = ColumnTransformer([("kind", encoder, ["kind"]), ("numbers", "passthrough", ["a", "b", "c"])])
    return make_pipeline(columns, estimator)


def fit(pipeline: Any, rows: list[Row], task: str, seed: int) -> Any:
    """Fit a pipeline on rows with a random target that depends on them."""
    rng = np.random.default_rng(seed)
    signal = np.array([(row["kind"] in KINDS[:2]) + np.tanh(float(row["a"] or 0)) for row in rows])  # type: ignore[arg-type]
    signal = signal + rng.normal(0, 0.5, len(rows))
    target = {
        "binary": np.where(signal > np.median(signal), "yes", "no"),
        "multiclass": np.array(["low", "mid", "high"])[np.digitize(signal, np.quantile(signal, [0.3, 0.6]))],
        "regression": signal,
        "positive": np.exp(signal),
    }[task]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pipeline.fit(to_frame(COLUMNS, rows), target)


def rows_at_thresholds(pipeline: Any, rows: list[Row], count: int, columns: tuple[Column, ...] = COLUMNS) -> list[Row]:
    """Return copies of rows with values at thresholds of the plan's trees, and at the next floats of both sides."""
    margin: Any = build_plan(pipeline, columns)._estimator_plan.margin
    margin = getattr(margin, "margins", (margin,))[0]  # of a calibrated classifier the first member's
    changed = []
    for tree in margin.trees[:6]:
        for feature, threshold in zip(tree.feature, tree.threshold, strict=True):
            if feature < 0 or isinstance(margin.expressions[feature], LookupTable):
                continue
            name = columns[feature].name
            with np.errstate(over="ignore"):
                single = float(np.float32(threshold))
            near = (threshold, np.nextafter(threshold, np.inf), np.nextafter(threshold, -np.inf), single)
            for value in near:
                if np.isfinite(value) and (name != "c" or float(value).is_integer()):
                    cell = int(value) if name == "c" else float(value)
                    changed.append({**rows[len(changed) % len(rows)], name: cell})
    return changed[:: max(1, len(changed) // count)][:count]


def assert_bits_at_thresholds(estimator: Any, task: str, seed: int) -> None:
    """Fit an encoded pipeline, and check its plan, equal to the bit, on rows and at thresholds."""
    rows = random_rows(80)
    pipeline = fit(encoded(estimator), rows, task, seed)
    assert assert_planned(pipeline, [*rows[:4], *rows_at_thresholds(pipeline, rows, 12)], COLUMNS).exactness == "bits"


def assert_bits_on_random_tables(data: st.DataObject, estimator: Any, task: str, seed: int) -> None:
    """Do the same on tables that Hypothesis draws, with rows that no fitted row resembles."""
    fitted = data.draw(table(12, fitted=True)) * 3
    pipeline = fit(encoded(estimator), fitted, task, seed)
    others = data.draw(table(6, fitted=False))
    rows = [*fitted[:2], *others, *rows_at_thresholds(pipeline, others, 20)]
    assert assert_planned(pipeline, rows, COLUMNS).exactness == "bits"


def assert_planned_without_lookups(
    classifier: Any, task: str, row_method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check the plan of trees that take another of the ROW_METHODS than lookup tables."""
    use_row_method(monkeypatch, row_method)
    rows = random_rows(120)
    pipeline = fit(encoded(classifier), rows, task, seed=3)
    assert_planned(pipeline, [*rows[:20], *rows_at_thresholds(pipeline, rows, 20)], COLUMNS)
