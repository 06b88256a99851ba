"""The feedback is appended to the table: an event is in it once, and its row is in one part."""

import datetime as dt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.feedback import (
    AFTER_FIT,
    LINEAGE,
    Addition,
    list_snapshots,
    newest_rows,
    read_feedback,
    snapshot_path,
)
from skline.partition import assign_parts
from skline.row_weights import WEIGHT
from skline.split_rule import Split

NOW = pd.Timestamp("2026-06-01", tz="UTC")
DAY = pd.Timedelta(days=1)
CONTRACT = Contract(
    title="T",
    columns=(
        Column(name="x", kind="integer"),
        Column(name="y", kind="boolean", role="target"),
        Column(name="id", kind="string", role="id", unique=True),
        Column(name="at", kind="datetime", role="time"),
    ),
    task="binary",
    classes=(False, True),
)
NO_CELLS = pd.DataFrame({"row": [], "column": [], "value": [], "rule": []}).astype({"row": "int64"})


def base(ids: list[str], days_ago: int = 10) -> pd.DataFrame:
    at = (NOW.tz_localize(None) - days_ago * DAY).as_unit("us")
    return pd.DataFrame({"x": range(len(ids)), "y": [True] * len(ids), "id": ids, "at": [at] * len(ids)})


def feedback(*rows: dict[str, Any]) -> pd.DataFrame:
    """Return rows of a snapshot; each gives its prediction, and what differs from the default."""
    frames = []
    for each in rows:
        values: dict[str, Any] = {"x": 1, "y": True, "id": each["log.prediction_id"], "at": NOW.tz_localize(None)}
        values |= dict.fromkeys(LINEAGE) | {"log.predicted_at": NOW, "log.labelled_at": NOW} | each
        frames.append(pd.DataFrame([values]).astype({"at": "datetime64[us]", "id": "str"}))
    return pd.concat(frames, ignore_index=True)


def write(folder: Path, number: int, rows: pd.DataFrame) -> Path:
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    path = snapshot_path(folder, number, start + number * DAY, start + (number + 1) * DAY)
    folder.mkdir(exist_ok=True)
    rows.to_parquet(path)
    return path


class Combined(NamedTuple):
    table: pd.DataFrame
    unparsed: pd.DataFrame
    lineage: dict[str, object]


def combine(
    table: pd.DataFrame, unparsed: pd.DataFrame, rows: pd.DataFrame, contract: Contract, window: dt.timedelta | None
) -> Combined:
    """Append feedback to a table of one batch, as the stage ingest does."""
    addition = Addition(rows, contract, window)
    addition.see(table)
    taken, cells = addition.take(table, unparsed)
    if addition.is_empty:
        return Combined(taken, cells, addition.lineage())
    return Combined(pd.concat([taken, addition.rows()], ignore_index=True), cells, addition.lineage())


def test_without_feedback_the_table_is_as_it_was(tmp_path: Path) -> None:
    table = base(["a", "b"])
    combined = combine(table, NO_CELLS, read_feedback(tmp_path / "none", CONTRACT).rows, CONTRACT, DAY)
    assert combined.table is table
    assert combined.lineage == {}


def test_later_label_of_an_earlier_row_supersedes_it(tmp_path: Path) -> None:
    write(tmp_path, 1, feedback({"log.prediction_id": "p"}, {"log.prediction_id": "q"}))
    write(tmp_path, 2, feedback({"log.prediction_id": "p", "y": False, "log.labelled_at": NOW + DAY}))
    rows = read_feedback(tmp_path, CONTRACT).rows
    assert rows[["id", "y"]].to_dict("records") == [{"id": "q", "y": True}, {"id": "p", "y": False}]


def test_event_and_id_are_there_once_and_rows_without_an_event_stay() -> None:
    event = {"log.entity": "e", "log.event_time": NOW}
    rows = newest_rows(
        feedback(
            {"log.prediction_id": "a", **event},
            {"log.prediction_id": "b", **event, "log.predicted_at": NOW + DAY},
            {"log.prediction_id": "c", "id": "same"},
            {"log.prediction_id": "d", "id": "same", "log.labelled_at": NOW - DAY},
            {"log.prediction_id": "e"},
            {"log.prediction_id": "f"},
        ),
        CONTRACT,
    )
    assert rows["log.prediction_id"].tolist() == ["b", "c", "e", "f"]


