"""Tests of the stage split: each row is in one part, no id or group is in two, and no part lacks a class."""

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.contract.derive import derive
from skline.contract.table import Table, column
from skline.errors import SklineError
from skline.partition import PARTS
from skline.split_rule import Split
from skline.stages.split import describe_parts, split


class Inputs(Table):
    """One input."""

    x: int = column("x", example=1)


class Labelled(Inputs):
    """With every role."""

    y: bool = column("target", role="target")
    key: str = column("id", role="id")
    at: dt.datetime = column("time", role="time")


class Grouped(Labelled):
    """And a group."""

    owner: str = column("group", role="group")


CONTRACT, GROUPED = derive(Inputs, Labelled, {}), derive(Inputs, Grouped, {})


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
