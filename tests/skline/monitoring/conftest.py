"""A log with predictions of the demo's artifact, and a job that monitors it."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from skline.artifact import Artifact
from skline.ids import new_prediction_ids
from skline.logs.records import REVIEW_SAMPLE, to_us
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.monitoring.job import Job
from skline.settings.monitor import Monitor
from tests.fixtures import demo

END = dt.datetime(2026, 3, 29, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    packaged = demo.package(tmp_path_factory.mktemp("monitor") / "artifact")
    return Artifact.open(packaged.folder, packaged.digest)


@pytest.fixture
def log(tmp_path: Path) -> LogSettings:
    return LogSettings(database=str(tmp_path / "logs/log.db"), partitions=tmp_path / "logs/days")


@pytest.fixture
def fill(log: LogSettings, artifact: Artifact) -> Callable[..., None]:
    """Return a function that logs `rows` predictions and labels a day, in the days before a moment."""

    def write(
        until: dt.datetime, days: int, rows: int, change: Callable[[dict[str, Any]], dict[str, Any]] = dict, *,
        flip: float = 0.0, labels: float = 1.0, entities: int = 0, review: float = 0.0, seed: int = 0,
    ) -> None:  # fmt: skip
        random = np.random.default_rng(seed)
        table = demo.parts()["train"]
        inputs = orjson.loads(table[artifact.contract.input_names].to_json(orient="records", date_format="iso"))
        predictions, truths = [], []
        for day in range(days):
            start = until - (day + 1) * DAY
            for prediction_id in new_prediction_ids(rows):
                row = change(dict(inputs[int(random.integers(len(inputs)))]))
                score = float(random.beta(2, 4))
                truth = bool(random.random() < score) ^ bool(random.random() < flip)
                time = to_us(start) + int(random.integers(86_400_000_000))
                entity = f"e{random.integers(entities)}" if entities else None
                reviewed = REVIEW_SAMPLE if review and random.random() < review else 0
                predictions.append(
                    (
                        prediction_id, time, "demo", artifact.digest, "plan", orjson.dumps(row).decode(),
                        orjson.dumps(score > 0.5).decode(), orjson.dumps({"false": 1 - score, "true": score}).decode(),
                        900, "r", entity, None, reviewed, "champion", None, None, None, None,
                    )
                )  # fmt: skip
                if random.random() < labels:
                    truths.append(
                        (prediction_id, time + 3_600_000_000, prediction_id, None, None, orjson.dumps(truth).decode())
                    )
        store = open_store(log)
        for start in range(0, len(predictions), 5_000):
            store.write("predictions", predictions[start : start + 5_000])
        for start in range(0, len(truths), 5_000):
            store.write("labels", truths[start : start + 5_000])
        store.close()

    return write


@pytest.fixture
def job(log: LogSettings, artifact: Artifact) -> Job:
    return Job(settings=Monitor(), artifact=artifact, log=log, end=END, floors={})
