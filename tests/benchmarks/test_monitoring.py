"""The simulations of monitoring run, and tell a change from none."""

import numpy as np
import pytest

from benchmarks.monitoring import judge, judge_errors, judge_labels, judge_reference
from benchmarks.simulations import references
from skline.evaluation.bootstrap import metric_value
from skline.monitoring.loss import ComparedRows


@pytest.mark.parametrize(("change", "raised"), [(None, False), ("unit × 1,000", True)])
def test_simulated_windows_are_raised_if_a_column_has_changed(change: str | None, raised: bool) -> None:
    verdicts = judge(0, "mixed", 300, change, clustered=False)
    assert verdicts
    assert {each.raised for each in verdicts} == {raised}


def test_simulated_streams_of_errors_are_judged() -> None:
    found, false_alarm = judge_errors(0)
    assert (found, false_alarm) == (True, False)


@pytest.mark.parametrize("name", references.CASES)
def test_windows_are_worse_than_the_test_part_if_the_true_loss_is_large(name: str) -> None:
    case, loss = references.CASES[name], 0.2
    share = references.share_of_loss(case, loss, seed=1)
    now, worse = (
        metric_value(case.draw(np.random.default_rng(2), 100_000, each), case.metric) for each in (0.0, share)
    )
    assert case.direction * (worse - now) == pytest.approx(loss, abs=0.03)
    tests = [judge_reference(number, name, rows=1_000) for number in range(2)]
    for each, raised in ((0.0, False), (share, True)):
        values = [judge_labels(number, name, 1_000, 0, each) for number in range(2)]
        verdicts = references.judge_streams(case, tests, values, ComparedRows(1_000, 1_000))
        assert len(verdicts) == 2 * references.WITH_HISTORY
        assert {(verdict.raised, verdict.alarm) for verdict in verdicts} == {(raised, raised)}
