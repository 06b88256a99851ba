"""Read a topic in a consumer group, score its rows in batches, and write the predictions to another topic.

Every message is processed at least once: its offset is committed after the broker has acknowledged its prediction. A
process that is killed leaves the messages since the last commit to the next one, which gives them the same ids. One
batch is in work at a time, and the client reads a bounded number of messages ahead, so that memory is bounded.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from skline.errors import SklineError
from skline.ids import message_prediction_ids
from skline.sources.kafka_client import DELETED, DENIED, UNKNOWN_TOPIC, Cluster
from skline.streaming.message_scorer import ScoreMessages, to_json
from skline.streaming.metrics import StreamMetrics
from skline.streaming.prediction_log import StreamLog

#: Seconds that a batch waits for its first message and to be full, and between two lines about progress.
POLL_SECONDS, LOG_SECONDS = 0.5, 30.0
#: Kilobytes that the client reads ahead; milliseconds until a write that is not acknowledged has failed.
READ_AHEAD_KB, DELIVERY_MS = 32_768, 120_000
#: Headers of a rejected message begin with it.
HEADER = "skline."
log = logging.getLogger("skline.stream")


@dataclass(frozen=True)
class StreamSettings:
    """Where a stream reads and writes.

    Attributes
    ----------
    source, to, rejected : str
        Topics of one cluster.
    group : str
        The consumer group; its members share the partitions.
    batch_rows : int
        Messages of a batch at most.
    once : bool
        Whether to end at the messages that there were when a partition was assigned.
    """

    source: str
    to: str
    rejected: str
    group: str
    batch_rows: int = 10_000
    once: bool = False


@dataclass
class StreamCounts:
    """Number of rows that were scored and rejected."""

    scored: int = 0
    rejected: int = 0


@dataclass
class Assignment:
    """The partitions that this process reads.

    Attributes
    ----------
    positions : dict of int to int
        Partition → the offset after the last processed message.
    ends : dict of int to int
        Partition → the offset after its last message when it was assigned.
    is_known : bool
        Whether the group has assigned partitions, perhaps none.
    """

    positions: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    is_known: bool = False

    @property
    def is_done(self) -> bool:
        """Whether the messages that there were at the assignment are processed."""
        return self.is_known and all(self.positions[number] >= end for number, end in self.ends.items())


@contextmanager
def paused_collector() -> Iterator[None]:
    """Pause the collector of reference cycles, which a batch has none of.

    It would go through all rows and the model several times in each batch, for half of the time that a batch takes.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Stream:
    """One member of the consumer group.

    Parameters
    ----------
    cluster : Cluster
    settings : StreamSettings
    current : callable
        Returns what scores messages; it is called before each batch, because another version may have been released.
    metrics : StreamMetrics
    prediction_log : StreamLog
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: StreamSettings,
        current: Callable[[], ScoreMessages],
        metrics: StreamMetrics,
        prediction_log: StreamLog,
    ) -> None:
        self._cluster, self._settings, self._current, self._metrics = cluster, settings, current, metrics
        self._log = prediction_log
        self._assigned = Assignment()
        self._failure: KafkaError | None = None
        self.counts = StreamCounts()

    def run(self, stop: threading.Event) -> StreamCounts:
        """Process messages until `stop` is set, or until the end with `once`; a batch that is begun is completed.

        Raises
        ------
        SklineError
            If the cluster cannot be reached, denies access, lacks a topic, or does not acknowledge a prediction.
        """
        consumer = self._cluster.consumer(
            group_id=self._settings.group,
            auto_offset_reset="error",
            enable_auto_offset_store=False,
            queued_max_messages_kbytes=READ_AHEAD_KB,
        )
        producer = self._cluster.producer(
            enable_idempotence=True,
            linger_ms=5,
            compression_type="lz4",
            message_timeout_ms=DELIVERY_MS,
            delivery_report_only_error=True,
        )
        with closing(consumer), self._cluster.translated_errors(consumer):
            self._require_topics(consumer)
            consumer.subscribe([self._settings.source], on_assign=self._assign, on_revoke=self._revoke,
                               on_lost=self._revoke)  # fmt: skip
            logged = time.monotonic()
            while not stop.is_set() and not (self._settings.once and self._assigned.is_done):
                messages = self._messages(consumer)
                if messages:
                    with paused_collector():
                        self._process(consumer, producer, messages)
                self._update_lag(consumer)
                if time.monotonic() - logged > LOG_SECONDS:
                    logged = time.monotonic()
                    log.info("%s rows scored, %s rejected", f"{self.counts.scored:,}", f"{self.counts.rejected:,}")
        return self.counts

    def _require_topics(self, consumer: Consumer) -> None:
        """Raise SklineError if a topic is missing: it would be created with one partition, or messages would vanish."""
        for topic in (self._settings.source, self._settings.to, self._settings.rejected):
            found = self._cluster.list_topics(consumer, topic)[topic]
            if found.error is not None:
                if found.error.code() in UNKNOWN_TOPIC:
                    raise SklineError(f"Kafka at {self._cluster.servers} has no topic {topic!r}; create it first")
                raise self._cluster.described(found.error)

    def _messages(self, consumer: Consumer) -> list[Any]:
        """Return the next messages of the assigned partitions."""
        messages: list[Any] = []
        for message in consumer.consume(self._settings.batch_rows, POLL_SECONDS):
            error, partition = message.error(), int(message.partition() or 0)
            if error is None:
                if partition in self._assigned.positions:
                    messages.append(message)
            elif error.code() in DELETED:
                self._skip_deleted(consumer, partition)
            elif error.code() in DENIED | UNKNOWN_TOPIC:
                raise self._cluster.described(error)
            else:
                log.warning("Kafka: %s", error.str())
        return messages

    def _process(self, consumer: Consumer, producer: Producer, messages: Sequence[Any]) -> None:
        """Score messages, log and write the predictions, wait until they are acknowledged, and commit."""
        started = time.monotonic()
        scored = self._current()([message.value() for message in messages])
        places = [(message.partition(), message.offset()) for message in messages]
        partitions, offsets = zip(*places, strict=True)
        times = [message.timestamp()[1] for message in messages]
        ids = message_prediction_ids(self._settings.source, partitions, offsets, times)
        self._log.add(scored.parts, ids)
        outgoing = []
        for position, (content, own, place) in enumerate(zip(scored.content, ids, places, strict=True)):
            if content is None:
                self._reject(producer, messages[position], scored.reasons[position])
                continue
            content["prediction_id"] = own
            content["partition"], content["offset"] = place
            outgoing.append({"key": own, "value": to_json(content)})
        self._write(producer, outgoing)
        n_rejected = len(scored.reasons)
        self.counts.scored += len(messages) - n_rejected
        self.counts.rejected += n_rejected
        self._metrics.rows.labels("scored").inc(len(messages) - n_rejected)
        self._metrics.rows.labels("rejected").inc(n_rejected)
        for partition, offset in places:
            self._assigned.positions[partition] = offset + 1
        self._commit(consumer, sorted(set(partitions)))
        self._metrics.seconds.observe(time.monotonic() - started)

    def _write(self, producer: Producer, outgoing: list[dict[str, Any]]) -> None:
        """Write predictions, and wait for these and for rejected messages; SklineError if one is not acknowledged."""
        queued = producer.produce_batch(self._settings.to, outgoing, on_delivery=self._on_delivery) if outgoing else 0
        unsent = producer.flush(DELIVERY_MS / 1000)
        if self._failure is not None or queued < len(outgoing) or unsent:
            reason = "no acknowledgement" if self._failure is None else self._failure.str()
            raise SklineError(
                f"a prediction could not be written to {self._settings.to} or {self._settings.rejected} ({reason}); no "
                "offset of its batch is committed: start again, and its messages are processed again"
            )

    def _reject(self, producer: Producer, message: Any, reason: str) -> None:
        """Write a message as it is, with the reason and its place in headers."""
        headers = {"reason": reason, "topic": self._settings.source, "partition": message.partition(),
                   "offset": message.offset()}  # fmt: skip
        producer.produce(
            self._settings.rejected,
            value=message.value(),
            key=message.key(),
            headers=[(f"{HEADER}{name}", str(value).encode()) for name, value in headers.items()],
            on_delivery=self._on_delivery,
        )

    def _on_delivery(self, error: KafkaError | None, _message: Any) -> None:
        self._failure = self._failure or error

    def _commit(self, consumer: Consumer, partitions: Sequence[int]) -> None:
        """Commit positions. A failure repeats predictions after the next assignment, and loses none: it is counted."""
        source, positions = self._settings.source, self._assigned.positions
        try:
            consumer.commit(
                offsets=[TopicPartition(source, number, positions[number]) for number in partitions],
                asynchronous=False,
            )
        except KafkaException as error:
            self._metrics.commit_failures.inc()
            log.warning("offsets are not committed, and messages may be processed again: %s", error.args[0].str())
        else:
            self._metrics.last_commit.set_to_current_time()

    def _update_lag(self, consumer: Consumer) -> None:
        """Set the lag of each partition, also while no message of it is read: the client knows where it ends."""
        for number, position in self._assigned.positions.items():
            _, end = consumer.get_watermark_offsets(TopicPartition(self._settings.source, number), cached=True)
            self._metrics.lag.labels(number).set(max(end - position, 0))

    def _assign(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Begin at the committed offsets; where there is none, or retention has deleted it, at the first message."""
        self._assigned = Assignment(is_known=True)
        places = []
        timeout = self._cluster.timeout
        for place in consumer.committed(list(partitions), timeout=timeout) if partitions else []:
            first, end = consumer.get_watermark_offsets(place, timeout=timeout)
            start = place.offset if place.offset >= 0 else first
            if start < first:
                self._count_lost(place.partition, start, first)
                start = first
            self._assigned.positions[place.partition] = start
            self._assigned.ends[place.partition] = end
            places.append(TopicPartition(self._settings.source, place.partition, start))
        consumer.assign(places)
        self._metrics.rebalances.inc()
        log.info("assigned: partitions %s of %s", sorted(self._assigned.positions), self._settings.source)

    def _revoke(self, consumer: Consumer, _partitions: Sequence[TopicPartition]) -> None:
        """Give up all partitions: every message that was read from them is processed and committed by now."""
        self._metrics.lag.clear()
        self._assigned = Assignment()
        consumer.unassign()

    def _skip_deleted(self, consumer: Consumer, partition: int) -> None:
        """Go on at the first message that is left."""
        place = TopicPartition(self._settings.source, partition)
        first, _ = consumer.get_watermark_offsets(place, timeout=self._cluster.timeout)
        self._count_lost(partition, self._assigned.positions[partition], first)
        self._assigned.positions[partition] = first
        consumer.seek(TopicPartition(self._settings.source, partition, first))

    def _count_lost(self, partition: int, start: int, first: int) -> None:
        self._metrics.lost.inc(first - start)
        log.error(
            "partition %s of %s begins at offset %s: retention deleted the messages from %s on before they were "
            "processed; keep messages longer, or run more members", partition, self._settings.source, first, start,
        )  # fmt: skip
