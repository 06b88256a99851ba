"""What a replay is prepared with: its rows, its plan, and an environment without the settings of a real service."""

import datetime as dt
from pathlib import Path

import pandas as pd

from skline.clock import VARIABLE
from skline.retraining.replay.commands import replay_environment
from skline.retraining.replay.policy_file import OWN
from skline.retraining.replay.workspace import ReplayOptions, ReplayPlan, sort_rows

START = dt.datetime(2013, 7, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def test_rows_are_those_before_the_end_in_the_order_of_time() -> None:
    days = [3, 0, -1, 2, 2, 9]
    table = pd.DataFrame({"at": [pd.Timestamp("2013-07-01") + pd.Timedelta(days=day) for day in days], "x": range(6)})
    assert sort_rows(table, "at", START + 3 * DAY)["x"].tolist() == [2, 1, 3, 4]
    assert sort_rows(table, "at", None)["x"].tolist() == [2, 1, 3, 4, 0, 5]


def test_options_that_differ_from_those_of_a_replay_that_has_begun_are_named() -> None:
    plan = ReplayPlan(policies=(OWN,), start=START, end=START + DAY, label_delay=DAY, every=DAY, commit="0" * 40)
    assert ReplayOptions().differences(plan) == []
    other = OWN.model_copy(update={"retrain": {"max_age": "7d"}})
    assert ReplayOptions((other,)).differences(plan) == ["its policies, which plan.json shows, are others"]
    assert ReplayOptions((OWN,), START, None, DAY).differences(plan) == []
    assert ReplayOptions((OWN,), START + DAY, None, 2 * DAY).differences(plan) == [
        "start is 2013-07-01 00:00, not 2013-07-02 00:00",
        "label delay is 1 day, 0:00:00, not 2 days, 0:00:00",
    ]


def test_commands_inherit_no_setting_of_a_real_service() -> None:
    inherited = {
        "HOME": "/home/a", "PATH": "/bin", "SKLINE_LOG__DATABASE": "postgresql://db/log", "MLFLOW_TRACKING_URI": "http://m",
        "SKLINE_SECURITY__API_KEYS": "secret",
    }  # fmt: skip
    found = replay_environment(inherited, Path("/r/project"), Path("/r/clock"))
    assert {name for name in found if name.startswith(("SKLINE_", "MLFLOW_"))} == {VARIABLE, "MLFLOW_TRACKING_URI"}
    assert found[VARIABLE] == "/r/clock"
    assert found["MLFLOW_TRACKING_URI"] == "sqlite:////r/project/mlflow.db"
    assert found["HOME"] == "/home/a"
    assert found["PATH"].endswith(":/bin")
