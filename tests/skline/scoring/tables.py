"""Small tables with everything in them that real ones have, and the comparison that all tests share."""

import datetime as dt
import warnings
from typing import Any

import numpy as np

from skline.contract.frames import to_frame
from skline.contract.spec import Column, Value
from skline.scoring import stored
from skline.scoring.answers import RowRefused, Scores
from skline.scoring.equality import ULPS, same
from skline.scoring.plan import Plan, build_plan
from skline.scoring.reference import score_with_pipeline

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
#: Just before the first of the epoch, to have days on both sides of it.
EPOCH = dt.datetime(1969, 12, 30)
FEW = ["red", "green", "blue"]


def make_rows(count: int, seed: int = 0) -> list[Row]:
    """Rows as a caller gives them, with missing values, rare categories, -0.0 and denormals."""
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
                "kind of thing": None if rng.random() < 0.2 else str(rng.choice(FEW)),
                "day": dt.date(2012, 2, 27) + dt.timedelta(days=int(rng.integers(0, 700))),
                "moment": None
                if rng.random() < 0.2
                else EPOCH + dt.timedelta(seconds=int(rng.integers(0, 10**6)), microseconds=7),
            }
        )
    return rows


#: Rows unlike those of training: unseen categories and values at and over every edge.
ODD: list[Row] = [
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
    """Something to learn: "binary", "multiclass" (texts), "regression" or "positive"."""
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
    """Fit on the table's rows."""
    table = make_rows(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pipeline.fit(to_frame(columns, table), targets(table, task))


def quietly(score: Any, *args: Any) -> Any:
    """Call without warnings; None where it refuses its input."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return score(*args)
        except ValueError:
            return None


def assert_planned(pipeline: Any, rows: list[Row] | None = None, columns: tuple[Column, ...] = COLUMNS) -> Plan:
    """Plan the fitted pipeline, and compare it on rows alone, in small batches and in one."""
    plan = build_plan(pipeline, columns)
    rows = rows if rows is not None else [*ODD, *make_rows(4, 7)]
    accepted, alone = [], []
    for row in rows:
        expected = quietly(score_with_pipeline, pipeline, columns, [row])
        try:
            found = plan.score_row(row)
        except RowRefused:
            assert expected is None, f"the plan refuses {row}, which the pipeline scores"
            continue
        assert expected is not None, f"the pipeline refuses {row}, which the plan scores"
        assert_same_row(expected, found, plan)
        assert found == plan.score_tuple(tuple(row[column.name] for column in columns)) or found[0] != found[0]
        accepted.append(row)
        alone.append(expected)
    assert accepted, "the pipeline refuses every row: the test tests nothing"
    for chosen in (slice(0, 3), slice(0, None)):
        expected = quietly(score_with_pipeline, pipeline, columns, accepted[chosen])
        if plan.exactness == "ulp":
            expected = join(alone[chosen])
        frame = to_frame(columns, accepted[chosen])
        arrays = {column.name: frame[column.name].to_numpy() for column in columns}
        assert_same(expected, plan.score_rows(accepted[chosen]), plan)
        assert_same(expected, Scores(*first(plan, accepted[chosen])), plan)
        assert_same(expected, plan.score_columns(arrays), plan)
    if len(accepted) < len(rows):
        assert quietly(plan.score_rows, rows * 4) is None
    assert_stored(plan, accepted)
    return plan


def assert_stored(plan: Plan, rows: list[Row]) -> None:
    """The plan answers the same after it was written and read."""
    again = stored.load(stored.dump(plan))
    assert again.exactness == plan.exactness
    for row in rows[:4]:
        assert repr(again.score_row(row)) == repr(plan.score_row(row))
    before, after = plan.score_rows(rows), again.score_rows(rows)
    assert before.predictions.tobytes() == after.predictions.tobytes() or before.predictions.dtype == object
    if before.probabilities is not None and after.probabilities is not None:
        assert same(before.probabilities, after.probabilities, "bits")


def first(plan: Plan, rows: list[Row]) -> tuple[Any, Any]:
    """Scores of rows by the array plan, however few they are."""
    from skline.scoring.plan import _column

    scores = plan._score(
        lambda i: _column([row[plan.columns[i].name] for row in rows], plan.columns[i].storage), len(rows)
    )
    return scores.predictions, scores.probabilities


def join(alone: list[Scores]) -> Scores:
    """Rows scored one by one, as one batch."""
    predictions = np.concatenate([scores.predictions for scores in alone])
    chances = [scores.probabilities for scores in alone if scores.probabilities is not None]
    return Scores(predictions, np.concatenate(chances) if chances else None)


def assert_same_row(expected: Scores, found: tuple[Any, Any], plan: Plan) -> None:
    """One row's plain values against arrays of one row."""
    prediction, chances = found
    assert type(prediction) in (int, float, str, bool)
    dtype = expected.predictions.dtype
    arrays = Scores(np.array([prediction], dtype=dtype), None if chances is None else np.array([chances]))
    assert_same(expected, arrays, plan)


def assert_same(expected: Scores, found: Scores, plan: Plan) -> None:
    """The same bits; or for an "ulp" plan the same classes, and numbers within 4 ulp."""
    assert (expected.probabilities is None) == (found.probabilities is None)
    if plan.exactness == "bits":
        if expected.predictions.dtype == object:
            assert expected.predictions.tolist() == found.predictions.tolist()
        else:
            assert expected.predictions.dtype == found.predictions.dtype
            assert expected.predictions.tobytes() == found.predictions.tobytes()
        if expected.probabilities is not None and found.probabilities is not None:
            assert expected.probabilities.tobytes() == found.probabilities.tobytes()
        return
    if expected.probabilities is None or found.probabilities is None:
        np.testing.assert_array_max_ulp(expected.predictions, found.predictions, ULPS)
    else:
        assert expected.predictions.tolist() == found.predictions.tolist()
        np.testing.assert_array_max_ulp(expected.probabilities, found.probabilities, ULPS)
