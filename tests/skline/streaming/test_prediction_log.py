"""The log of a stream: what the service would log, once for each message, and waiting instead of dropping."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from skline.batch.part import PartScorer
from skline.contract.request_validation import RowParser
from skline.errors import SklineError
from skline.ids import message_prediction_ids
from skline.logs.settings import LogSettings
from skline.settings.source_kafka import KafkaSettings
from skline.sources.kafka_messages import make_decoder
from skline.streaming.message_scorer import MessageScorer, ScoredMessages
from skline.streaming.prediction_log import StreamLog
from tests.fixtures import demo
from tests.fixtures.demo import Packaged

ROWS = 50
CONTRACT = demo.contract()


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """The inputs of flights as JSON, some with missing values."""
    table = demo.parts()["test"][CONTRACT.input_names].head(ROWS).copy()
    texts = [json.loads(text) for text in table.to_json(orient="records", lines=True, date_format="iso").splitlines()]
    return [
        row | {"flight_date": row["flight_date"][:10]} | ({"distance": None} if number % 7 == 0 else {})
        for number, row in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def scored(packaged: Packaged, rows: list[dict[str, Any]]) -> ScoredMessages:
    make = MessageScorer(PartScorer(packaged.folder, packaged.digest, []), make_decoder(KafkaSettings()))
    values: list[bytes | None] = [json.dumps(row).encode() for row in rows]
    values[3] = b"no row"
    return make(values)


@pytest.fixture(scope="module")
def ids() -> list[str]:
    return message_prediction_ids("rows", [0] * ROWS, range(ROWS), [1_700_000_000_000] * ROWS)


def log_settings(folder: Path, **options: Any) -> LogSettings:
    return LogSettings(database=str(folder / "log.db"), partitions=folder / "days", **options)


def logged(folder: Path) -> Iterator[dict[str, Any]]:
    with closing(sqlite3.connect(folder / "log.db")) as connection:
        connection.row_factory = sqlite3.Row
        for row in connection.execute("SELECT * FROM predictions ORDER BY prediction_id"):
            yield dict(row)


@pytest.mark.parametrize(
    "options", [{}, {"mode": "sync", "sync_ms": 60_000}, {"event_time_column": "flight_date"},
                {"mode": "sync", "sync_ms": 60_000, "batch_rows": 20, "queue_rows": 20}],
)  # fmt: skip
def test_each_prediction_is_logged_once_as_the_service_would(
    options: dict[str, Any], tmp_path: Path, packaged: Packaged, rows: list[dict[str, Any]], scored: ScoredMessages,
    ids: list[str],
) -> None:  # fmt: skip
    with StreamLog(log_settings(tmp_path, **options), "challenger") as log:
        log.add(scored.parts, ids)
        log.add(scored.parts, ids)  # processed again
    assert log.log.stats().dropped == 0
    parser = RowParser(CONTRACT)
    entries = {entry["prediction_id"]: entry for entry in logged(tmp_path)}
    assert entries.keys() == {each for position, each in enumerate(ids) if position != 3}
    for position, own in enumerate(ids):
        if position == 3:
            continue
        entry, content = entries[own], scored.content[position]
        assert content is not None
        expected = {name: value.isoformat() if hasattr(value, "isoformat") else value
                    for name, value in parser.parse_row(json.dumps(rows[position])).items()}  # fmt: skip
        assert json.loads(entry["inputs"]) == expected
        assert json.loads(entry["prediction"]) == content["prediction"]
        assert json.loads(entry["probabilities"]) == content["probabilities"]
        assert (entry["model_version"], entry["artifact_digest"]) == (packaged.version, packaged.digest)
        assert (entry["role"], entry["scoring_path"]) == ("challenger", "plan")
        assert (entry["event_time"] is None) == ("event_time_column" not in options)


def test_a_full_queue_is_waited_for(tmp_path: Path, scored: ScoredMessages, ids: list[str]) -> None:
    with StreamLog(log_settings(tmp_path, queue_rows=10, batch_rows=10, batch_ms=50)) as log:
        for repetition in range(5):
            log.add(scored.parts, [f"{repetition}{each[1:]}" for each in ids])
    assert log.log.stats().dropped == 0
    assert len(list(logged(tmp_path))) == 5 * (ROWS - 1)


def test_a_database_that_fails_holds_up_nothing_unless_rows_have_to_be_durable(
    tmp_path: Path, scored: ScoredMessages, ids: list[str]
) -> None:
    (tmp_path / "log.db").mkdir()
    options = {"queue_rows": ROWS, "batch_ms": 10, "drain_seconds": 0.1}
    with StreamLog(log_settings(tmp_path, **options)) as log:
        for _ in range(4):
            log.add(scored.parts, ids)
    assert log.log.stats().dropped >= 2 * (ROWS - 1)
    with (
        StreamLog(log_settings(tmp_path, mode="sync", sync_ms=100, **options)) as log,
        pytest.raises(SklineError, match="could not be logged within 100 ms.* no offset of the batch is committed"),
    ):
        log.add(scored.parts, ids)


def test_a_log_that_is_off_writes_no_file(tmp_path: Path, scored: ScoredMessages, ids: list[str]) -> None:
    with StreamLog(log_settings(tmp_path, mode="off")) as log:
        log.add(scored.parts, ids)
    assert list(tmp_path.iterdir()) == []
