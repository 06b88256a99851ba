"""A simulated policy trains when its settings say so, on rows whose labels have arrived, and predicts as they came."""

import dataclasses
import datetime as dt
from typing import Any

import numpy as np
import pytest

from skline.errors import SklineError
from skline.retraining.matured import labels_complete_until
from skline.retraining.replay.comparison import compare_policies, period_bounds, to_result
from skline.retraining.replay.outcome import ReplayResult
from skline.retraining.replay.policies import Policy, never, of_settings, scheduled
from skline.retraining.replay.simulation import Setup, simulate
from skline.retraining.replay.stream import Stream
from skline.retraining.replay.versions import Project, assess_version, fit_version
from tests.skline.retraining.replay.conftest import CONTRACT, DAY, START, WEEK, WEEKS, build, make_settings, make_table

SETTINGS = make_settings(retrain={"min_labels": 300}, source={"uri": "data/source/table.csv", "window": "28d"})
FAST = Policy("fast", "Trains on an alarm of performance.", SETTINGS)


def test_without_a_change_the_policy_of_the_settings_never_trains(steady: Setup) -> None:
    run = simulate(steady, of_settings(steady.project.settings))
    assert run.trainings == []
    assert {window.state for window in run.windows.values()} <= {"ok", "warning", "insufficient_data"}


def test_after_a_sudden_change_a_version_of_the_new_rule_is_promoted(changed: Setup) -> None:
    run = simulate(changed, FAST)
    promoted = [each for each in run.trainings if each.outcome == "promoted"]
    assert promoted
    assert START + 4 * WEEK <= run.trainings[0].time <= START + 5 * WEEK
    last = changed.stream.between(START + (WEEKS - 1) * WEEK, changed.stream.end)
    assert run.log.version_of(last).number > 1


def test_trainings_go_on_until_a_version_makes_up_for_the_change(changed: Setup) -> None:
    one, more = (
        simulate(changed, Policy("p", "", make_settings(retrain={"min_labels": 300, "recovery": recovery})))
        for recovery in (None, "56d")
    )
    assert one.trainings[-1].outcome == "promoted"
    assert more.trainings[: len(one.trainings)] == one.trainings
    added = more.trainings[len(one.trainings) :]
    assert added
    assert all("worse on their test part" in each.reason for each in added)


def test_every_row_is_predicted_once_by_the_version_in_service_at_its_time(changed: Setup) -> None:
    run = simulate(changed, FAST)
    stream, log = changed.stream, run.log
    scores = log.scores(stream.live)
    assert scores.probabilities is not None
    assert np.isfinite(scores.probabilities).all()
    change = next(each.time for each in run.trainings if each.outcome == "promoted") + changed.training_time
    for rows, version in [
        (stream.between(change - WEEK, change), log.versions[0]),
        (stream.between(change, change + DAY), log.versions[1]),
    ]:
        expected = version.score(stream.rows.iloc[rows][CONTRACT.input_names]).probabilities
        np.testing.assert_array_equal(log.scores(rows).probabilities, expected)