def test_row_of_the_source_counts_where_both_have_its_id() -> None:
    found = combine(
        base(["a", "b"]), NO_CELLS, feedback({"log.prediction_id": "b"}, {"log.prediction_id": "c"}), CONTRACT, None
    )
    assert found.table["id"].tolist() == ["a", "b", "c"]
    assert found.lineage == {"rows": 1, "also_in_the_source": 1, "older_than_the_window": 0}
    assert found.table.dtypes.astype(str).to_dict() == {"x": "int64", "y": "bool", "id": "str", "at": "datetime64[us]"}


def test_window_takes_rows_before_the_newest_and_moves_the_cells_that_were_not_parsed() -> None:
    table = pd.concat([base(["old"], 40), base(["new"], 5)], ignore_index=True)
    table["x"] = [np.nan, np.nan]
    cells = pd.DataFrame({"row": [0, 1], "column": "x", "value": ["?", "!"], "rule": "no integer"})
    rows = feedback(
        {"log.prediction_id": "p"}, {"log.prediction_id": "q", "at": (NOW - 31 * DAY).tz_localize(None)}
    )  # fmt: skip
    found = combine(table, cells, rows, CONTRACT, 30 * DAY)
    assert found.table["id"].tolist() == ["new", "p"]
    assert found.table["x"].dtype == "float64"
    assert found.unparsed.to_dict("records") == [{"row": 0, "column": "x", "value": "!", "rule": "no integer"}]
    assert found.lineage == {"rows": 1, "also_in_the_source": 0, "older_than_the_window": 2}


def test_snapshot_without_a_column_of_the_contract_has_missing_cells(tmp_path: Path) -> None:
    write(tmp_path, 1, feedback({"log.prediction_id": "p"}).drop(columns="x"))
    write(tmp_path, 2, feedback({"log.prediction_id": "q"}))
    assert read_feedback(tmp_path, CONTRACT).rows["x"].isna().tolist() == [True, False]


def test_column_of_another_type_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    write(tmp_path, 1, feedback({"log.prediction_id": "p"}))
    write(tmp_path, 2, feedback({"log.prediction_id": "q"}).astype({"x": "str"}))
    with pytest.raises(SklineError, match="'x' of the feedback is int64 and str: its type.*delete all snapshots"):
        read_feedback(tmp_path, CONTRACT)


def test_missing_snapshots_are_errors(tmp_path: Path) -> None:
    second = write(tmp_path, 2, feedback({"log.prediction_id": "p"}))
    with pytest.raises(SklineError, match="is not snapshot 0001"):
        list_snapshots(tmp_path)
    first = write(tmp_path, 1, feedback({"log.prediction_id": "p"}))
    assert [each.path for each in list_snapshots(tmp_path)] == [first, second]
    first.with_name(f"{first.name}.dvc").touch()
    first.unlink()
    with pytest.raises(SklineError, match="run `dvc pull`"):
        list_snapshots(tmp_path)


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=12), min_size=1, max_size=4),
    st.integers(0, 5),
    st.sampled_from([None, 30 * DAY]),
)
def test_row_is_in_one_part_and_keeps_it_while_the_feedback_grows(
    snapshots: list[list[tuple[int, bool]]], seed: int, window: dt.timedelta | None
) -> None:
    table, split = base([f"b{number}" for number in range(40)]), Split(seed=seed, validation=0.3, test=0.3)
    parts: dict[str, int] = {}
    grown = []
    for number, labels in enumerate(snapshots):
        grown += [
            {"log.prediction_id": f"p{name}", "y": value, "log.labelled_at": NOW + number * DAY}
            for name, value in labels
        ]
        if not grown:
            continue
        rows = combine(table, NO_CELLS, newest_rows(feedback(*grown), CONTRACT), CONTRACT, window).table
        assert rows["id"].is_unique
        assert len(rows) == len(table) + len({each["log.prediction_id"] for each in grown})
        now = dict(zip(rows["id"], assign_parts(rows, CONTRACT, split).tolist(), strict=True))
        assert {name: now[name] for name in parts} == parts, "in training before, and in the test part now"
        parts = now


