"""`skline stream` under kills: every row is processed at least once, repeated predictions are the same."""

import json
import signal
import sqlite3
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from skline.batch.part import PartScorer
from skline.sources.kafka_messages import decode_json
from skline.streaming.message_scorer import MessageScorer
from tests.fixtures import demo
from tests.fixtures.demo import Packaged
from tests.fixtures.kafka import MockCluster, mock_cluster, produce
from tests.fixtures.server import free_port
from tests.fixtures.stream import read_all, streaming, wait_for_messages

pytestmark = pytest.mark.slow
PARTITIONS, ROWS = 4, 20_000


@pytest.fixture
def cluster() -> Iterator[MockCluster]:
    with mock_cluster() as started:
        for topic in ("rows", "predictions", "rejected"):
            started.create(topic, PARTITIONS)
        yield started


def rows(count: int) -> list[bytes]:
    """The inputs of flights, again and again, each with a number."""
    table = demo.parts()["test"][demo.contract().input_names]
    texts = [json.loads(text) for text in table.to_json(orient="records", lines=True, date_format="iso").splitlines()]
    for text in texts:
        for column in demo.contract().inputs:
            if column.kind == "date":
                text[column.name] = text[column.name][:10]
    return [json.dumps(texts[number % len(texts)] | {"number": number}).encode() for number in range(count)]


def test_killed_twice_every_row_is_processed_under_one_id_and_logged(
    cluster: MockCluster, packaged: Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKLINE_LOG__MODE", "sync")
    monkeypatch.setenv("SKLINE_LOG__SYNC_MS", "60000")
    values: list[bytes | None] = [*rows(ROWS)]
    for position in range(0, ROWS, 1000):
        values[position] = b"no row"
    for partition in range(PARTITIONS):
        produce(cluster.servers, "rows", values[partition::PARTITIONS], partition)
    log, options = tmp_path / "log", ("--keep", "number", "--batch-rows", "400")
    for processed in (ROWS // 4, ROWS // 2):
        with streaming(cluster.servers, packaged, log, *options) as process:
            wait_for_messages(cluster.servers, "predictions", processed)
            process.kill()
            assert process.wait() == -signal.SIGKILL
    with streaming(cluster.servers, packaged, log, *options, "--once") as process:
        assert process.wait(120) == 0, log.read_text()
    predictions: dict[str, dict[str, Any]] = {}
    for message in read_all(cluster.servers, "predictions"):
        prediction = json.loads(message.value())
        assert message.key().decode() == prediction["prediction_id"]
        assert predictions.setdefault(prediction["prediction_id"], prediction) == prediction
    assert sorted(prediction["number"] for prediction in predictions.values()) == [n for n in range(ROWS) if n % 1000]
    places = {(prediction["partition"], prediction["offset"]) for prediction in predictions.values()}
    assert len(places) == len(predictions)
    scorer = PartScorer(packaged.folder, packaged.digest, [])
    expected = MessageScorer(scorer, decode_json, ["number"])(values).content
    for prediction in predictions.values():
        own = {"prediction_id", "partition", "offset"}
        assert {name: value for name, value in prediction.items() if name not in own} == expected[prediction["number"]]
    with closing(sqlite3.connect(tmp_path / "predictions.db")) as connection:
        logged = [prediction_id for (prediction_id,) in connection.execute("SELECT prediction_id FROM predictions")]
    assert sorted(logged) == sorted(predictions)
    rejected = {
        (dict(message.headers())["skline.partition"], dict(message.headers())["skline.offset"]): message
        for message in read_all(cluster.servers, "rejected")
    }
    assert len(rejected) == ROWS // 1000
    assert {message.value() for message in rejected.values()} == {b"no row"}
    assert all(dict(message.headers())["skline.reason"].startswith(b"it is not valid JSON")
               for message in rejected.values())  # fmt: skip


def test_sigterm_completes_the_batch_and_a_second_member_takes_over(
    cluster: MockCluster, packaged: Packaged, tmp_path: Path
) -> None:
    values, port = rows(4_000), free_port()

    def produce_rows(start: int, end: int) -> None:
        for partition in range(PARTITIONS):
            produce(cluster.servers, "rows", values[start:end][partition::PARTITIONS], partition)

    produce_rows(0, 2_000)
    options = ("--keep", "number", "--batch-rows", "200")
    with streaming(cluster.servers, packaged, tmp_path / "1", *options, "--metrics-port", str(port)) as first:
        wait_for_messages(cluster.servers, "predictions", 1_000)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
            metrics = response.read().decode()
        assert 'skline_stream_rows_total{result="scored"}' in metrics
        assert f'skline_stream_model_info{{version="{packaged.version}"}} 1.0' in metrics
        with streaming(cluster.servers, packaged, tmp_path / "2", *options) as second:
            first.send_signal(signal.SIGTERM)
            assert first.wait(30) == 0, (tmp_path / "1").read_text()
            produce_rows(2_000, 4_000)
            wait_for_messages(cluster.servers, "predictions", 4_000)
            second.send_signal(signal.SIGTERM)
            assert second.wait(30) == 0, (tmp_path / "2").read_text()
    numbers = [json.loads(message.value())["number"] for message in read_all(cluster.servers, "predictions")]
    assert sorted(set(numbers)) == list(range(4_000))
    assert "rows scored into predictions" in (tmp_path / "1").read_text()


def test_deleted_messages_are_said_and_the_stream_goes_on(
    cluster: MockCluster, packaged: Packaged, tmp_path: Path
) -> None:
    produce(cluster.servers, "rows", rows(100))
    with streaming(cluster.servers, packaged, tmp_path / "log", "--once") as process:
        assert process.wait(60) == 0
    produce(cluster.servers, "rows", rows(100))
    cluster.delete_messages("rows", 0, 150)
    with streaming(cluster.servers, packaged, tmp_path / "log", "--once") as process:
        assert process.wait(60) == 0
    text = (tmp_path / "log").read_text()
    assert "partition 0 of rows begins at offset 150: retention deleted the messages from 100 on" in text
    assert len(read_all(cluster.servers, "predictions")) == 150
