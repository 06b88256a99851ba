"""Tests of the stage split: each row is in one part, no id or group is in two, and no part lacks a class."""

import datetime as dt
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from skline import batches
from skline.contract.derive import derive
from skline.contract.table import Table, column
from skline.errors import SklineError
from skline.feedback import AFTER_FIT
from skline.partition import PARTS, assign_parts, resolve_cuts
from skline.row_weights import WEIGHT
from skline.settings import Weights
from skline.split_rule import Split
from skline.stages.newest_row import describe_future
from skline.stages.part_counts import describe_counts, describe_parts
from skline.stages.reassignment import describe_reassignment
from skline.stages.split import list_parts, split, write_parts
from skline.stages.table_partition import Frames


class Inputs(Table):
    """One input."""

    x: int = column("x", example=1)


class Labelled(Inputs):
    """With every role."""

    y: bool = column("target", role="target")
    key: str = column("id", role="id")
    at: dt.datetime = column("time", role="time")


class Timed(Inputs):
    """Without an id."""

    y: bool = column("target", role="target")
    at: dt.datetime = column("time", role="time")


class Grouped(Labelled):
    """And a group."""

    owner: str = column("group", role="group")


class GroupedByNumber(Labelled):
    """And a group, which is a number."""

    owner: int = column("group", role="group")


CONTRACT, GROUPED = derive(Inputs, Labelled, {}), derive(Inputs, Grouped, {})


def one_batch(table: pd.DataFrame) -> Frames:
    return lambda names: iter([table if names is None else table[[*names]]])


def rows(n: int) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "x": np.arange(n),
            "y": random.random(n) < 0.3,
            "key": [f"k{i}" for i in range(n)],
            "at": pd.date_range("2020-01-01", periods=n, freq="D").as_unit("us"),
            "owner": [f"g{i % (n // 2)}" for i in range(n)],
        }
    )


@settings(max_examples=30)
@given(
    st.integers(200, 600),
    st.integers(0, 5),
    st.sampled_from(["random", "group"]),
    st.sampled_from([0.0, 0.1]),
)
def test_every_row_is_in_exactly_one_part(n: int, seed: int, kind: Any, live: float) -> None:
    contract = GROUPED if kind == "group" else CONTRACT
    parts = split(rows(n), contract, Split(kind=kind, seed=seed, live=live))
    assert sorted(key for part in parts.values() for key in part["key"]) == sorted(rows(n)["key"])
    if kind == "group":
        owners = [set(part["owner"]) for part in parts.values()]
        assert sum(map(len, owners)) == len(set.union(*owners))


def test_random_split_is_reproducible_and_depends_on_the_seed() -> None:
    data = rows(2_000)
    parts = split(data, CONTRACT, Split(seed=1, validation=0.1, test=0.2))
    shares = [len(parts[name]) / 2_000 for name in PARTS]
    assert all(abs(share - expected) < 0.04 for share, expected in zip(shares, [0.7, 0.1, 0.2, 0], strict=True))
    assert all(abs(parts[name]["y"].mean() - data["y"].mean()) < 0.1 for name in PARTS[:3])
    again = split(data, CONTRACT, Split(seed=1, validation=0.1, test=0.2))
    other = split(data, CONTRACT, Split(seed=2, validation=0.1, test=0.2))
    assert again["test"].equals(parts["test"])
    assert not other["test"].equals(parts["test"])


def test_report_states_the_share_of_each_part() -> None:
    parts = split(rows(400), CONTRACT, Split())
    summary = describe_parts(parts, CONTRACT)
    assert {name: part["share"] for name, part in summary.items()} == {
        name: round(len(part) / 400, 4) for name, part in parts.items()
    }


def test_cut_date_belongs_to_the_later_part() -> None:
    cuts = {"validation_from": "2020-03-01", "test_from": "2020-04-01", "live_from": "2020-05-01"}
    parts = split(rows(200), CONTRACT, Split.model_validate({"kind": "time"} | cuts))
    assert [str(parts[name]["at"].min().date()) for name in PARTS] == ["2020-01-01", *cuts.values()]


