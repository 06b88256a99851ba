"""What monitoring says about real months: the demo, trained on January to July 2013, and its flights until December.

    uv run --group bench python -m benchmarks.monitoring_flights    # two minutes; prints a table for docs/monitoring.md

The pipeline runs in a copy of the project. Each later flight is logged as a prediction at its departure, with its label
a day later; cancelled flights never get one. Then each week is monitored as of its end, one after the other.
"""

import datetime as dt
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import orjson
import pandas as pd
import yaml

import skline
from benchmarks.pipeline import fresh_copy, timed
from skline.artifact import Artifact
from skline.contract.frames import to_json_rows
from skline.loading import Model
from skline.logs.entity import EntityHasher
from skline.logs.records import Prediction, PredictionEncoder, StoredRow, to_us
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.monitoring.checks import Part
from skline.monitoring.job import Job
from skline.monitoring.result import WindowResult
from skline.monitoring.run import run
from skline.settings import Settings

SPLIT = {"kind": "time", "validation_from": "2013-06-01", "test_from": "2013-07-01", "live_from": "2013-08-01"}
LIVE_FROM = dt.datetime(2013, 8, 1, tzinfo=dt.UTC)
LABEL_DELAY = dt.timedelta(days=1) - dt.timedelta(seconds=1)
WEEK, WEEKS = dt.timedelta(days=7), 22
CHUNK_ROWS = 5_000
METRICS = ("roc_auc", "brier")
PARTS: tuple[Part, ...] = ("quality", "drift", "performance", "concept", "bias")
#: The demo has a floor of the Brier score too, for months with fewer late flights: the model does not pass it in July.
FLOORS = {"roc_auc": 0.62}


def train(folder: Path) -> Path:
    """Train the demo on January to July in a copy of the project; return the folder of the candidate."""
    fresh_copy(folder)
    params = folder / "params.yaml"
    settings = yaml.safe_load(params.read_text(encoding="utf-8"))
    params.write_text(yaml.safe_dump(settings | {"split": SPLIT}), encoding="utf-8")
    timed([sys.executable, "-m", "skline.cli", "sync"], folder)
    timed([sys.executable, "-m", "dvc", "repro", "package"], folder)
    return folder / "models/candidate"


def later_flights(folder: Path) -> pd.DataFrame:
    """Return the flights from August on, those without a label too, in the order of their departure."""
    parts = [
        pd.read_parquet(folder / path) for path in ("data/split/live.parquet", "data/validated/unlabelled.parquet")
    ]
    flights = pd.concat(parts, ignore_index=True)
    later = flights[flights["departed_at"] >= pd.Timestamp(LIVE_FROM).tz_localize(None)]
    return later.sort_values("departed_at", kind="stable", ignore_index=True)


def log_flights(flights: pd.DataFrame, model: Model, settings: LogSettings) -> None:
    """Write predictions and labels as the service would have."""
    encoder = PredictionEncoder(settings, EntityHasher(settings))
    with closing(open_store(settings)) as store:
        for start in range(0, len(flights), CHUNK_ROWS):
            predictions, labels = encode(flights[start : start + CHUNK_ROWS], model, encoder)
            store.write("predictions", predictions)
            store.write("labels", labels)


def encode(flights: pd.DataFrame, model: Model, encoder: PredictionEncoder) -> tuple[list[StoredRow], list[StoredRow]]:
    """Predict for some flights; return the rows of the log and the labels."""
    inputs = flights[model.contract.input_names]
    names = model.contract.class_names or []
    probabilities = model.predict_proba(inputs)
    answers = model.predict(inputs)["prediction"].tolist()
    times = [to_us(moment.to_pydatetime()) for moment in flights["departed_at"]]
    ids = [
        f"{number:032x}" for number in flights.index
    ]  # the order within an hour, and with it the result, is the same
    records = [
        Prediction(
            prediction_id=name, time=time, model_version=model.version, artifact_digest=model.artifact.digest,
            scoring_path="plan", inputs=row, prediction=answer,
            probabilities=dict(zip(names, chances.tolist(), strict=True)), latency_us=500,
        )
        for name, time, row, answer, chances in zip(
            ids, times, to_json_rows(model.contract.inputs, inputs), answers, probabilities, strict=True
        )
    ]  # fmt: skip
    delay = LABEL_DELAY // dt.timedelta(microseconds=1)
    labels: list[StoredRow] = [
        (name, time + delay, name, None, None, orjson.dumps(bool(late)).decode())
        for name, time, late in zip(ids, times, flights["late"], strict=True)
        if pd.notna(late)
    ]
    return encoder.encode_many(records), labels


def monitor_weeks(folder: Path, artifact: Artifact, log: LogSettings) -> Iterator[WindowResult]:
    """Monitor each week as of its end."""
    settings = Settings.load(folder / "params.yaml")
    for week in range(WEEKS):
        end = LIVE_FROM + (week + 1) * WEEK
        job = Job(settings=settings.monitor, artifact=artifact, log=log, end=end, floors=FLOORS)
        yield run(job, folder / "reports/monitor", end)


def describe(result: WindowResult, flights: pd.DataFrame) -> list[str]:
    """Return the row of the table about a week; the data tell the shares of late and cancelled flights."""
    start, end = (pd.Timestamp(each).tz_localize(None) for each in (result.window.start, result.window.end))
    week = flights[(flights["departed_at"] >= start) & (flights["departed_at"] < end)]
    measured = {each.name: each.estimate for each in result.performance.metrics} if result.performance else {}
    columns = [each for each in result.drift.columns if each.tested] if result.drift else []
    largest = max(columns, key=lambda each: each.effect.value or 0.0)
    bias = result.arms[0].bias.value if result.arms else None
    return [
        f"{start:%-d %b}", f"{result.window.rows:,}", f"{week['late'].astype(float).mean():.0%}",
        f"{week['late'].isna().mean():.0%}", "" if bias is None else f"{bias:+.2f}",
        *(f"{measured[name].value or 0.0:.2f}" if name in measured else "" for name in METRICS),
        f"{largest.column} {largest.effect.value or 0.0:.2f}",
        *(str(result.states.get(part, "")) for part in PARTS), result.state,
    ]  # fmt: skip


def main() -> None:
    """Train, log and monitor; print the table and the reference's figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        candidate = train(folder)
        digest = (folder / "models/candidate.sha256").read_text(encoding="utf-8").split()[0]
        model = skline.load(candidate, digest)
        flights = later_flights(folder)
        log = LogSettings(database=str(folder / "logs/log.db"), partitions=folder / "logs/days")
        log_flights(flights, model, log)
        names = ("week from", "flights", "late", "cancelled", "bias", *METRICS, "largest distance", *PARTS, "state")
        print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}")
        for result in monitor_weeks(folder, model.artifact, log):
            print(f"| {' | '.join(describe(result, flights))} |", flush=True)


if __name__ == "__main__":
    main()
