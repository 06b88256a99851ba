"""Every valid label matures once, in the period in which it arrives or its prediction reaches the label horizon."""

import datetime as dt
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.errors import SklineError
from skline.logs.partitions import LABEL_SCHEMA, PREDICTION_SCHEMA, to_table
from skline.logs.read import values
from skline.logs.settings import LogSettings
from skline.retraining.matured import SETTLING, count_maturing, labels_complete_until, read_matured, select_matured
from tests.skline.retraining.conftest import DAY, NOW, Write, label, prediction

HORIZON = 2 * DAY
HOUR = dt.timedelta(hours=1)


def names(log: LogSettings, since: dt.datetime | None, until: dt.datetime) -> list[str]:
    found: list[str] = read_matured(log, HORIZON, since, until).rows["prediction_id"].to_pylist()
    return found


def test_row_matures_at_the_horizon_or_with_its_label_and_again_with_a_correction(
    log: LogSettings, write: Write
) -> None:
    write(
        [
            prediction("early", NOW - 5 * DAY),
            prediction("late", NOW - 5 * DAY + HOUR),
            prediction("none", NOW - 4 * DAY),
        ],
        [
            label("early", NOW - 4 * DAY, False),
            label("late", NOW - DAY),
            label("early", NOW - DAY + HOUR, True, number=1),
        ],
    )  # fmt: skip
    assert names(log, None, NOW - 3 * DAY - HOUR) == []
    assert names(log, None, NOW - 3 * DAY) == ["early"]
    assert names(log, NOW - 3 * DAY, NOW - DAY) == ["late"]
    corrected = read_matured(log, HORIZON, NOW - DAY, NOW)
    assert corrected.rows["prediction_id"].to_pylist() == ["early"]
    assert values(corrected.rows["label"]) == [True]
    assert values(read_matured(log, HORIZON, None, NOW - 3 * DAY).rows["label"]) == [False]


def test_shadow_scores_and_compared_predictions_are_left_out(log: LogSettings, write: Write) -> None:
    rows = [
        prediction("user", NOW - 9 * DAY),
        prediction("shadow", NOW - 9 * DAY, role="shadow"),
        prediction("compared", NOW - 9 * DAY, request_id="skline-compare-1"),
        prediction("no request id", NOW - 9 * DAY, request_id=None),
    ]
    write(rows, [label(str(row[0]), NOW - 8 * DAY) for row in rows])
    assert set(names(log, None, NOW)) == {"user", "no request id"}


def test_predictions_are_those_since_the_oldest_row_that_reached_the_horizon(log: LogSettings, write: Write) -> None:
    write([prediction(str(days), NOW - days * DAY) for days in range(1, 6)], [label("4", NOW - DAY)])
    matured = read_matured(log, HORIZON, NOW - 2 * DAY, NOW)
    assert matured.rows["prediction_id"].to_pylist() == ["4"]
    assert matured.predictions["prediction_id"].to_pylist() == ["4", "3", "2"]
    assert read_matured(log, HORIZON, NOW - DAY, NOW).predictions.num_rows == 0


def test_labels_of_young_predictions_are_counted_until_they_mature(log: LogSettings, write: Write) -> None:
    rows = [prediction(str(days), NOW - days * DAY) for days in range(4)]
    rows.append(prediction("shadow", NOW - DAY, role="shadow"))
    write(rows, [label(str(row[0]), NOW - DAY / 2) for row in rows[1:]])
    assert count_maturing(log, HORIZON, NOW) == 1, "2 and 3 have matured, 0 has no label, a shadow is not learnt from"
    assert count_maturing(log, HORIZON, NOW - DAY) == 0, "no label had arrived"


def test_labels_of_the_last_minute_are_left_for_later() -> None:
    assert labels_complete_until(NOW + dt.timedelta(microseconds=7)) == NOW - SETTLING


def test_without_a_log_there_is_an_error_and_no_file(log: LogSettings) -> None:
    with pytest.raises(SklineError, match="there is no prediction log"):
        read_matured(log, HORIZON, None, NOW)
    assert not Path(log.database).exists()


class Event(NamedTuple):
    name: int
    hours: int
    value: bool


events = st.lists(st.builds(Event, st.integers(0, 5), st.integers(0, 200), st.booleans()), max_size=15)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 100), min_size=6, max_size=6), events, st.lists(st.integers(0, 260), max_size=4))
def test_periods_that_follow_each_other_hold_every_valid_label_once(
    hours: list[int], arrivals: list[Event], cuts: list[int]
) -> None:
    start = NOW - 300 * HOUR
    made = {str(index): start + hour * HOUR for index, hour in enumerate(hours)}
    labels = [
        label(str(each.name), made[str(each.name)] + each.hours * HOUR, each.value, number)
        for number, each in enumerate(sorted(arrivals, key=lambda each: made[str(each.name)] + each.hours * HOUR))
    ]
    log = to_table(PREDICTION_SCHEMA, [prediction(name, time) for name, time in made.items()]).sort_by("time")
    arrived_labels = to_table(LABEL_SCHEMA, labels).sort_by("time")
    ends = [*sorted({start + cut * HOUR for cut in cuts}), NOW + 100 * HOUR]
    latest: dict[str, tuple[bool, dt.datetime]] = {}
    since = None
    for until in ends:
        rows = select_matured(log, arrived_labels, HORIZON, since, until).rows
        for name, value, arrived in labelled(rows):
            assert (value, arrived) != latest.get(name), "the same label twice"
            latest[name] = (value, arrived)
        since = until
    whole = select_matured(log, arrived_labels, HORIZON, None, ends[-1]).rows
    assert latest == {name: (value, arrived) for name, value, arrived in labelled(whole)}
    assert latest.keys() == {row[2] for row in labels}


def labelled(rows: pa.Table) -> list[tuple[str, bool, dt.datetime]]:
    columns = rows["prediction_id"].to_pylist(), values(rows["label"]), rows["labelled_at"].to_pylist()
    return list(zip(*columns, strict=True))
