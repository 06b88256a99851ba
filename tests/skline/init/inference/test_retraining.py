"""The chosen policy of retraining: the one that the replays support, wherever a table has times."""

import datetime as dt
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.contract.spec import Column, Contract
from skline.init.inference.retraining import LONGEST_REPLAYED, Retraining, choose_retraining, feedback_remarks
from skline.settings import Settings

NEWEST = dt.datetime(2026, 3, 1, 12)
POLICY = {"max_age": "28d", "cooldown": "7d"}


def split_of(validation: str, test: str) -> dict[str, Any]:
    return {"kind": "time", "validation_from": validation, "test_from": test}


def test_without_times_nothing_is_chosen() -> None:
    assert choose_retraining({"kind": "random"}, None, NEWEST) == Retraining()


@given(test=st.integers(1, 6_000), more=st.integers(1, 6_000), unit=st.sampled_from("dh"))
def test_a_window_has_room_for_training_beside_validation_and_test(test: int, more: int, unit: str) -> None:
    chosen = choose_retraining(split_of(f"-{test + more}{unit}", f"-{test}{unit}"), NEWEST, NEWEST)
    settings = Settings.model_validate(
        {"project": {"name": "p"}, "source": {"uri": "t.csv", **chosen.source}, "retrain": chosen.retrain}
    )
    evaluated = dt.timedelta(**{{"d": "days", "h": "hours"}[unit]: test + more})
    assert settings.source.window is not None
    assert settings.source.window >= max(3 * evaluated, dt.timedelta(days=84))
    assert settings.source.window <= max(3 * evaluated, dt.timedelta(days=84)) + dt.timedelta(days=1)
    assert chosen.retrain == POLICY
    assert bool(chosen.remarks) == (evaluated > LONGEST_REPLAYED)
    assert chosen.line is not None
    assert f"on the rows of the last {settings.source.window.days} days" in chosen.line
    assert not re.search(r"\d[dh]\b|docs/", chosen.line + " ".join(chosen.remarks)), "words, and no page of the engine"


@pytest.mark.parametrize("days", [28, 29])
def test_a_table_that_ended_long_ago_gets_no_window(days: int) -> None:
    chosen = choose_retraining(split_of("-28d", "-14d"), NEWEST, NEWEST + dt.timedelta(days=days))
    assert chosen.retrain == POLICY
    if days == 28:
        assert (chosen.source, chosen.remarks) == ({"window": "84d"}, ())
    else:
        assert chosen.source == {}
        assert chosen.remarks[0].startswith("before you run `skline retrain`")
        assert "a training may find no row for the validation part" in chosen.remarks[0]
        assert "Set source.window to 84d when the labels span 84 days, or for `skline replay`" in chosen.remarks[1]


@pytest.mark.parametrize("split", [{"kind": "group"}, split_of("2026-01-01", "2026-02-01")])
def test_without_cuts_that_move_there_is_no_window(split: dict[str, Any]) -> None:
    chosen = choose_retraining(split, NEWEST, NEWEST)
    assert (chosen.source, chosen.retrain, chosen.remarks) == ({}, POLICY, ())


def test_a_window_beyond_the_longest_duration_of_the_settings_is_not_set() -> None:
    chosen = choose_retraining(split_of("-13000d", "-6000d"), NEWEST, NEWEST)
    assert (chosen.source, chosen.retrain) == ({}, POLICY)


def contract_with(*columns: Column) -> Contract:
    target = Column(name="y", kind="boolean", role="target")
    return Contract(title="t", columns=(*columns, target), task="binary", classes=(False, True))


@pytest.mark.parametrize("kind", ["string", "integer", "number"])
def test_a_group_is_named_by_callers_and_an_id_needs_nothing(kind: Any) -> None:
    assert feedback_remarks(contract_with(Column(name="n", kind=kind, role="id"))) == []
    [remark] = feedback_remarks(contract_with(Column(name="who", kind=kind, role="group")))
    assert "callers of /predict name the 'who' of a row in the header X-Entity-ID" in remark


@pytest.mark.parametrize("role", ["id", "group"])
def test_a_person_has_to_derive_what_the_log_cannot_give(role: Any) -> None:
    [remark] = feedback_remarks(contract_with(Column(name="day", kind="date", role=role)))
    assert "requests do not contain 'day'. Write a function prepare_feedback" in remark
