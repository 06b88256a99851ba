"""Streams of labelled rows in which the rule of the label changes at a known moment, or does not."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skline.contract.spec import Column, Contract
from skline.retraining.replay.stream import Stream

Floats = npt.NDArray[np.float64]
START = dt.datetime(2026, 3, 30, tzinfo=dt.UTC)
WEEK, LABEL_DELAY = dt.timedelta(days=7), dt.timedelta(days=1)
WEEK_ROWS = 500
HISTORY_WEEKS, WEEKS = 10, 20
#: Week of the replay at whose start a sudden change happens, or a gradual one begins, and how long the latter takes.
CHANGE_WEEK, GRADUAL_WEEKS = 6, 6
#: Weeks after which a seasonal rule returns.
SEASON_WEEKS = 10
#: Coefficients of the inputs before and after a change, and the constant.
BEFORE = np.array([1.4, -1.0, 0.7, 0.0])
AFTER = np.array([0.2, -1.0, 0.7, 1.4])
CONSTANT = -1.0
CONTRACT = Contract(
    title="stream",
    columns=(
        *(Column(name=f"x{i}", kind="number", feature_group="number") for i in range(len(BEFORE))),
        Column(name="y", kind="boolean", role="target"),
        Column(name="time", kind="datetime", role="time"),
    ),
    task="binary",
    classes=(False, True),
)

#: Kind of change → share of the new rule by the weeks since the start of the replay, float64 of shape (n,).
CHANGES: dict[str, Callable[[Floats], Floats]] = {
    "none": np.zeros_like,
    "sudden": lambda weeks: (weeks >= CHANGE_WEEK).astype(np.float64),
    "gradual": lambda weeks: np.clip((weeks - CHANGE_WEEK) / GRADUAL_WEEKS, 0, 1),
    "seasonal": lambda weeks: (1 - np.cos(2 * np.pi * weeks / SEASON_WEEKS)) / 2,
}


def make_stream(change: str, seed: int) -> Stream:
    """Draw a stream: rows at random times, normal inputs, and labels by the logistic rule of their time."""
    random = np.random.default_rng(seed)
    weeks = np.sort(random.uniform(-HISTORY_WEEKS, WEEKS, (HISTORY_WEEKS + WEEKS) * WEEK_ROWS))
    inputs = random.normal(size=(len(weeks), len(BEFORE)))
    share = CHANGES[change](weeks)[:, None]
    rule = (1 - share) * BEFORE + share * AFTER
    logits = (inputs * rule).sum(axis=1) + CONSTANT
    labels = random.random(len(weeks)) < 1 / (1 + np.exp(-logits))
    start = pd.Timestamp(START.replace(tzinfo=None))
    times = start + pd.to_timedelta([week * WEEK for week in weeks.tolist()])
    table = pd.DataFrame({f"x{i}": inputs[:, i] for i in range(inputs.shape[1])})
    table = table.assign(y=labels, time=pd.Series(times).astype("datetime64[us]"))
    return Stream.of(table, CONTRACT, START, START + WEEKS * WEEK, LABEL_DELAY)


def build_logistic(_: Contract) -> Pipeline:
    """Return an unfitted logistic regression on scaled inputs."""
    model: Any = LogisticRegression()
    return Pipeline([("scale", StandardScaler()), ("model", model)])
