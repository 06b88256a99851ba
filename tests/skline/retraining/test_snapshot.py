"""A snapshot holds the rows that keep the contract, each with its lineage, in the same bytes for the same log."""

import datetime as dt
import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from skline.contract.derive import derive
from skline.contract.spec import Contract
from skline.contract.table import Table, column
from skline.errors import SklineError
from skline.feedback import LINEAGE, list_snapshots
from skline.logs.partitions import LABEL_SCHEMA, PREDICTION_SCHEMA, to_table
from skline.logs.records import to_us
from skline.retraining.matured import Matured, select_matured
from skline.retraining.snapshot import SnapshotContent, build_content, clean_up, write_snapshot
from skline.retraining.usable import find_fault
from skline.stages.declared import Declared
from tests.fixtures import customers, demo
from tests.fixtures.sample_project import contract as module
from tests.fixtures.sample_project.source import prepare_feedback
from tests.skline.retraining.conftest import DAY, NOW, label, prediction

DECLARED = Declared(demo.contract(), module.Labelled, prepare_feedback)
INPUTS = {
    "flight_date": "2013-07-04", "carrier": "UA", "origin": "EWR", "dest": "IAH", "distance": 1400,
    "sched_dep_time": 515, "sched_arr_time": 819,
}  # fmt: skip


def matured(predictions: list[tuple[Any, ...]], labels: list[tuple[Any, ...]]) -> Matured:
    tables = to_table(PREDICTION_SCHEMA, predictions).sort_by("time"), to_table(LABEL_SCHEMA, labels).sort_by("time")
    return select_matured(*tables, DAY, None, NOW)


def grouped(kind: type) -> tuple[Contract, type[Table]]:
    """Return a contract with an id and a group of a kind, which requests do not contain, and its class."""

    class Inputs(Table):
        carrier: str = column("Airline", example="UA")

    class Labelled(Inputs):
        late: bool = column("Whether it was late", role="target")
        row_id: kind = column("Number of the row", role="id")
        who: kind = column("Customer", role="group")

    return derive(Inputs, Labelled, {}), Labelled


def content(*predictions: tuple[Any, ...], value: object = True, coverage: float = 0.95) -> SnapshotContent:
    labels = [label(str(row[0]), NOW - 3 * DAY, value) for row in predictions]
    return build_content(matured(list(predictions), labels), DECLARED, coverage)


def row(name: str, minute: int = 0, **fields: Any) -> tuple[Any, ...]:
    return prediction(name, NOW - 5 * DAY + minute * dt.timedelta(minutes=1), **{"inputs": INPUTS} | fields)


def test_rows_have_the_columns_of_the_contract_as_ingest_stores_them() -> None:
    [found] = content(row("p1")).rows[[each.name for each in demo.contract().columns]].to_dict("records")
    assert found == {
        **INPUTS,
        "flight_date": pd.Timestamp("2013-07-04"),
        "late": True,
        "flight_id": "p1",
        "departed_at": pd.Timestamp("2013-07-04 09:00"),
        "month": 7,
    }
    dtypes = content(row("p1")).rows.dtypes.astype(str)
    assert {each.name: dtypes[each.name] for each in demo.contract().columns} == {
        each.name: each.storage for each in demo.contract().columns
    }


def test_rows_of_a_contract_without_an_id_become_a_snapshot() -> None:
    declared = Declared(customers.contract(), customers.Labelled, None)
    inputs = {"customer_id": 7, "amount": 40.0, "avg_30d": 12.5, "orders": 3, "tier": "gold"}
    rows = [prediction("p1", NOW - 5 * DAY, inputs=inputs)]
    found = build_content(matured(rows, [label("p1", NOW - 3 * DAY)]), declared, 0.95)
    assert found.broken_rules == []
    [kept] = found.rows[[*inputs, "paid", "placed_at"]].to_dict("records")
    assert kept == inputs | {"paid": True, "placed_at": pd.Timestamp(NOW - 5 * DAY).tz_localize(None)}


