"""The rows that a champion is compared on: it was not fitted on them, and its contract can read them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skline.contract.spec import Column, Contract
from skline.evaluation.champion_rows import ComparableRows, NotComparable, read_by_contract
from skline.partition import assign_parts, is_part
from skline.split_rule import PartitionRule, Split
from skline.stages.comparable_rows import comparable_rows
from tests.skline.evaluation.comparable import find_comparable_rows

COLUMNS = {
    "key": Column(name="key", kind="string", role="id"),
    "x": Column(name="x", kind="number"),
    "level": Column(name="level", kind="integer", nullable=True),
    "at": Column(name="at", kind="datetime", role="time"),
    "y": Column(name="y", kind="boolean", role="target"),
}
RULE = Split(validation=0.15, test=0.2)
N = 4_000


def contract(without: tuple[str, ...] = (), **changes: dict[str, Any]) -> Contract:
    """Return the contract with some columns changed or left out."""
    columns = [
        column.model_copy(update=changes.get(name, {})) for name, column in COLUMNS.items() if name not in without
    ]
    return Contract(title="T", columns=tuple(columns), task="binary", classes=(False, True))


def table() -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "key": pd.array([f"k{i}" for i in range(N)], dtype="str"),
            "x": random.normal(size=N),
            "level": np.where(random.random(N) < 0.1, np.nan, random.integers(0, 5, N)),
            "at": pd.date_range("2020-01-01", periods=N, freq="h").as_unit("us"),
            "y": random.random(N) < 0.3,
        }
    )


def compare(
    rows: pd.DataFrame | None = None,
    split: Split = RULE,
    champion_split: Split = RULE,
    own: Contract | None = None,
    champion: Contract | None = None,
) -> ComparableRows:
    return find_comparable_rows(
        table() if rows is None else rows, own or contract(), split, champion or contract(),
        PartitionRule(split=champion_split),
    )  # fmt: skip


@pytest.mark.parametrize("without", [(), ("key",)], ids=["id", "content"])
def test_no_test_row_was_fitted_on_if_the_rule_is_the_same(without: tuple[str, ...]) -> None:
    """The champion was fitted before the table was reordered and grew."""
    old = table().iloc[:3_600]
    same = contract(without)
    fitted = old[is_part(assign_parts(old, same, RULE), "train", "validation")]
    found = compare(table().sample(frac=1, random_state=1), own=same, champion=same)
    assert (found.fitted, found.unreadable, len(found.own)) == (0, 0, found.test)
    assert not set(found.own["key"]) & set(fitted["key"])
    assert found.describe() == f"all {found.test:,} test rows"


def time(validation: str, test: str) -> Split:
    return Split.model_validate({"kind": "time", "validation_from": validation, "test_from": test})


@pytest.mark.parametrize(
    ("split", "champion_split"),
    [
        (RULE, Split(validation=0.15, test=0.2, seed=18)),
        (RULE, Split(validation=0.15, test=0.1)),
        (time("2020-04-01", "2020-05-01"), time("2020-04-20", "2020-05-15")),
        (time("2020-04-01", "2020-05-01"), RULE),
        (RULE, time("2020-04-01", "2020-05-01")),
    ],
    ids=["key", "shares", "cut dates", "time and random", "random and time"],
)  # fmt: skip
def test_rows_that_the_champion_was_fitted_on_by_another_rule_are_left_out(split: Split, champion_split: Split) -> None:
    rows = table()
    found = compare(rows, split, champion_split)
    fitted = set(rows["key"][is_part(assign_parts(rows, contract(), champion_split), "train", "validation")])
    test = set(rows["key"][is_part(assign_parts(rows, contract(), split), "test")])
    assert test & fitted, "the rules overlap"
    assert set(found.own["key"]) == test - fitted
    assert (found.test, found.fitted) == (len(test), len(test & fitted))
    assert f"the champion was fitted on {len(test & fitted):,}" in found.describe()


def test_a_later_test_period_has_no_row_of_the_champion() -> None:
    assert compare(split=time("2020-04-20", "2020-05-15"), champion_split=time("2020-04-01", "2020-05-01")).fitted == 0


def test_a_column_that_was_text_is_read_by_the_champions_contract_or_not_at_all() -> None:
    text = contract(level={"kind": "string"})
    found = compare(champion=text)
    assert found.other_kinds == ("level is string there and integer here",)
    assert found.champion["level"].isna().all(), "only rows in which it is missing can be read"
    assert found.unreadable + len(found.own) == found.test
    assert "its contract cannot read" in found.describe()
    rows = table().assign(level=pd.array([str(i % 5) for i in range(N)], dtype="str"))
    found = compare(rows, own=text)
    assert found.unreadable == 0
    assert found.champion["level"].dtype == "float64"
    assert (found.champion["level"] == found.own["level"].astype(float)).all()


@pytest.mark.parametrize(
    ("kind", "other", "values", "expected"),
    [
        ("integer", "number", [1, 2], [1.0, 2.0]),
        ("number", "integer", [1.0, 2.5], [1.0, None]),
        ("string", "number", ["0.5", "x"], [0.5, None]),
        ("string", "boolean", ["yes", "true"], [1.0, 1.0]),
        ("boolean", "number", [True, False], [None, None]),
        ("boolean", "string", [True, False], [None, None]),
        ("number", "string", [1.0, 2.0], [None, None]),
        ("number", "boolean", [1.0, 2.0], [1.0, None]),
        ("date", "datetime", ["2020-01-01", "2020-01-02"], ["2020-01-01", "2020-01-02"]),
        ("datetime", "date", ["2020-01-01T12:00", "2020-01-02"], [None, "2020-01-02"]),
    ],
)  # fmt: skip
def test_kinds_are_converted_only_where_nothing_is_lost(kind: Any, other: Any, values: Any, expected: Any) -> None:
    column, wanted = Column(name="c", kind=kind), Column(name="c", kind=other)
    own, champion = (Contract(title="T", columns=(each,), task="regression") for each in (column, wanted))
    cells: Any = pd.to_datetime(pd.Series(values), format="ISO8601").dt.as_unit("us") if "date" in kind else values
    read, readable, _ = read_by_contract(pd.DataFrame({"c": cells}), own, champion, [wanted])
    assert readable.tolist() == [value is not None for value in expected]
    kept = read["c"][readable]
    stamps = [pd.Timestamp(value) if isinstance(value, str) else value for value in expected if value is not None]
    assert kept.tolist() == stamps


@pytest.mark.parametrize("without", [(), ("key",)], ids=["id", "content"])
def test_batches_have_the_rows_of_the_whole_table(without: tuple[str, ...], tmp_path: Path) -> None:
    """Of equal rows without an id each has a part of its own, also if they are in different batches."""
    rows = pd.concat([table(), table().iloc[::3]]).sample(frac=1, random_state=2, ignore_index=True)
    own, champion = contract(without), contract(without, level={"nullable": False})
    rule = PartitionRule(split=Split(validation=0.15, test=0.2, seed=18))

    def batches(names: Sequence[str] | None) -> Iterator[pd.DataFrame]:
        for start in range(0, len(rows), 700):
            batch = rows.iloc[start : start + 700].reset_index(drop=True)
            yield batch if names is None else batch[list(names)]

    expected = find_comparable_rows(rows, own, RULE, champion, rule)
    found = ComparableRows.of_batches(list(comparable_rows(batches, own, RULE, champion, rule, tmp_path)))
    pd.testing.assert_frame_equal(found.own, expected.own)
    pd.testing.assert_frame_equal(found.champion, expected.champion)
    assert found.describe() == expected.describe()
    assert 0 < found.fitted < found.test


def test_rows_without_a_value_that_the_champion_needs_are_left_out() -> None:
    found = compare(champion=contract(level={"nullable": False}))
    assert found.champion["level"].dtype == "int64"
    assert found.unreadable == found.test - len(found.own) > 0


@pytest.mark.parametrize(
    ("champion", "rule", "message"),
    [
        (contract(y={"name": "z"}), PartitionRule(split=RULE), "it predicts z"),
        (contract(x={"name": "w"}), PartitionRule(split=RULE), "needs the column w, which the contract of this"),
        (contract(key={"name": "id"}), PartitionRule(split=RULE), "the column id, which the contract"),
        (contract(), None, "does not tell which rows it was fitted on: it is of a version of skline"),
        (contract(), PartitionRule(hash_version=0, split=RULE), "it is of hash version 0"),
    ],
)
def test_says_why_nothing_can_be_compared(champion: Contract, rule: PartitionRule | None, message: str) -> None:
    with pytest.raises(NotComparable, match=message):
        find_comparable_rows(table(), contract(), RULE, champion, rule)