def test_never_keeps_the_first_model_and_a_schedule_trains_at_its_interval(steady: Setup) -> None:
    assert simulate(steady, never(SETTINGS)).trainings == []
    times = [each.time for each in simulate(steady, scheduled(SETTINGS, "two weeks", 2 * WEEK)).trainings]
    assert times == [START + 2 * number * WEEK for number in range(1, WEEKS // 2)]


def test_trainings_use_rows_only_whose_labels_have_arrived(changed: Setup) -> None:
    stream, now = changed.stream, START + 3 * WEEK
    chosen = stream.training_rows(DAY, now, None)
    newest = stream.times[chosen].max()
    limit = labels_complete_until(now) - DAY
    assert newest <= limit.timestamp() * 1e6
    assert set(range(stream.first)) <= set(chosen.tolist())
    recent = stream.training_rows(DAY, now, 2 * WEEK)
    assert stream.times[recent].min() >= newest - 2 * WEEK / dt.timedelta(microseconds=1)


def test_champion_is_compared_on_rows_that_it_was_not_fitted_on(changed: Setup) -> None:
    stream, project = changed.stream, changed.project
    version = fit_version(project, stream, stream.training_rows(DAY, START + 6 * WEEK, 3 * WEEK), 2)
    verdict = assess_version(project, stream, version, changed.first)
    assert verdict.improved
    assert not (version.fitted & changed.first.fitted)[stream.first :].any()
    same = assess_version(project, stream, changed.first, changed.first)
    assert "is the champion" in next(gate.reason for gate in same.gates if gate.gate == "champion")


def test_equal_trainings_have_equal_digests(changed: Setup) -> None:
    chosen = changed.stream.training_rows(DAY, START + 3 * WEEK, None)
    first, again = (fit_version(changed.project, changed.stream, chosen, number) for number in (2, 3))
    other = fit_version(changed.project, changed.stream, chosen[100:], 2)
    assert first.digest == again.digest != other.digest


def test_recalibration_keeps_the_fit_and_changes_the_tuning(steady: Setup) -> None:
    chosen = steady.stream.training_rows(DAY, START + 6 * WEEK, None)
    project = Project(make_settings(retrain={"action": "recalibrate"}, train={"calibrate": "sigmoid"}), build)
    version = fit_version(project, steady.stream, chosen, 2, steady.first)
    rows = steady.stream.rows.iloc[-200:][CONTRACT.input_names]
    before, after = (each.score(rows).probabilities for each in (steady.first, version))
    assert before is not None
    assert after is not None
    assert version.digest != steady.first.digest
    assert (version.fitted | ~steady.first.fitted).all()
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(np.argsort(before[:, 1], kind="stable"), np.argsort(after[:, 1], kind="stable"))


def test_recent_rows_weigh_more_if_the_settings_say_so(changed: Setup) -> None:
    chosen = changed.stream.training_rows(DAY, START + 7 * WEEK, None)
    weighted = Project(make_settings(train={"weights": {"half_life": "7d"}}), build)
    of_b = [
        abs(fit_version(project, changed.stream, chosen, 2).pipeline[-1].coef_[0][1])
        for project in (changed.project, weighted)
    ]
    assert of_b[1] > 2 * of_b[0], "the label depends on b since the change"


def test_policies_are_compared_on_the_same_rows(changed: Setup) -> None:
    compared = compare_policies(changed, (FAST, never(SETTINGS)), "log_loss")
    result = to_result(changed, "log_loss", compared)
    assert ReplayResult.model_validate_json(result.model_dump_json()) == result
    fast, kept, hindsight = compared
    assert [each.start for each in fast.periods] == [start for start, _ in period_bounds(changed)]
    assert fast.rows == kept.rows == hindsight.rows == len(changed.stream.rows) - changed.stream.first
    assert kept.gain.high is not None
    assert kept.gain.high < 0, "without a training the policy is worse after the change"
    assert hindsight.mean.value is not None
    assert kept.mean.value is not None
    assert hindsight.mean.value < kept.mean.value
    assert any(each.is_true for each in kept.alarms)


def test_the_same_replay_gives_the_same_result(changed: Setup) -> None:
    first, again = (
        [
            each.model_copy(update={"processor_seconds": 0.0})
            for each in compare_policies(changed, (FAST,), "log_loss", with_hindsight=False)
        ]
        for _ in range(2)
    )
    assert first == again


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": START - 100 * WEEK, "end": START}, "needs rows before and in this period"),
        ({"contract": CONTRACT.model_copy(update={"columns": CONTRACT.columns[:-1]})}, "role='time'"),
    ],
)
def test_stream_without_times_or_history_is_rejected(change: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {"contract": CONTRACT, "start": START, "end": START + WEEK, "label_delay": DAY}
    with pytest.raises(SklineError, match=message):
        Stream.of(make_table(), **(values | change))


def test_training_that_takes_longer_than_a_period_is_rejected(steady: Setup) -> None:
    with pytest.raises(SklineError, match="let a training take less time"):
        simulate(dataclasses.replace(steady, training_time=WEEK), never(SETTINGS))
