"""Small tables with all the difficulties of real ones, and the comparison of plan and pipeline in all tests."""

import datetime as dt
import warnings
from typing import Any

import numpy as np
import pytest

from skline.contract.frames import to_frame
from skline.contract.spec import Column, Value
from skline.scoring import plan_storage
from skline.scoring.equality import MAX_ULPS, arrays_equal
from skline.scoring.estimators import branches, column_tables, ensemble
from skline.scoring.plan import Plan
from skline.scoring.planning import build_plan
from skline.scoring.reference import score_with_pipeline
from skline.scoring.scores import RowRejected, Scores

Row = dict[str, Value]

COLUMNS = (
    Column(name="number", kind="number", nullable=True),
    Column(name="whole", kind="integer"),
    Column(name="constant", kind="number"),
    Column(name="count", kind="integer", nullable=True),
    Column(name="flag", kind="boolean"),
    Column(name="maybe", kind="boolean", nullable=True),
    Column(name="town", kind="string"),
    Column(name="kind of thing", kind="string", nullable=True),
    Column(name="day", kind="date"),
    Column(name="moment", kind="datetime", nullable=True),
)
TOWNS = ["Łódź", "北京", "A", "B", "", "a\nb", "Ü", "x" * 40]
#: Shortly before the Unix epoch, so that datetimes lie on both sides of it.
EPOCH = dt.datetime(1969, 12, 30)
COLOURS = ["red", "green", "blue"]


#: Settings under which TreeSum finds the leaves of one row in each way: (module, name, value).
ROW_METHODS: dict[str, list[tuple[Any, str, int]]] = {
    "lookup tables": [(branches, "COMPARISONS_PER_LOOKUP", 0)],
    "branches": [(branches, "COMPARISONS_PER_LOOKUP", 10**6)],
    "branches without tables": [(column_tables, "MAX_TABLE_BYTES", 0)],
    "walk": [(column_tables, "MAX_TABLE_BYTES", 0), (branches, "MAX_SPLITS", -1)],
    "estimator": [
        (column_tables, "MAX_TABLE_BYTES", 0),
        (branches, "MAX_SPLITS", -1),
        (ensemble, "MAX_WALKED_NODES", 0),
    ],
}


def use_row_method(patch: pytest.MonkeyPatch, name: str) -> None:
    """Let the plans of trees find the leaves of one row in one of the ROW_METHODS."""
    for module, setting, value in ROW_METHODS[name]:
        patch.setattr(module, setting, value)


def make_rows(count: int, seed: int = 0) -> list[Row]:
    """Return rows like those of a request, with missing values, rare categories, -0.0 and denormals."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for _ in range(count):
        number = float(rng.choice([rng.normal() * 10, -0.0, 0.0, 5e-324, 1e-310, rng.normal() * 1e6, 0.5]))
        rows.append(
            {
                "number": None if rng.random() < 0.2 else number,
                "whole": int(rng.integers(0, 2400)),
                "constant": 3.5,
                "count": None if rng.random() < 0.2 else int(rng.integers(-3, 4)),
                "flag": bool(rng.random() < 0.4),
                "maybe": None if rng.random() < 0.2 else bool(rng.random() < 0.5),
                "town": str(rng.choice(TOWNS, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.03, 0.02])),
                "kind of thing": None if rng.random() < 0.2 else str(rng.choice(COLOURS)),
                "day": dt.date(2012, 2, 27) + dt.timedelta(days=int(rng.integers(0, 700))),
                "moment": None
                if rng.random() < 0.2
                else EPOCH + dt.timedelta(seconds=int(rng.integers(0, 10**6)), microseconds=7),
            }
        )
    return rows


#: Rows unlike those of training: unseen categories, and values at and beyond every limit.
UNUSUAL_ROWS: list[Row] = [
    {**make_rows(1, 99)[0], **changes}
    for changes in (
        {"number": None, "count": None, "maybe": None, "kind of thing": None, "moment": None},
        {"town": "nowhere"},
        {"kind of thing": "ultraviolet", "number": 1.7e308},
        {"number": -1.7e308, "whole": -(2**53), "kind of thing": ""},
        {"number": 3.4028235e38, "constant": -2.5, "flag": True, "maybe": False},
        {"number": 3.5e38, "day": dt.date(1, 1, 1)},
        {"number": -0.0, "constant": 0.0, "count": 0, "town": ""},
        {"number": 5e-324, "constant": -5e-324, "day": dt.date(9999, 12, 31)},
        {"constant": 1e300, "whole": 2**53, "moment": dt.datetime(2400, 2, 29, 23, 59, 59, 999999)},
        {"number": float("inf")},
        {"constant": float("-inf")},
        {"town": "\x00unseen"},
    )
]


def targets(rows: list[Row], task: str, seed: int = 1) -> Any:
    """Return a target for the rows: "binary", "multiclass" (strings), "regression" or "positive"."""
    rng = np.random.default_rng(seed)
    score = np.array(
        [
            (0.3 * (row["count"] or 0)) + (row["town"] == "A") + (row["flag"] or 0) - (row["whole"] or 0) / 2400  # type: ignore[operator]
            for row in rows
        ]
    ) + rng.normal(0, 0.5, len(rows))
    match task:
        case "binary":
            return (score > 0).astype(int)
        case "multiclass":
            return np.array(["low", "mid", "high"])[np.digitize(score, [-0.5, 0.5])]
        case "positive":
            return np.exp(score)
        case _:
            return score


def fit(pipeline: Any, task: str = "binary", columns: tuple[Column, ...] = COLUMNS, rows: int = 160) -> Any:
    """Fit a pipeline on rows of the table."""
    table = make_rows(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pipeline.fit(to_frame(columns, table), targets(table, task))


def call_without_warnings(score: Any, *args: Any) -> Any:
    """Call a function without warnings; return None if it rejects its input."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return score(*args)
        except ValueError:
            return None