def test_rows_that_break_the_contract_are_left_out_and_counted() -> None:
    broken = [
        row("damaged", inputs='{"carrier": "U'),
        row("no object", inputs="[1]"),
        row("too far", inputs=INPUTS | {"distance": 99_999}),
        row("lacks an input", inputs={name: value for name, value in INPUTS.items() if name != "origin"}),
        row("no such local time", inputs=INPUTS | {"flight_date": "2013-11-03", "sched_dep_time": 130}),
    ]
    found = content(
        row("p1"), *broken, row("null", inputs=INPUTS | {"distance": None}), row("more", inputs=INPUTS | {"x": 1})
    )
    assert found.rows["flight_id"].tolist() == ["p1", "null", "more"]
    assert found.left_out == 5
    assert found.broken_rules == [
        "inputs are no JSON: 1 row",
        "inputs are no JSON object: 1 row",
        "distance Input should be less than or equal to 12500: 1 row",
        "origin Field required: 1 row",
        "departed_at must not be missing: 1 row",
    ]
    assert content(row("p1"), value="perhaps").left_out == 1


def test_without_prepare_feedback_what_the_log_lacks_is_missing() -> None:
    found = build_content(
        matured([row("p1")], [label("p1", NOW - 3 * DAY)]), Declared(demo.contract(), module.Labelled, None), 0.95
    )
    assert (len(found.rows), found.left_out) == (0, 1)
    assert found.broken_rules == ["month must not be missing: 1 row"]


def test_prepare_feedback_must_keep_rows_and_columns() -> None:
    for wrong in (lambda rows: rows.iloc[1:], lambda rows: rows.drop(columns="log.review")):
        declared = Declared(demo.contract(), module.Labelled, wrong)
        with pytest.raises(SklineError, match=r"prepare_feedback\(\) in src/model/source.py has to return all rows"):
            build_content(matured([row("p1")], [label("p1", NOW - 3 * DAY)]), declared, 0.95)


def test_an_event_is_there_once_with_its_newest_label() -> None:
    event = {"entity": "e" * 64, "event_time": to_us(NOW - 6 * DAY)}
    predictions = [row("first", 0, **event), row("second", 1, **event), row("other", 2)]
    labels = [label("first", NOW - 2 * DAY, False), label("second", NOW - 3 * DAY), label("other", NOW - 3 * DAY)]
    found = build_content(matured(predictions, labels), DECLARED, 0.95)
    assert found.rows["flight_id"].tolist() == ["first", "other"]
    assert found.superseded == 1


def test_selection_is_recorded_as_far_as_it_is_known() -> None:
    predictions = [row(f"{kind}{n}", n, review=kind) for n in range(40) for kind in (0, 1, 2)]
    some = [label(str(each[0]), NOW - 3 * DAY) for each in predictions if int(str(each[0])[1:]) % 2 == 0]
    rows = build_content(matured(predictions, some), DECLARED, 0.95).rows
    by_review = rows.groupby("log.review")["log.selected"].agg(lambda values: values.astype(object).unique().tolist())
    assert [by_review[0][0] is None or pd.isna(by_review[0][0]), by_review[1], by_review[2]] == [True, [True], [False]]
    sample = rows[rows["log.review"] == 2]
    assert len(sample) == 20, "the random sample is kept whole"
    assert sample["log.inclusion_probability"].mean() == pytest.approx(20 / 120, abs=0.01)
    assert rows.loc[rows["log.review"] != 2, "log.inclusion_probability"].isna().all()
    every = build_content(
        matured(predictions, [label(str(each[0]), NOW - 3 * DAY) for each in predictions]), DECLARED, 0.95
    )
    assert every.rows["log.selected"].tolist() == [False] * 120


def test_equal_logs_give_equal_bytes_and_the_next_snapshot_has_the_next_number(tmp_path: Path) -> None:
    found = content(row("p1", review=2), row("p2", 1))
    first = write_snapshot(tmp_path / "a", found, NOW - 5 * DAY, NOW)
    again = write_snapshot(tmp_path / "b", content(row("p2", 1), row("p1", review=2)), NOW - 5 * DAY, NOW)
    assert first.path.name == "0001-20260527T000000Z-20260601T000000Z.parquet"
    assert first.path.read_bytes() == again.path.read_bytes()
    second = write_snapshot(tmp_path / "a", content(row("p3")), NOW, NOW + DAY)
    assert list_snapshots(tmp_path / "a") == [first, second]
    assert set(LINEAGE) <= set(pq.read_schema(first.path).names)


def test_what_a_killed_process_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = write_snapshot(tmp_path, content(row("p1")), NOW - 5 * DAY, NOW)
    (tmp_path / f".{snapshot.path.name}.abc123").write_bytes(b"half")
    tracked = []
    monkeypatch.setattr("skline.retraining.snapshot.track_table", lambda root, path: tracked.append(path))
    clean_up(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".gitignore", snapshot.path.name]
    assert tracked == [snapshot.path]


