"""Tests of the assignment to parts: it depends on the row and the rule alone, and its hash never changes."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.contract.spec import Column, Contract
from skline.partition import PARTS, assign_parts, identity_columns, row_digests
from skline.split_rule import Split

X, NAME, DAY = Column(name="x", kind="number"), Column(name="name", kind="string"), Column(name="day", kind="date")
TARGET = Column(name="y", kind="boolean", role="target")
ID, GROUP = Column(name="key", kind="string", role="id"), Column(name="owner", kind="string", role="group")
NEW_YEAR = pd.to_datetime(pd.Series(["2020-01-01"]))
RANDOM = Split(validation=0.15, test=0.2)


def contract(*more: Column) -> Contract:
    return Contract(title="T", columns=(X, NAME, DAY, TARGET, *more), task="binary", classes=(False, True))


def table(n: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "x": random.normal(size=n),
            "name": pd.array(random.choice(["ü", "b", "c"], n), dtype="str"),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(0, 999, n), unit="D"),
            "y": random.random(n) < 0.3,
            "key": [f"k{seed}-{i}" for i in range(n)],
            "owner": [f"g{i // 10}" for i in range(n)],
        }
    )


#: Of the first test; computed once by plain integer arithmetic, without the module.
GOLDEN_DIGESTS = ["e57d6c3bc67c0a47", "272c17ee2406a307", "e01f360e12491387", "236522c3b0ce1de0"]
GOLDEN_PARTS = "ttttvtltttttvtvtttttvtlltvtttttltttvttlt"
CASES: list[tuple[tuple[Column, ...], Split]] = [
    ((), RANDOM), ((ID,), RANDOM), ((GROUP,), RANDOM), ((GROUP, ID), Split(kind="group", validation=0.15, test=0.2)),
]  # fmt: skip


def test_digests_and_parts_are_those_of_every_earlier_version() -> None:
    rows = pd.DataFrame(
        {
            "x": [0.0, 1.5, -2.0, np.nan],
            "name": pd.array(["", "ü", None, "12"], dtype="str"),
            "day": pd.to_datetime(["1970-01-01", "2013-07-04", None, "9999-12-31"]).as_unit("us"),
            "y": [True, False, True, False],
        }
    )
    assert [f"{digest:016x}" for digest in row_digests(rows, contract().columns)] == GOLDEN_DIGESTS
    many = pd.DataFrame({"x": np.arange(40) / 4, "name": "a", "day": rows["day"].iloc[1], "y": False})
    assert "".join(PARTS[part][0] for part in assign_parts(many, contract(), Split(live=0.1))) == GOLDEN_PARTS


@pytest.mark.parametrize(("more", "rule"), CASES)
def test_a_row_keeps_its_part_in_a_reordered_longer_or_shorter_table(more: tuple[Column, ...], rule: Split) -> None:
    rows = table(3_000)
    part = pd.Series(assign_parts(rows, contract(*more), rule), index=rows["key"])
    changed = pd.concat([rows.iloc[500:], table(300, seed=1).assign(owner="new")]).sample(frac=1, random_state=3)
    other = pd.Series(assign_parts(changed, contract(*more), rule), index=changed["key"])
    kept = part.index[500:]
    assert (other[kept] == part[kept]).all()


@pytest.mark.parametrize(("more", "rule"), CASES)
def test_shares_are_those_of_the_settings_up_to_chance_and_the_seed_is_a_key(
    more: tuple[Column, ...], rule: Split
) -> None:
    rows = table(20_000)
    part = assign_parts(rows, contract(*more), rule)
    units = 2_000 if GROUP in more and (rule.kind == "group" or ID not in more) else 20_000
    shares = np.bincount(part, minlength=4) / len(part)
    for share, expected in zip(shares, (0.65, 0.15, 0.2, 0.0), strict=True):
        assert abs(share - expected) <= 4 * np.sqrt(expected * (1 - expected) / units)
    other = assign_parts(rows, contract(*more), rule.model_copy(update={"seed": 18}))
    expected_same = 0.65**2 + 0.15**2 + 0.2**2
    assert abs((part == other).mean() - expected_same) <= 4 * np.sqrt(expected_same / units)


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_equal_rows_are_interchangeable_and_divided_by_the_shares(seed: int) -> None:
    """A table of 24 distinct rows has the same rows in each part, in whatever order they come."""
    random = np.random.default_rng(seed)
    columns = (Column(name="a", kind="integer"), Column(name="b", kind="integer"), TARGET)
    few = Contract(title="T", columns=columns, task="binary", classes=(False, True))
    rows = pd.DataFrame({"a": random.integers(0, 6, 4_000), "b": random.integers(0, 2, 4_000)})
    rows["y"] = random.random(4_000) < 0.2 + 0.1 * rows["a"]
    shuffled = rows.sample(frac=1, random_state=seed)
    part, other = assign_parts(rows, few, RANDOM), assign_parts(shuffled, few, RANDOM)
    for index in range(3):
        assert _sorted(rows[part == index]).equals(_sorted(shuffled[other == index]))
    assert abs((part == 2).mean() - 0.2) < 0.03
    train_rate, test_rate = rows[part == 0].groupby("a")["y"].mean(), rows[part == 2].groupby("a")["y"].mean()
    assert (train_rate - test_rate).abs().max() < 0.25, "every cell is in every part, with its own rate"


def _sorted(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values(list(rows), ignore_index=True)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pd.Series([1, 2]), pd.Series([1.0, 2.0])),
        (pd.Series([True, False]), pd.Series([1.0, 0.0])),
        (pd.Series([0.0]), pd.Series([-0.0])),
        (pd.Series(["17", "-3", "0"]), pd.Series([17, -3, 0])),
        (pd.Series(["a", None], dtype="str"), pd.Series(["a", None], dtype="category")),
        (pd.Series(["a", None], dtype="str"), pd.Series(["a", None], dtype="object")),
        (NEW_YEAR.dt.as_unit("s"), NEW_YEAR.dt.as_unit("ns")),
    ],
)  # fmt: skip
def test_equal_values_have_equal_digests_in_every_storage(left: pd.Series, right: pd.Series) -> None:
    digests = [row_digests(pd.DataFrame({"x": values}), [X]) for values in (left, right)]
    assert (digests[0] == digests[1]).all()


@pytest.mark.parametrize("texts", [("007", "7"), ("7.0", "7"), ("+7", "7"), ("-0", "0"), ("", " "), ("a", "A")])
def test_different_texts_have_different_digests(texts: tuple[str, str]) -> None:
    first, second = row_digests(pd.DataFrame({"name": pd.array(texts, dtype="str")}), [NAME])
    assert first != second


def test_columns_count_by_their_names_and_missing_cells_do_not_count() -> None:
    rows = pd.DataFrame({"x": [1.0, 2.0], "z": [2.0, 1.0], "gap": [np.nan, np.nan]})
    x, z, gap = (Column(name=name, kind="number") for name in rows)
    assert len(set(row_digests(rows, [x, z]))) == 2, "(1, 2) is not (2, 1)"
    assert (row_digests(rows, [x, z]) == row_digests(rows, [gap, z, x])).all()


def test_groups_stay_whole_and_rows_without_an_id_or_group_go_by_their_content() -> None:
    rows = table(2_000)
    rows.loc[::2, "owner"] = None
    group = GROUP.model_copy(update={"nullable": True})
    rule = Split(kind="group", validation=0.15, test=0.2)
    part = assign_parts(rows, contract(group), rule)
    assert (
        pd.Series(part)[rows["owner"].notna().to_numpy()].groupby(rows["owner"].dropna().to_numpy()).nunique().max()
        == 1
    )
    assert 0.15 < (part[rows["owner"].isna().to_numpy()] == 2).mean() < 0.25


@pytest.mark.parametrize(
    ("more", "rule", "names"),
    [
        ((ID,), {}, ["key"]), ((GROUP, ID), {}, ["key"]), ((GROUP,), {}, ["owner"]),
        ((), {}, ["x", "name", "day", "y"]),
        ((GROUP, ID), {"kind": "group"}, ["owner"]),
        ((ID.model_copy(update={"nullable": True}),), {}, ["x", "name", "day", "y", "key"]),
    ],
)  # fmt: skip
def test_identity_is_id_else_group_else_content(more: Any, rule: Any, names: list[str]) -> None:
    assert [column.name for column in identity_columns(contract(*more), Split(**rule))] == names
