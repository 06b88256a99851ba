"""The outcome of a replay against a service is read from its journal and its log."""

import datetime as dt

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest

from skline.contract.spec import Column, Contract
from skline.retraining.decision import Decision, Reason
from skline.retraining.journal import Entry, Outcome, Training
from skline.retraining.replay.live import to_scores, trainings_of
from skline.retraining.replay.rows import PREFIX, ReplayedRows, request_id, row_number

START = dt.datetime(2013, 7, 1, tzinfo=dt.UTC)
CONTRACT = Contract(
    title="T",
    columns=(
        Column(name="x", kind="integer", nullable=True),
        Column(name="day", kind="date"),
        Column(name="y", kind="string", role="target"),
        Column(name="at", kind="datetime", role="time"),
    ),
    task="binary",
    classes=("no", "yes"),
)


def journal(*steps: tuple[Outcome, str | None, bool]) -> list[Entry]:
    """Return a journal: a decision to train, and trainings by outcome, version, and whether it is to be promoted."""
    decided = Decision(retrain=True, reasons=(Reason(kind="age", message="it is old"),))
    entries = [Entry(time=START, who="a", kind="decision", decision=decided)]
    for number, (outcome, version, promotes) in enumerate(steps):
        training = Training(
            outcome=outcome, labels_until=START, version=version, promotion="full" if promotes else None
        )  # fmt: skip
        time = START + dt.timedelta(hours=number)
        entries.append(Entry(time=time, who="a", kind="training", training=training))
    return entries


@pytest.mark.parametrize(
    ("steps", "outcomes"),
    [
        ((("registered", "m/2", True), ("promoted", "m/2", True)), ["promoted"]),
        ((("registered", "m/2", False),), ["undecided"]),
        ((("rejected", None, False), ("rejected", None, False)), ["rejected", "rejected"]),
        ((("promoted", "m/2", True), ("unchanged", "m/2", False)), ["promoted", "unchanged"]),
        ((("unchanged", "m/2", True), ("promoted", "m/2", True)), ["promoted"]),
        ((("failed", None, False), ("registered", "m/2", True)), ["failed", "registered"]),
        ((("registered", "m/2", True), ("canary", "m/2", True), ("rejected", "m/2", True)), ["aborted"]),
    ],
)
def test_a_version_that_is_promoted_or_ended_later_is_one_training(
    steps: tuple[tuple[Outcome, str | None, bool], ...], outcomes: list[str]
) -> None:
    found = trainings_of(journal(*steps), promotes=True)
    assert [each.outcome for each in found] == outcomes
    assert all(each.reason == "Train: it is old." for each in found)
    assert found[0].time == START


def test_without_promotions_a_registered_version_waits_for_a_person() -> None:
    [found] = trainings_of(journal(("registered", "m/2", False)), promotes=False)
    assert found.outcome == "registered"


def test_logged_predictions_become_scores_in_the_order_of_the_classes() -> None:
    probabilities = ['{"yes":0.25,"no":0.75}', '{"no":0.1,"yes":0.9}']
    scores = to_scores(pa.table({"prediction": ['"no"', '"yes"'], "probabilities": probabilities}), CONTRACT)
    assert scores.predictions.tolist() == ["no", "yes"]
    assert scores.probabilities is not None
    assert scores.probabilities.tolist() == [[0.75, 0.25], [0.1, 0.9]]


def test_rows_are_sent_as_json_with_the_inputs_alone_and_an_id_of_their_own() -> None:
    frame = pd.DataFrame({
        "x": [1.0, np.nan], "day": pd.to_datetime(["2013-07-01", "2013-07-02"]).as_unit("us"), "y": ["no", "yes"],
        "at": pd.to_datetime(["2013-07-01 01:00", "2013-07-02 00:00"]).as_unit("us"),
    })  # fmt: skip
    rows = ReplayedRows(frame, CONTRACT)
    assert [orjson.loads(rows.row(number).body) for number in range(2)] == [
        {"x": 1, "day": "2013-07-01"},
        {"x": None, "day": "2013-07-02"},
    ]
    assert [rows.label(number) for number in range(2)] == ["no", "yes"]
    assert [rows.row(number).time_us for number in range(2)] == [1372640400_000_000, 1372723200_000_000]
    assert [row_number(rows.row(number).request_id) for number in range(2)] == [0, 1]
    assert row_number("another") is None
    assert request_id(7) == f"{PREFIX}00000007"


def test_a_row_is_of_the_entity_of_its_group_or_one_of_its_own_in_a_canary() -> None:
    grouped = CONTRACT.model_copy(
        update={"columns": (*CONTRACT.columns, Column(name="who", kind="string", role="group", nullable=True))}
    )
    days = pd.date_range("2013-07-01", periods=4, freq="D").as_unit("us")
    frame = pd.DataFrame({"x": [1.0] * 4, "day": days, "y": ["no"] * 4, "at": days, "who": ["ä", "b", "ä", None]})
    with_group, without = (ReplayedRows(frame, each, each_is_entity=True) for each in (grouped, CONTRACT))
    entities = [with_group.row(each).entity for each in range(4)]
    assert entities[0] == entities[2]
    assert len(set(entities)) == 3
    assert all(each is not None and each.isascii() for each in entities)
    assert [without.row(each).entity for each in range(4)] == [request_id(each) for each in range(4)]
    assert [ReplayedRows(frame, grouped).row(each).entity for each in range(4)] == [*entities[:3], None]
    assert ReplayedRows(frame, CONTRACT).row(0).entity is None