@pytest.mark.parametrize("damage", ["truncated", "another table"])
def test_damaged_snapshot_is_named(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path, 1, feedback({"log.prediction_id": "a"}))
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        pd.DataFrame({"x": [1]}).to_parquet(path)
    with pytest.raises(
        SklineError, match=rf"{path.name} (cannot be read|lacks log.artifact_digest, ).*restore the snap"
    ):
        read_feedback(tmp_path, CONTRACT)


def drawn(name: str, probability: float | None, *, selected: bool | None = None) -> dict[str, Any]:
    return {"log.prediction_id": name, "log.selected": selected, "log.inclusion_probability": probability}


def test_only_rows_drawn_at_random_are_taken_and_weigh_what_they_stand_for(tmp_path: Path) -> None:
    rows = [drawn("a", 0.25, selected=False), drawn("b", None, selected=True), drawn("c", None), drawn("d", 0.5)]
    write(tmp_path, 1, feedback(*rows))
    found = read_feedback(tmp_path, CONTRACT, drawn_only=True).rows
    assert found[["id", WEIGHT]].to_dict("records") == [{"id": "a", WEIGHT: 4.0}, {"id": "d", WEIGHT: 2.0}]
    table = combine(base(["x"]), NO_CELLS, found, CONTRACT, None).table
    assert table.set_index("id")[WEIGHT].to_dict() == {"x": 1.0, "a": 4.0, "d": 2.0}
    assert WEIGHT not in read_feedback(tmp_path, CONTRACT).rows


def test_rows_that_selection_leaves_out_are_counted(tmp_path: Path) -> None:
    assert read_feedback(tmp_path, CONTRACT, drawn_only=True).not_drawn == 0
    write(tmp_path, 1, feedback(drawn("a", 0.25, selected=False), drawn("b", None, selected=True), drawn("c", None)))
    assert read_feedback(tmp_path, CONTRACT, drawn_only=True).not_drawn == 2
    assert read_feedback(tmp_path, CONTRACT).not_drawn is None


def test_feedback_without_a_row_drawn_at_random_cannot_stand_for_all(tmp_path: Path) -> None:
    write(tmp_path, 1, feedback(drawn("a", None, selected=True), drawn("b", None)))
    with pytest.raises(SklineError, match="none of 2 rows of the feedback was drawn at random.*REVIEW__SAMPLE"):
        read_feedback(tmp_path, CONTRACT, drawn_only=True)


def test_row_drawn_at_random_stays_if_a_newer_row_of_its_event_was_not_drawn(tmp_path: Path) -> None:
    event = {"log.entity": "e", "log.event_time": NOW}
    write(tmp_path, 1, feedback(drawn("a", 0.5) | event, drawn("b", None) | event | {"log.predicted_at": NOW + DAY}))
    assert read_feedback(tmp_path, CONTRACT, drawn_only=True).rows["id"].tolist() == ["a"]


def test_later_snapshots_change_no_row_that_the_pipeline_was_fitted_on(tmp_path: Path) -> None:
    write(tmp_path, 1, feedback({"log.prediction_id": "p"}, {"log.prediction_id": "q"}))
    before = combine(base(["a"]), NO_CELLS, read_feedback(tmp_path, CONTRACT).rows, CONTRACT, 30 * DAY).table
    assert AFTER_FIT not in read_feedback(tmp_path, CONTRACT, fitted_snapshots=1).rows, "there is no later one"
    at = (NOW + 60 * DAY).tz_localize(None)
    correction = {"log.prediction_id": "p", "y": False, "log.labelled_at": NOW + DAY}
    write(tmp_path, 2, feedback(correction, {"log.prediction_id": "r", "at": at}))
    write(tmp_path, 3, feedback({"log.prediction_id": "r", "y": False, "at": at, "log.labelled_at": NOW + DAY}))
    rows = read_feedback(tmp_path, CONTRACT, fitted_snapshots=1).rows
    found = combine(base(["a"]), NO_CELLS, rows, CONTRACT, 30 * DAY)
    fitted = found.table[~found.table[AFTER_FIT]].drop(columns=AFTER_FIT)
    pd.testing.assert_frame_equal(fitted, before)
    assert found.table.loc[found.table[AFTER_FIT], ["id", "y"]].to_dict("records") == [{"id": "r", "y": False}]