def test_moving_cuts_are_times_before_the_newest_row_that_is_not_live() -> None:
    table = rows(200)  # one row a day; the newest before the live part is of 30 April
    moving = {"validation_from": "-30d", "test_from": "-240h", "live_from": "2020-05-01"}
    fixed = {"validation_from": "2020-03-31", "test_from": "2020-04-20", "live_from": "2020-05-01"}
    rules = [Split.model_validate({"kind": "time"} | cuts) for cuts in (moving, fixed)]
    moved, dated = (assign_parts(table, CONTRACT, rule) for rule in rules)
    assert moved.tolist() == dated.tolist()
    assert assign_parts(table[table["at"] >= "2020-05-01"], CONTRACT, rules[0]).tolist() == [PARTS.index("live")] * 79


@given(st.integers(30, 400), st.integers(2, 400), st.integers(1, 400))
def test_moving_cuts_follow_the_newest_row_and_stay_once_they_are_resolved(n: int, validation: int, test: int) -> None:
    assume(validation > test)
    rule = Split.model_validate({"kind": "time", "validation_from": f"-{validation}h", "test_from": f"-{test}h"})
    table = rows(n)
    newest = table["at"].max()
    for part, cells in table.groupby(assign_parts(table, CONTRACT, rule))["at"]:
        assert ((newest - cells <= pd.Timedelta(hours=test)) == (part == PARTS.index("test"))).all()
        assert ((newest - cells <= pd.Timedelta(hours=validation)) == (part != PARTS.index("train"))).all()
    resolved = resolve_cuts(table["at"], rule)
    again = Split.model_validate_json(resolved.model_dump_json())
    grown = pd.concat([table, rows(n + 30)[n:]], ignore_index=True)
    assert assign_parts(grown, CONTRACT, again)[:n].tolist() == assign_parts(table, CONTRACT, rule).tolist()


@pytest.mark.parametrize(
    ("change", "settings_", "message"),
    [
        (
            lambda d: d,
            {"kind": "time", "validation_from": "2020-03-01", "test_from": "2031-01-01"},
            "'test' is empty",
        ),
        (lambda d: d.assign(y=True), {}, "has no row with y = False"),
        (lambda d: d.assign(key="same"), {}, "is empty; change split.seed or the shares"),
        (
            lambda d: d.assign(key="same"),
            {"kind": "time", "validation_from": "2020-03-01", "test_from": "2020-04-01"},
            "key 'same' is in train and validation",
        ),
    ],
)
def test_rejects_empty_parts_missing_classes_and_shared_ids(change: Any, settings_: Any, message: str) -> None:
    with pytest.raises(SklineError, match=message):
        split(change(rows(200)), CONTRACT, Split.model_validate(settings_))


def test_rejects_a_group_in_two_parts_of_a_time_split() -> None:
    cuts = {"kind": "time", "validation_from": "2020-03-01", "test_from": "2020-04-01"}
    with pytest.raises(SklineError, match="owner 'g0' is in"):
        split(rows(200), GROUPED, Split.model_validate(cuts))


def test_weights_halve_with_age_and_have_a_mean_of_one() -> None:
    cuts = {"kind": "time", "validation_from": "2020-03-01", "test_from": "2020-04-01"}
    parts = split(rows(200), CONTRACT, Split.model_validate(cuts), Weights(half_life=dt.timedelta(days=10)))
    weights = parts["train"][WEIGHT].to_numpy()
    assert weights.mean() == pytest.approx(1)
    assert weights[-1] == pytest.approx(2 * weights[-11])
    assert parts["validation"][WEIGHT].eq(1).all(), "newer than the training part"
    assert WEIGHT not in parts["test"]
    assert describe_parts(parts, CONTRACT)["train"]["effective_rows"] < len(weights)
    plain = split(rows(200), CONTRACT, Split.model_validate(cuts), Weights())
    assert [WEIGHT in part for part in plain.values()] == [False] * 4


def test_weights_of_the_feedback_are_multiplied_by_those_of_age() -> None:
    data = rows(400).assign(**{WEIGHT: np.where(np.arange(400) % 2, 4.0, 1.0)})
    selection = Weights(selection="inclusion_probability")
    train = split(data, CONTRACT, Split(), selection)["train"]
    assert train[WEIGHT].max() / train[WEIGHT].min() == pytest.approx(4)
    aged = split(data, CONTRACT, Split(), selection.model_copy(update={"half_life": dt.timedelta(days=50)}))["train"]
    ratio = (aged[WEIGHT] / train[WEIGHT]).to_numpy()
    assert (np.diff(ratio[np.argsort(aged["at"])]) > 0).all()
    assert all(WEIGHT not in part for part in split(data, CONTRACT, Split()).values()), "they are off"


