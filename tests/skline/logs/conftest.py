"""Stores to write to: a SQLite file, and a real PostgreSQL server."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from skline.contract.spec import Column, Contract
from skline.logs import writer
from skline.logs.records import Prediction, new_prediction_id, now_us
from skline.logs.settings import LogSettings

ROW = {"carrier": "UA", "distance": 1400, "wind": 12.25, "customer": "c-17"}
CONTRACT = Contract(
    title="Flights",
    columns=(Column(name="carrier", kind="string"), Column(name="late", kind="boolean", role="target")),
    task="binary",
    classes=(False, True),
)


def prediction(**given: Any) -> Prediction:
    """A record; what the test is about is given."""
    standard = {
        "prediction_id": new_prediction_id(),
        "time": now_us(),
        "model_version": "flights@0123456789ab",
        "artifact_digest": "0" * 64,
        "path": "plan",
        "inputs": ROW,
        "prediction": False,
    }
    return Prediction(**standard | given)  # type: ignore[arg-type]


def until(true: Callable[[], object], seconds: float = 30) -> None:
    """Wait until something is so; fails if it never is."""
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it never came to be"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that was away is tried again soon."""
    monkeypatch.setattr(writer, "LONGEST_PAUSE", 0.1)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and thread.name == "prediction-log"]
    assert left == []


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> LogSettings:
    """Settings of an empty log in each of the stores."""
    database = str(tmp_path / "logs" / "predictions.db")
    if request.param == "postgres":
        database = request.getfixturevalue("server").database()
    return LogSettings(database=database, partitions=tmp_path / "logs" / "predictions", batch_ms=20, drain_seconds=5)


@pytest.fixture
def sqlite(tmp_path: Path) -> LogSettings:
    """Settings of an empty log in SQLite."""
    return LogSettings(
        database=str(tmp_path / "logs" / "predictions.db"),
        partitions=tmp_path / "logs" / "predictions",
        batch_ms=20,
        drain_seconds=5,
    )