def test_git_does_not_take_a_snapshot_that_dvc_could_not_track_at_once(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    git("init", "-q")
    (tmp_path / "feedback").mkdir()
    (tmp_path / "feedback/.gitignore").write_text("/0000-before.parquet\n")
    snapshot = write_snapshot(tmp_path / "feedback", content(row("p1")), NOW - 5 * DAY, NOW)
    (tmp_path / f"feedback/.{snapshot.path.name}.abc123").write_bytes(b"half")
    git("add", "--all")
    assert git("ls-files").split() == ["feedback/.gitignore"]
    assert (tmp_path / "feedback/.gitignore").read_text().startswith("/0000-before.parquet\n/*.parquet\n")


def test_a_record_that_dvc_could_not_finish_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = write_snapshot(tmp_path, content(row("p1")), NOW - 9 * DAY, NOW)
    record = snapshot.path.with_name(f"{snapshot.path.name}.dvc")
    record.touch()
    tracked = []
    monkeypatch.setattr("skline.retraining.snapshot.track_table", lambda root, path: tracked.append(path))
    clean_up(tmp_path)
    assert tracked == [snapshot.path]
    assert not record.exists(), "DVC finds no empty file"


def test_snapshot_that_was_changed_is_rejected(tmp_path: Path) -> None:
    snapshot = write_snapshot(tmp_path, content(row("p1")), NOW - 9 * DAY, NOW)
    digest = hashlib.md5(snapshot.path.read_bytes(), usedforsecurity=False).hexdigest()
    record = snapshot.path.with_name(f"{snapshot.path.name}.dvc")
    record.write_text(f"outs:\n- md5: {digest}\n  path: {snapshot.path.name}\n")
    clean_up(tmp_path)
    write_snapshot(tmp_path / "other", content(row("p2")), NOW - 9 * DAY, NOW).path.replace(snapshot.path)
    with pytest.raises(SklineError, match=r"parquet was changed after it was made.*dvc checkout --force .*\.dvc`"):
        clean_up(tmp_path)


@pytest.mark.parametrize(("kind", "python"), [("string", str), ("integer", int), ("number", float)])
def test_an_id_and_a_group_of_any_kind_are_filled_from_the_log(kind: str, python: type) -> None:
    contract, labelled = grouped(python)
    declared = Declared(contract, labelled, None)
    predictions = [row("p1", 0, entity="a" * 64), row("p2", 1, entity="b" * 64), row("p3", 2, entity="a" * 64)]
    labels = [label(str(each[0]), NOW - 3 * DAY) for each in predictions]
    found = build_content(matured(predictions, labels), declared, 0.95)
    assert found.broken_rules == []
    rows = found.rows
    assert rows["row_id"].nunique() == 3
    assert rows["who"].nunique() == 2
    assert rows["who"].iloc[0] == rows["who"].iloc[2]
    assert {str(rows[name].dtype) for name in ("row_id", "who")} == {contract["who"].storage}
    assert contract["who"].kind == kind
    if kind != "string":
        assert ((rows["row_id"] >= 0) & (rows["row_id"] < 2**53)).all()
    again = build_content(matured(predictions[:1], labels[:1]), declared, 0.95).rows
    assert again["row_id"].iloc[0] == rows["row_id"].iloc[0], "later snapshots supersede the row"


def test_rows_without_an_entity_break_a_contract_with_a_group() -> None:
    declared = Declared(*grouped(int), None)
    some = [row(f"p{number}", number, entity="a" * 64 if number == 1_500 else None) for number in range(1, 2_500)]
    labels = [label(str(each[0]), NOW - 3 * DAY) for each in some]
    without = matured([each for each in some if each[0] != "p1500"], labels)
    fault = find_fault(without, declared, 0.95)
    assert fault is not None
    assert fault.startswith(
        "none of 1,000 labelled predictions keeps the contract: who must not be missing: 1,000 rows."
    )
    assert "who is the entity that a request names, such as in the header X-Entity-ID" in fault
    assert find_fault(matured(some[1_499:1_501], labels), declared, 0.95) is None, "one row is left"
    assert find_fault(matured([], []), declared, 0.95) is None, "no label has matured"

    def fail(rows: pd.DataFrame) -> pd.DataFrame:
        raise ValueError("no such column")

    failing = Declared(declared.contract, declared.labelled, fail)
    assert "prepare_feedback() in src/model/source.py" in str(find_fault(without, failing, 0.95))