def test_age_needs_a_column_of_role_time() -> None:
    contract = CONTRACT.model_copy(update={"columns": tuple(each for each in CONTRACT.columns if each.name != "at")})
    with pytest.raises(SklineError, match="no column of role time"):
        split(rows(200), contract, Split(), Weights(half_life=dt.timedelta(days=10)))


@settings(max_examples=20)
@given(st.integers(0, 20), st.sampled_from(["random", "group"]))
def test_rows_after_the_fit_tune_and_test_and_leave_the_training_part_as_it_was(seed: int, kind: Any) -> None:
    contract = GROUPED if kind == "group" else CONTRACT
    rule = Split(kind=kind, seed=seed, validation=0.2, test=0.2)
    data = rows(600).assign(**{AFTER_FIT: np.arange(600) >= 400})
    fitted, after = split(data[:400], contract, rule), split(data, contract, rule)
    pd.testing.assert_frame_equal(after["train"], fitted["train"])
    assert (after["validation"]["x"] >= 400).all(), "only rows after the fit"
    assert set(fitted["test"]["x"]) <= set(after["test"]["x"])
    if kind == "random":
        assert len(after["validation"]) + len(after["test"]) == 200 + len(fitted["test"])
    else:
        assert not set(after["validation"]["owner"]) & set(after["train"]["owner"])


CUTS = {"kind": "time", "validation_from": "2020-06-01", "test_from": "2020-09-01"}
MOVING_CUTS = {"kind": "time", "validation_from": "-200d", "test_from": "-100d"}
AGED = Weights(half_life=dt.timedelta(days=50))


@pytest.mark.parametrize("n_rows", [64, 90])
@pytest.mark.parametrize(
    ("contract", "rule", "weights", "is_later"),
    [
        (CONTRACT, {}, Weights(), False),
        (GROUPED, {"kind": "group"}, AGED, False),
        (CONTRACT, CUTS, AGED, False),
        (CONTRACT, MOVING_CUTS | {"live_from": "2021-01-01"}, Weights(), False),
        (CONTRACT, MOVING_CUTS, Weights(selection="inclusion_probability"), True),
        (GROUPED, {"kind": "group"}, Weights(), True),
        ("no id", {}, Weights(), False),
        ("no id", {}, AGED, False),
    ],
)
def test_batches_are_divided_as_the_whole_table(
    contract: Any, rule: dict[str, Any], weights: Weights, is_later: bool, n_rows: int, tmp_path: Path, monkeypatch: Any
) -> None:
    table = rows(480)
    if contract == "no id":  # many equal rows
        contract = derive(Inputs, Timed, {})
        table = table.assign(x=table["x"] % 7, at=table["at"].iloc[table["x"] % 5].to_numpy())[["x", "y", "at"]]
    if weights.selection:
        table = table.assign(**{WEIGHT: 1.0 + table["x"] % 3})
    if is_later:
        table = table.assign(**{AFTER_FIT: np.arange(480) >= 300})
    settings_ = Split.model_validate({"validation": 0.2, "test": 0.2} | rule)
    table.to_parquet(tmp_path / "table.parquet", index=False)
    expected = split(table, contract, settings_, weights)
    monkeypatch.setattr(batches, "rows_per_batch", lambda *_: n_rows)
    (tmp_path / "parts").mkdir()
    counts = write_parts(tmp_path / "table.parquet", tmp_path / "parts", contract, settings_, weights)
    for name in PARTS:
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "parts" / f"{name}.parquet"), expected[name])
    assert describe_counts(counts, contract) == describe_parts(expected, contract)
    assert len(list((tmp_path / "parts").iterdir())) == 4


@pytest.mark.parametrize("labelled", [Grouped, GroupedByNumber])
def test_a_group_in_two_parts_on_disk_is_the_same_error(
    labelled: type[Table], tmp_path: Path, monkeypatch: Any
) -> None:
    contract, table = derive(Inputs, labelled, {}), rows(200)
    if labelled is GroupedByNumber:
        table["owner"] = table["owner"].str[1:].astype("int64")
    table.to_parquet(tmp_path / "table.parquet", index=False)
    monkeypatch.setattr(batches, "rows_per_batch", lambda *_: 64)
    cuts = Split.model_validate({"kind": "time", "validation_from": "2020-03-01", "test_from": "2020-04-01"})
    with pytest.raises(SklineError) as expected:
        split(table, contract, cuts)
    with pytest.raises(SklineError) as found:
        write_parts(tmp_path / "table.parquet", tmp_path, contract, cuts, Weights())
    assert str(found.value) == str(expected.value)
    assert re.search(r"owner ('g\d+'|\d+) is in", str(found.value))


