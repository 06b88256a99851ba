"""A small stream whose rule may change, and what trains on it."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from skline.contract.spec import Column, Contract
from skline.retraining.replay.simulation import Setup
from skline.retraining.replay.stream import Stream
from skline.retraining.replay.versions import Project, fit_version
from skline.settings import Settings

START = dt.datetime(2026, 3, 30, tzinfo=dt.UTC)
DAY, WEEK = dt.timedelta(days=1), dt.timedelta(days=7)
HISTORY_WEEKS, WEEKS, WEEK_ROWS = 8, 8, 400
CONTRACT = Contract(
    title="demo",
    columns=(
        Column(name="a", kind="number", feature_group="number"),
        Column(name="b", kind="number", feature_group="number"),
        Column(name="y", kind="boolean", role="target"),
        Column(name="time", kind="datetime", role="time"),
    ),
    task="binary",
    classes=(False, True),
)


def make_table(changes_in_week: float | None = None, seed: int = 0) -> pd.DataFrame:
    """Draw rows whose label depends on `a`, and from a week on on `b`."""
    random = np.random.default_rng(seed)
    weeks = random.uniform(-HISTORY_WEEKS, WEEKS, (HISTORY_WEEKS + WEEKS) * WEEK_ROWS)
    a, b = random.normal(size=(2, len(weeks)))
    is_new = weeks >= (np.inf if changes_in_week is None else changes_in_week)
    label = random.random(len(weeks)) < 1 / (1 + np.exp(-2 * np.where(is_new, b, a)))
    start = pd.Timestamp(START.replace(tzinfo=None))
    times = start + pd.to_timedelta((weeks * 7 * 86_400e6).astype(np.int64), unit="us")
    return pd.DataFrame({"a": a, "b": b, "y": label, "time": pd.Series(times).astype("datetime64[us]")})


def build(_: Contract) -> Pipeline:
    return Pipeline([("model", LogisticRegression())])


def make_settings(**sections: dict[str, object]) -> Settings:
    values: dict[str, object] = {
        "project": {"name": "demo"},
        "source": {"uri": "data/source/table.csv"},
        "split": {"kind": "time", "validation_from": "-14d", "test_from": "-7d"},
        "evaluate": {"resamples": 100, "importance_rows": 0, "leak_rows": 0},
        "gates": {"champion": {"margin": 0.05}, "linear_margin": 0.05},
        "monitor": {"performance": {"resamples": 100}},
    }
    return Settings.model_validate(values | sections)


def make_setup(changes_in_week: float | None = None, **sections: dict[str, object]) -> Setup:
    stream = Stream.of(make_table(changes_in_week), CONTRACT, START, START + WEEKS * WEEK, DAY)
    project = Project(make_settings(**sections), build)
    return Setup(project, stream, fit_version(project, stream, np.arange(stream.first), 1))


@pytest.fixture(scope="session")
def steady() -> Setup:
    return make_setup()


@pytest.fixture(scope="session")
def changed() -> Setup:
    """The rule of the label changes at the start of the third week."""
    return make_setup(2)
