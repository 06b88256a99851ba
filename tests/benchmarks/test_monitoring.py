"""The simulations of monitoring run, and tell a change from none."""

import pytest

from benchmarks.monitoring import judge, judge_errors


@pytest.mark.parametrize(("change", "raised"), [(None, False), ("unit × 1,000", True)])
def test_simulated_windows_are_raised_if_a_column_has_changed(change: str | None, raised: bool) -> None:
    verdicts = judge(0, "mixed", 300, change, clustered=False)
    assert verdicts
    assert {each.raised for each in verdicts} == {raised}


def test_simulated_streams_of_errors_are_judged() -> None:
    found, false_alarm = judge_errors(0)
    assert (found, false_alarm) == (True, False)