class Measured(Table):
    """Two inputs."""

    x: int = column("x", example=1)
    z: float = column("z", example=1.0)


class PlainLabelled(Inputs):
    """Rows without an id."""

    y: bool = column("target", role="target")


class PlainMeasured(Measured):
    """Rows without an id, with another column."""

    y: bool = column("target", role="target")


def test_a_new_column_that_moves_rows_of_the_test_part_is_named_with_the_way_out() -> None:
    before, now = derive(Inputs, PlainLabelled, {}), derive(Measured, PlainMeasured, {})
    table = rows(400).assign(z=np.linspace(0, 1, 400))
    rule = Split(kind="random", validation=0.2, test=0.2)
    n_test = int((assign_parts(table, now, rule) == PARTS.index("test")).sum())
    note = describe_reassignment(one_batch(table), before, now, rule)
    assert note is not None
    moved, _, rest = note.partition(" of ")
    assert 0 < int(moved) <= n_test
    assert rest.startswith(f"{n_test} rows of the test part were in another part before: ")
    assert "and of the columns 'z' is new." in note
    assert 'role="id"' in note
    gone = describe_reassignment(one_batch(table.drop(columns="z")), now, before, rule)
    assert gone is not None
    assert gone.startswith("The test part has other rows than before: ")
    assert "'z' is gone" in gone
    assert describe_reassignment(one_batch(table), now, now, rule) is None


def test_with_an_id_a_new_column_moves_no_row() -> None:
    table, rule = rows(100), Split(kind="random", validation=0.2, test=0.2)
    assert describe_reassignment(one_batch(table), CONTRACT, GROUPED, rule) is None
    by_key = describe_reassignment(one_batch(table), derive(Inputs, PlainLabelled, {}), CONTRACT, rule)
    assert by_key is not None
    assert by_key.endswith("rows are assigned by 'key' now.")


MOVING = Split(kind="time", validation_from="-28d", test_from="-14d")
FAR = pd.Timestamp("2099-01-01")


def with_a_row_of_2099() -> pd.DataFrame:
    data = rows(300)
    return data.assign(at=data["at"].where(data["key"] != "k7", FAR).astype("datetime64[us]"))


@pytest.mark.parametrize(
    ("window", "remedy"),
    [(None, "change the cut dates in"), (dt.timedelta(days=56), r"change the cut dates or source\.window \(56d\) in")],
)
def test_an_empty_part_names_the_newest_row_from_which_moving_cuts_are_measured(
    window: dt.timedelta | None, remedy: str
) -> None:
    expected = (
        rf"'validation' is empty; {remedy} params\.yaml, or correct .*"
        r"at 2099-01-01 00:00:00, key 'k7', row 7 counted from 0"
    )
    with pytest.raises(SklineError, match=expected):
        split(with_a_row_of_2099(), CONTRACT, MOVING, window=window)


@pytest.mark.parametrize(
    ("data", "rule", "found"),
    [
        (with_a_row_of_2099(), MOVING, True),
        (rows(300), MOVING, False),
        (with_a_row_of_2099(), MOVING.model_copy(update={"live_from": dt.date(2020, 10, 1)}), False),
        (with_a_row_of_2099(), Split(kind="time", validation_from="2020-06-01", test_from="2020-08-01"), False),
        (with_a_row_of_2099(), Split(), False),
    ],
    ids=["a row of 2099", "none", "the live part has it", "cuts are dates", "not by time"],
)
def test_cuts_that_a_row_of_the_future_holds_are_told(data: pd.DataFrame, rule: Split, found: bool) -> None:
    note = describe_future(one_batch(data), CONTRACT, rule, dt.datetime(2020, 10, 26, tzinfo=dt.UTC))
    assert (note is not None) == found
    assert note is None or "key 'k7'" in note
    assert note is None or "one of 1: the cuts" in note


def test_the_live_part_is_listed_and_explained_only_if_it_has_rows() -> None:
    parts = {"train": 6, "validation": 2, "test": 2, "live": 0}
    assert list_parts(parts) == "train 6 (60.0%), validation 2 (20.0%), test 2 (20.0%)"
    assert "live 2 (16.7%); live: kept for `skline replay`" in list_parts(parts | {"live": 2})
