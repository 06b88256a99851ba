"""Databases to write to: a SQLite file, and a real PostgreSQL server."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from skline.clock import now_us
from skline.contract.spec import Column, Contract
from skline.ids import new_prediction_id
from skline.logs import writer
from skline.logs.records import Prediction
from skline.logs.settings import LogSettings

ROW = {"carrier": "UA", "distance": 1400, "wind": 12.25, "customer": "c-17"}
CONTRACT = Contract(
    title="Flights",
    columns=(Column(name="carrier", kind="string"), Column(name="late", kind="boolean", role="target")),
    task="binary",
    classes=(False, True),
)
LAYOUTS = Path(__file__).parent / "layouts"


def prediction(**fields: Any) -> Prediction:
    """Build a record with default values for the other fields."""
    defaults = {
        "prediction_id": new_prediction_id(),
        "time": now_us(),
        "model_version": "flights@0123456789ab",
        "artifact_digest": "0" * 64,
        "scoring_path": "plan",
        "inputs": ROW,
        "prediction": False,
    }
    return Prediction(**defaults | fields)  # type: ignore[arg-type]


def load_layout(settings: LogSettings, version: int) -> None:
    """Create the tables of an older schema version, with two predictions and their labels."""
    if settings.is_postgres:
        with psycopg.connect(settings.database, autocommit=True) as connection:
            connection.execute((LAYOUTS / f"version_{version}.postgres.sql").read_bytes())
    else:
        Path(settings.database).parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(settings.database)) as connection:
            connection.executescript((LAYOUTS / f"version_{version}.sqlite.sql").read_text())


@pytest.fixture(autouse=True)
def short_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit the pause before a failed batch is written again."""
    monkeypatch.setattr(writer, "MAX_RETRY_SECONDS", 0.1)


@pytest.fixture(autouse=True)
def no_writer_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and thread.name == "prediction-log"]
    assert left == []


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> LogSettings:
    """Settings of an empty log, in each kind of database."""
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
