"""What `skline init` writes for a table with times can be replayed: its trainings take rows of the replayed period."""

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from skline.init.dry_run import imported_source
from skline.init.plan import InitOptions, make_plan
from skline.init.project import PIPELINE
from skline.paths import PARAMS
from skline.retraining.replay.policies import of_settings
from skline.retraining.replay.simulation import Setup, simulate
from skline.retraining.replay.stream import Stream
from skline.retraining.replay.versions import Project, fit_version
from skline.settings import Settings

FIRST, DAY, DAYS = pd.Timestamp("2026-01-01"), dt.timedelta(days=1), 100
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + DAYS * DAY


def orders(days: int) -> pd.DataFrame:
    """Return orders, 30 a day; larger ones are returned more often."""
    random = np.random.default_rng(17)
    n = days * 30
    size = random.normal(size=n).round(2)
    returned = random.random(n) < 1 / (1 + np.exp(-2 * size))
    at = FIRST + pd.to_timedelta(np.arange(n) * 48, unit="min")
    return pd.DataFrame({"size": size, "at": at.astype("datetime64[us]"), "returned": np.where(returned, "yes", "no")})


def test_the_project_of_a_table_with_times_is_trained_every_four_weeks_on_newer_rows(tmp_path: Path) -> None:
    path, table = tmp_path / "orders.csv", orders(DAYS + 70)
    table[table["at"] < FIRST + DAYS * DAY].to_csv(path, index=False)
    plan = make_plan(path, "data/source/orders.csv", InitOptions(str(path), "returned", time="at"), now=START)
    params = yaml.safe_load(plan.files[PARAMS])
    assert params["split"] == {"kind": "time", "validation_from": "-35d", "test_from": "-20d"}
    assert (params["source"]["window"], params["retrain"]) == ("105d", {"max_age": "28d", "cooldown": "7d"})
    params["evaluate"] |= {"resamples": 100}

    rows = table.assign(event_time=table["at"], returned=table["returned"] == "yes")
    stream = Stream.of(rows, plan.contract, START, START + 70 * DAY, DAY)
    with imported_source(plan.files[PIPELINE]) as module:
        project = Project(Settings.model_validate(params), module.build_pipeline)
        first = fit_version(project, stream, np.arange(stream.first), 1)
        run = simulate(Setup(project, stream, first), of_settings(project.settings))
    assert [each.time - START for each in run.trainings] == [28 * DAY, 56 * DAY]
    assert {each.outcome for each in run.trainings} == {"promoted"}
    assert run.log.versions[-1].fitted[stream.first :].any(), "rows of the replayed period are trained on"


def test_the_named_time_is_kept_if_another_column_is_its_copy(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    orders(DAYS).assign(hour=lambda rows: rows["at"])[["hour", "size", "at", "returned"]].to_csv(path, index=False)
    plan = make_plan(path, "data/source/orders.csv", InitOptions(str(path), "returned", time="at"), now=START)
    roles = {each.name: each.role for each in plan.guesses}
    assert (roles["at"], roles["hour"]) == ("input", "excluded")
