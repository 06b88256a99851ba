"""One member of a group: what it writes, commits and says; `tests/behaviour/test_stream.py` kills real ones."""

import json
import threading
from collections.abc import Iterator, Sequence

import pytest
from confluent_kafka import Consumer, TopicPartition

from skline.errors import SklineError
from skline.ids import message_prediction_ids
from skline.logs.settings import LogSettings
from skline.sources.kafka_client import Cluster
from skline.streaming.message_scorer import ScoredMessages
from skline.streaming.metrics import StreamMetrics
from skline.streaming.prediction_log import StreamLog
from skline.streaming.stream import Assignment, Stream, StreamSettings
from tests.fixtures.kafka import MockCluster, mock_cluster, produce
from tests.fixtures.server import free_port
from tests.fixtures.stream import read_all

ONCE = StreamSettings("rows", "predictions", "rejected", "group", batch_rows=4, once=True)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[MockCluster]:
    # Short, because the mock cluster does not notice a member that leaves; on a busy machine one may be lost, and
    # process some rows again.
    monkeypatch.setenv("SKLINE_KAFKA__SESSION_TIMEOUT_MS", "1500")
    monkeypatch.setenv("SKLINE_KAFKA__HEARTBEAT_INTERVAL_MS", "200")
    with mock_cluster() as started:
        for topic in ("rows", "predictions", "rejected"):
            started.create(topic, 2)
        yield started


def doubled(values: Sequence[bytes | None]) -> ScoredMessages:
    """Predictions of a model that doubles whole numbers."""
    content, reasons = [], {}
    for position, value in enumerate(values):
        is_number = value is not None and value.isdigit()
        content.append({"prediction": 2 * int(value)} if is_number and value is not None else None)
        if not is_number:
            reasons[position] = "no number"
    return ScoredMessages(content, reasons)


def member(cluster: Cluster, metrics: StreamMetrics | None = None) -> Stream:
    return Stream(cluster, ONCE, lambda: doubled, metrics or StreamMetrics(), StreamLog(LogSettings(mode="off")))


def stream(cluster: MockCluster, metrics: StreamMetrics | None = None) -> Stream:
    return member(Cluster(cluster.servers, timeout=10), metrics)


def committed(cluster: MockCluster) -> list[int]:
    consumer = Consumer({"bootstrap.servers": cluster.servers, "group.id": "group", "log_level": 0})
    offsets = [each.offset for each in consumer.committed([TopicPartition("rows", n) for n in (0, 1)], timeout=10)]
    consumer.close()
    return offsets


def test_predictions_have_their_ids_and_a_group_goes_on_where_it_ended(cluster: MockCluster) -> None:
    produce(cluster.servers, "rows", [b"1", b"x", b"3"], 0)
    produce(cluster.servers, "rows", [b"4", None], 1)
    metrics = StreamMetrics()
    counts = stream(cluster, metrics).run(threading.Event())
    assert counts.scored >= 3
    assert counts.rejected >= 2
    assert committed(cluster) == [3, 2]
    produce(cluster.servers, "rows", [b"6"], 1)
    assert stream(cluster).run(threading.Event()).scored >= 1
    predictions = {}
    for message in read_all(cluster.servers, "predictions"):
        prediction = json.loads(message.value())
        predictions[prediction["partition"], prediction["offset"]] = prediction["prediction"]
        assert message.key().decode() == prediction["prediction_id"]
    assert predictions == {(0, 0): 2, (0, 2): 6, (1, 0): 8, (1, 2): 12}
    [source] = [each for each in read_all(cluster.servers, "rows") if each.value() == b"3"]
    [expected] = message_prediction_ids("rows", [0], [2], [source.timestamp()[1]])
    assert expected in {message.key().decode() for message in read_all(cluster.servers, "predictions")}
    rejected = {message.value(): dict(message.headers()) for message in read_all(cluster.servers, "rejected")}
    assert rejected[b"x"] == {"skline.reason": b"no number", "skline.topic": b"rows", "skline.partition": b"0",
                              "skline.offset": b"1"}  # fmt: skip
    assert rejected[None]["skline.offset"] == b"1"
    assert metrics.registry.get_sample_value("skline_stream_rows_total", {"result": "rejected"}) == counts.rejected
    assert metrics.registry.get_sample_value("skline_stream_rebalances_total") in range(1, 9)


def test_a_prediction_that_is_not_acknowledged_commits_nothing(
    cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    produce(cluster.servers, "rows", [b"1", b"2"], 0)
    monkeypatch.setenv("SKLINE_KAFKA__MESSAGE_TIMEOUT_MS", "300")
    elsewhere = Cluster(f"127.0.0.1:{free_port()}")
    both = Cluster(cluster.servers, timeout=10)
    monkeypatch.setattr(both, "producer", elsewhere.producer)
    failing = member(both)
    with pytest.raises(SklineError, match="a prediction could not be written to predictions or rejected .*timed out"):
        failing.run(threading.Event())
    assert committed(cluster) == [-1001, -1001]
    monkeypatch.delenv("SKLINE_KAFKA__MESSAGE_TIMEOUT_MS")
    assert stream(cluster).run(threading.Event()).scored >= 2


def test_killed_between_prediction_and_commit_the_predictions_are_repeated_as_they_were(
    cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    produce(cluster.servers, "rows", [b"1", b"2"], 0)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Stream, "_commit", killed)
        stream(cluster).run(threading.Event())
    assert committed(cluster) == [-1001, -1001]
    assert stream(cluster).run(threading.Event()).scored >= 2
    predictions = [(message.key(), message.value()) for message in read_all(cluster.servers, "predictions")]
    assert len(predictions) >= 4
    assert len(set(predictions)) == 2


def test_lag_is_known_while_nothing_is_read() -> None:
    class Consumer:
        def get_watermark_offsets(self, _: TopicPartition, *, cached: bool) -> tuple[int, int]:
            assert cached
            return 0, 12

    metrics = StreamMetrics()
    stalled = member(Cluster("unused:1"), metrics)
    stalled._assigned.positions |= {0: 10, 1: 12}
    stalled._update_lag(Consumer())
    lags = [metrics.registry.get_sample_value("skline_stream_lag", {"partition": number}) for number in "01"]
    assert lags == [2, 0]


def test_missing_topics_and_brokers_are_one_line(cluster: MockCluster) -> None:
    cluster.delete("rejected")
    with pytest.raises(SklineError, match="has no topic 'rejected'; create it first"):
        stream(cluster).run(threading.Event())
    nowhere = member(Cluster(f"127.0.0.1:{free_port()}", timeout=1))
    with pytest.raises(SklineError, match="did not respond within 1 s"):
        nowhere.run(threading.Event())


def test_the_end_is_that_of_the_assignment() -> None:
    assert not Assignment().is_done
    assert Assignment(is_known=True).is_done, "a member without partitions has nothing to do"
    assert not Assignment({0: 3, 1: 1}, {0: 3, 1: 2}, is_known=True).is_done
    assert Assignment({0: 4, 1: 2}, {0: 3, 1: 2}, is_known=True).is_done
