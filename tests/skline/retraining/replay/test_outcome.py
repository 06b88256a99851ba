"""Outcomes of a replay are counted, averaged, and stored without loss."""

import datetime as dt

import pytest
from pydantic import ValidationError

from skline.monitoring.estimates import Estimate
from skline.retraining.replay.outcome import Alarm, Period, PolicyOutcome, ReplayResult, Training

START = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
WEEK = dt.timedelta(days=7)


def period(number: int, value: float | None, labels: int = 100, half: float = 0.01) -> Period:
    metric = Estimate() if value is None else Estimate(value=value, low=value - half, high=value + half)
    return Period(
        start=START + number * WEEK,
        end=START + (number + 1) * WEEK,
        rows=labels,
        labels=labels,
        metric=metric,
        model="1",
    )


def outcome(name: str, *values: float | None) -> PolicyOutcome:
    return PolicyOutcome(name=name, description=name, periods=tuple(map(period, range(len(values)), values)))


def result(*policies: PolicyOutcome) -> ReplayResult:
    return ReplayResult(
        project="demo", start=START, end=START + 2 * WEEK, metric="log_loss", better="lower",
        label_delay=dt.timedelta(days=1), compared=policies,
    )  # fmt: skip


def test_trainings_and_alarms_are_counted_by_what_became_of_them() -> None:
    kinds = ("promoted", "rejected", "promoted", "undecided", "aborted", "failed")
    trainings = tuple(Training(time=START, reason="r", outcome=each) for each in kinds)
    alarms = tuple(Alarm(time=START, parts=("performance",), is_true=each) for each in (True, False, None, True))
    counted = outcome("p", 0.5).model_copy(update={"trainings": trainings, "alarms": alarms})
    assert (len(counted.promotions), len(counted.rejections)) == (2, 2)
    assert (counted.true_alarms, counted.false_alarms) == (2, 1)


def test_result_is_stored_and_read_without_loss() -> None:
    written = result(outcome("never", 0.5, None), outcome("weekly", 0.4, 0.5))
    assert ReplayResult.model_validate_json(written.model_dump_json()) == written
    assert written.replayed.name == "never"


def test_replayed_policy_comes_first() -> None:
    both = result(outcome("never", 0.5)).model_copy(update={"live": outcome("settings", 0.4)})
    assert [each.name for each in both.policies] == ["settings", "never"]
    assert both.replayed.name == "settings"


@pytest.mark.parametrize("names", [(), ("never", "never")])
def test_result_without_a_policy_or_with_two_of_one_name_is_rejected(names: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match=r"at least one policy|not unique"):
        result(*map(outcome, names))