def assert_planned(pipeline: Any, rows: list[Row] | None = None, columns: tuple[Column, ...] = COLUMNS) -> Plan:
    """Build the plan of a fitted pipeline, and compare them on single rows, a small batch and a large one."""
    plan = build_plan(pipeline, columns)
    rows = rows if rows is not None else [*UNUSUAL_ROWS, *make_rows(4, 7)]
    accepted, single_scores = [], []
    for row in rows:
        expected = call_without_warnings(score_with_pipeline, pipeline, columns, [row])
        try:
            actual = plan.score_row(row)
        except RowRejected:
            assert expected is None, f"the plan rejects {row}, which the pipeline scores"
            continue
        assert expected is not None, f"the pipeline rejects {row}, which the plan scores"
        assert_row_scores_equal(expected, actual, plan)
        accepted.append(row)
        single_scores.append(expected)
    assert accepted, "the pipeline rejects every row, so the test verifies nothing"
    for chosen in (slice(0, 3), slice(0, None)):
        expected = call_without_warnings(score_with_pipeline, pipeline, columns, accepted[chosen])
        if plan.exactness == "ulp":
            expected = concatenate(single_scores[chosen])
        frame = to_frame(columns, accepted[chosen])
        arrays = {column.name: frame[column.name].to_numpy() for column in columns}
        assert_scores_equal(expected, plan.score_rows(accepted[chosen]), plan)
        assert_scores_equal(expected, Scores(*score_by_array_plan(plan, accepted[chosen])), plan)
        assert_scores_equal(expected, plan.score_columns(arrays), plan)
    if len(accepted) < len(rows):
        assert call_without_warnings(plan.score_rows, rows * 4) is None
    assert_equal_after_storage(plan, accepted)
    return plan


def assert_equal_after_storage(plan: Plan, rows: list[Row]) -> None:
    """Assert that the plan gives the same scores after it was stored and loaded."""
    restored = plan_storage.load_plan(plan_storage.dump_plan(plan), {})
    assert restored.exactness == plan.exactness
    for row in rows[:4]:
        assert repr(restored.score_row(row)) == repr(plan.score_row(row))
    before, after = plan.score_rows(rows), restored.score_rows(rows)
    assert before.predictions.tobytes() == after.predictions.tobytes() or before.predictions.dtype == object
    if before.probabilities is not None and after.probabilities is not None:
        assert arrays_equal(before.probabilities, after.probabilities, "bits")


def score_by_array_plan(plan: Plan, rows: list[Row]) -> tuple[Any, Any]:
    """Score rows by the array plan, even if they are few."""
    from skline.scoring.code_writer import BatchContext
    from skline.scoring.plan import _to_array

    batch = BatchContext(
        lambda i: _to_array([row[plan.columns[i].name] for row in rows], plan.columns[i].storage), len(rows)
    )
    scores = plan.score_batch(batch)
    return scores.predictions, scores.probabilities


def concatenate(single_scores: list[Scores]) -> Scores:
    """Join scores of single rows into those of one batch."""
    predictions = np.concatenate([scores.predictions for scores in single_scores])
    probabilities = [scores.probabilities for scores in single_scores if scores.probabilities is not None]
    return Scores(predictions, np.concatenate(probabilities) if probabilities else None)


def assert_row_scores_equal(expected: Scores, actual: tuple[Any, Any], plan: Plan) -> None:
    """Assert that a row's plain values equal arrays of length one."""
    prediction, probabilities = actual
    assert type(prediction) in (int, float, str, bool)
    dtype = expected.predictions.dtype
    arrays = Scores(np.array([prediction], dtype=dtype), None if probabilities is None else np.array([probabilities]))
    assert_scores_equal(expected, arrays, plan)


def assert_scores_equal(expected: Scores, actual: Scores, plan: Plan) -> None:
    """Assert that all bits are equal; for an "ulp" plan that classes are equal and numbers within MAX_ULPS."""
    assert (expected.probabilities is None) == (actual.probabilities is None)
    if plan.exactness == "bits":
        if expected.predictions.dtype == object:
            assert expected.predictions.tolist() == actual.predictions.tolist()
        else:
            assert expected.predictions.dtype == actual.predictions.dtype
            assert expected.predictions.tobytes() == actual.predictions.tobytes()
        if expected.probabilities is not None and actual.probabilities is not None:
            assert expected.probabilities.tobytes() == actual.probabilities.tobytes()
        return
    if expected.probabilities is None or actual.probabilities is None:
        np.testing.assert_array_max_ulp(expected.predictions, actual.predictions, MAX_ULPS)
    else:
        assert expected.predictions.tolist() == actual.predictions.tolist()
        np.testing.assert_array_max_ulp(expected.probabilities, actual.probabilities, MAX_ULPS)
