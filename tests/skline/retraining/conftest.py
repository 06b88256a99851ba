"""A log whose predictions and labels have the times that a test gives them."""

import datetime as dt
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

from skline.logs.records import to_us
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture
def log(tmp_path: Path) -> LogSettings:
    return LogSettings(database=str(tmp_path / "logs/predictions.db"), partitions=tmp_path / "logs/predictions")


def prediction(name: str, time: dt.datetime, **fields: Any) -> tuple[Any, ...]:
    """Return a row of the log; `inputs` may be JSON text or a dict."""
    inputs = fields.get("inputs", {})
    text = inputs if isinstance(inputs, str) else orjson.dumps(inputs).decode()
    return (
        name, to_us(time), "demo", "0" * 64, "plan", text, "true", '{"false":0.4,"true":0.6}', 900,
        fields.get("request_id", "r"), fields.get("entity"), fields.get("event_time"), fields.get("review", 0),
        fields.get("role", "champion"), None, None, None, None,
    )  # fmt: skip


def label(name: str, time: dt.datetime, value: object = True, number: int = 0) -> tuple[Any, ...]:
    return (f"{name}-{number}-{time}", to_us(time), name, None, None, orjson.dumps(value).decode())


Write = Callable[[Iterable[tuple[Any, ...]], Iterable[tuple[Any, ...]]], None]


@pytest.fixture
def write(log: LogSettings) -> Write:
    def write(predictions: Iterable[tuple[Any, ...]], labels: Iterable[tuple[Any, ...]]) -> None:
        store = open_store(log)
        store.write("predictions", list(predictions))
        store.write("labels", list(labels))
        store.close()

    return write
