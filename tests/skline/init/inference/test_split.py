"""The chosen split: every part has every class, about its share of the rows, and the stage split agrees."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.init.inference.split import choose_split
from skline.split_rule import Split
from skline.stages.split import split

X, GROUP = Column(name="x", kind="number"), Column(name="owner", kind="string", role="group")


def contract(*more: Column, classes: tuple[str, ...] = ("a", "b")) -> Contract:
    target = Column(name="y", kind="string", role="target", choices=classes)
    return Contract(title="T", columns=(X, target, *more), task="binary", classes=classes)


def table(n: int, rare: int, owners: int = 10) -> pd.DataFrame:
    random = np.random.default_rng(n)
    return pd.DataFrame(
        {"x": random.normal(size=n), "y": np.where(np.arange(n) < rare, "b", "a"),
         "owner": [f"g{i}" for i in random.integers(0, owners, n)]}
    )  # fmt: skip


def test_the_first_seed_and_shares_are_kept_where_they_do() -> None:
    chosen, _, reason, doubt = choose_split(table(1_000, 300), contract(), by_time=False, by_group=False)
    assert chosen == {"kind": "random", "validation": 0.15, "test": 0.2}
    assert (reason, doubt) == ("each row's part follows from a hash of the row", None)


@pytest.mark.parametrize("n", range(100, 110))
def test_another_seed_is_chosen_if_a_part_would_lack_a_class(n: int) -> None:
    rows = table(n, rare=5)
    chosen, training, _, _ = choose_split(rows, contract(), by_time=False, by_group=False)
    parts = split(rows, contract(), Split.model_validate(chosen))
    assert all(set(parts[name]["y"]) == {"a", "b"} for name in ("train", "validation", "test"))
    assert all(chosen[name] / 2 <= len(parts[name]) / n <= chosen[name] * 2 for name in ("validation", "test"))
    assert training.equals(parts["train"])


@pytest.mark.parametrize("n", range(390, 400))
def test_a_rare_class_has_two_rows_in_each_part_so_that_its_metrics_have_intervals(n: int) -> None:
    rows = table(n, rare=13)
    chosen = choose_split(rows, contract(), by_time=False, by_group=False).settings
    parts = split(rows, contract(), Split.model_validate(chosen))
    assert all((parts[name]["y"] == "b").sum() >= 2 for name in ("train", "validation", "test"))


def test_few_groups_are_divided_by_about_the_shares_of_rows() -> None:
    rows = table(1_000, 500).sample(frac=1, random_state=0)
    chosen = choose_split(rows, contract(GROUP), by_time=False, by_group=True).settings
    parts = split(rows, contract(GROUP), Split.model_validate(chosen))
    assert chosen["kind"] == "group"
    assert all(chosen[name] / 2 <= len(parts[name]) / 1_000 <= chosen[name] * 2 for name in ("validation", "test"))


def test_too_few_rows_of_a_class_are_named() -> None:
    with pytest.raises(
        SklineError, match=r"has no row with y = b; change split.seed or the shares in params.yaml, .* or merge it"
    ):
        choose_split(table(100, rare=2), contract(), by_time=False, by_group=False)


def timed(times: pd.Series, n_classes: int = 2) -> tuple[pd.DataFrame, Contract]:
    rows = pd.DataFrame({
        "x": 0.0, "y": np.where(np.arange(len(times)) % n_classes, "b", "a"), "at": times.astype("datetime64[us]"),
    })  # fmt: skip
    return rows, contract(Column(name="at", kind="datetime", role="time"))


@pytest.mark.parametrize(
    ("span", "expected", "in_words"),
    [(pd.Timedelta(days=400), ("-140d", "-80d"), "80 days"), (pd.Timedelta(days=7), ("-59h", "-33h"), "33 hours"),
     (pd.Timedelta(days=5), ("-42h", "-24h"), "24 hours")],
)  # fmt: skip
def test_cuts_are_round_times_before_the_newest_row(
    span: pd.Timedelta, expected: tuple[str, str], in_words: str
) -> None:
    rows, declared = timed(pd.Series(pd.date_range("2026-01-01", periods=1_000, freq=span / 999)))
    chosen, _, reason, doubt = choose_split(rows, declared, by_time=True, by_group=False)
    assert chosen == {"kind": "time", "validation_from": expected[0], "test_from": expected[1]}
    assert (reason, doubt) == (f"the test part has the rows of the last {in_words}", None)


@given(n=st.integers(60, 400), days=st.integers(8, 2_000), power=st.sampled_from([0.3, 1.0, 3.0]))
@settings(deadline=None, max_examples=30)
def test_parts_by_time_have_about_their_shares_and_move_with_newer_rows(n: int, days: int, power: float) -> None:
    offsets = pd.to_timedelta(np.linspace(0, 1, n) ** power * days * 86_400, unit="s")
    rows, declared = timed(pd.Series(pd.Timestamp("2026-01-01") + offsets))
    chosen = choose_split(rows, declared, by_time=True, by_group=False).settings
    parts = split(rows, declared, Split.model_validate(chosen))
    assert 0.15 * 0.7 <= len(parts["validation"]) / n <= 0.25 * 1.3
    assert 0.2 * 0.7 <= len(parts["test"]) / n <= 0.25 * 1.3
    if chosen["test_from"].startswith("-"):
        later = rows.assign(at=rows["at"] + pd.Timedelta(days=days + 1))
        grown = split(pd.concat([rows, later]), declared, Split.model_validate(chosen))
        assert grown["train"]["at"].max() > rows["at"].max()
        assert len(grown["test"]) == len(parts["test"])


def test_cuts_of_a_table_of_minutes_are_moments_and_the_remark_says_so() -> None:
    rows, declared = timed(pd.Series(pd.date_range("2026-01-01 12:00", periods=100, freq="6s")))
    chosen, _, _, doubt = choose_split(rows, declared, by_time=True, by_group=False)
    assert chosen["test_from"] == "2026-01-01T12:08:00"
    assert doubt is not None
    assert "no training learns from them" in doubt


def test_a_newest_date_with_many_rows_is_the_test_part() -> None:
    days = pd.Series(pd.Timestamp("2026-01-01") + pd.to_timedelta([*range(0, 700, 7), *[700] * 40], unit="D"))
    rows, declared = timed(days)
    chosen = choose_split(rows, declared, by_time=True, by_group=False).settings
    assert chosen["test_from"] == "-1d"
    assert len(split(rows, declared, Split.model_validate(chosen))["test"]) == 40
