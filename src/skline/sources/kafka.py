"""A topic of Kafka as a source: the messages of a range of offsets in each partition.

The range is settled before the first message is read, and no consumer group is used. The same range gives the same
rows, in the order of partition and offset.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, TopicPartition

from skline.clock import to_utc
from skline.errors import SklineError
from skline.settings.source import Source
from skline.settings.source_kafka import KafkaAddress, KafkaSettings
from skline.sources.kafka_client import DELETED, END_OF_PARTITION, UNKNOWN_TOPIC, Cluster
from skline.sources.kafka_messages import Decoder, Row, UndecodableMessage, make_decoder
from skline.sources.object_cells import columns_of
from skline.sources.source import Snapshot, Stream, StreamedSource
from skline.sources.tables import Say, say_nothing
from skline.sources.unreadable import UNREADABLE
from skline.sources.untyped_rows import settled_stream

#: Messages of a batch, and the kilobytes that the client reads ahead.
BATCH_MESSAGES, READ_AHEAD_KB = 10_000, 16_384
#: Seconds that a call waits for messages, and milliseconds that a broker does, after which the next partition is read.
POLL_SECONDS, FETCH_WAIT_MS = 1.0, 50


class OffsetRange(NamedTuple):
    """The messages of a partition from `start` up to `end`, which is not read; `first` is the first that is left."""

    partition: int
    start: int
    end: int
    first: int


class KafkaSource(StreamedSource):
    """The messages at `kafka://HOST:PORT/TOPIC`."""

    no_rows = "source.uri: the topic has no message between source.kafka.start and source.kafka.end"

    def __init__(self, source: Source, say: Say = say_nothing) -> None:
        super().__init__(source, say)
        self.address = KafkaAddress.parse(source.uri)
        self.settings = source.kafka

    @property
    def incremental(self) -> bool:
        """Always: messages are appended."""
        return True

    def snapshot(self) -> Snapshot:
        """Return the offsets of the range that would be read now."""
        with self._connected() as (cluster, consumer):
            return self._snapshot(self._settle(cluster, consumer, None))

    @contextmanager
    def stream(self, since: Snapshot | None = None) -> Iterator[Stream]:
        """Settle the range, then read one partition after the other."""
        with self._connected() as (cluster, consumer):
            decode = make_decoder(self.settings, cluster.registry_user)
            ranges = self._settle(cluster, consumer, since)
            offsets = {str(each.partition): [each.start, each.end] for each in ranges}
            lineage: dict[str, object] = {"topic": self.address.topic, "offsets": offsets}
            messages = self._messages(cluster, consumer, ranges)
            with settled_stream(_checked(_columns(messages, decode)), lineage, self._snapshot(ranges)) as stream:
                yield stream

    @contextmanager
    def _connected(self) -> Iterator[tuple[Cluster, Consumer]]:
        """Yield a consumer outside of any group, which fails instead of skipping messages."""
        cluster = Cluster(self.address.servers, self.settings.options_file, self.settings.timeout_seconds)
        consumer = cluster.consumer(
            auto_offset_reset="error",
            enable_partition_eof=True,
            queued_max_messages_kbytes=READ_AHEAD_KB,
            fetch_wait_max_ms=FETCH_WAIT_MS,
        )
        with closing(consumer), cluster.translated_errors(consumer):
            yield cluster, consumer

    def _snapshot(self, ranges: Sequence[OffsetRange]) -> Snapshot:
        """Return the range; its start does not matter to what is appended, and retention moves it."""
        state: Snapshot = {"topic": self.address.topic, "end": {str(each.partition): each.end for each in ranges}}
        if self.source.mode != "append":
            state["start"] = {str(each.partition): each.start for each in ranges}
        return state

    def _settle(self, cluster: Cluster, consumer: Consumer, since: Snapshot | None) -> list[OffsetRange]:
        """Return the range of each partition; after an earlier snapshot, that of the new messages."""
        topic, timeout = self.address.topic, self.settings.timeout_seconds
        partitions = list_partitions(cluster, consumer, topic)
        bounds = {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=timeout)
            for number in partitions
        }
        starts = _resolve("start", self.settings, consumer, topic, bounds)
        ends = _resolve("end", self.settings, consumer, topic, bounds)
        if since is not None:
            if since.get("topic") != topic:
                raise SklineError(
                    f"source.uri names the topic {topic!r}, and the snapshots are of {since.get('topic')!r}; delete "
                    "them to read it"
                )
            starts |= {int(number): int(end) for number, end in since["end"].items()}
        return [checked_range(topic, number, starts[number], ends[number], bounds) for number in sorted(starts)]

    def _messages(self, cluster: Cluster, consumer: Consumer, ranges: Sequence[OffsetRange]) -> Iterator[list[Any]]:
        """Read all ranges in order, in batches."""
        for each in ranges:
            if each.start < each.end:
                consumer.assign([TopicPartition(self.address.topic, each.partition, each.start)])
                yield from self._range(cluster, consumer, each)

    def _range(self, cluster: Cluster, consumer: Consumer, requested: OffsetRange) -> Iterator[list[Any]]:
        """Read the range of the assigned partition; offsets may be missing, as in a compacted topic."""
        position, deadline = requested.start, time.monotonic() + self.settings.timeout_seconds
        while position < requested.end:
            arrived: list[Any] = consumer.consume(min(BATCH_MESSAGES, requested.end - position), POLL_SECONDS)
            messages = []
            for message in arrived:
                error = message.error()
                if error is None:
                    messages.append(message)
                    position = message.offset() + 1
                elif error.code() == END_OF_PARTITION:
                    position = max(position, message.offset())
                else:
                    raise self._read_error(cluster, consumer, requested, position, error)
            if arrived:
                deadline = time.monotonic() + self.settings.timeout_seconds
            elif time.monotonic() > deadline:
                raise SklineError(
                    f"Kafka at {self.address.servers} sent nothing for {self.settings.timeout_seconds:g} s: "
                    f"partition {requested.partition} of {self.address.topic} is read up to offset {position} of "
                    f"{requested.end}; run it again, or raise source.kafka.timeout_seconds"
                )
            yield [message for message in messages if message.offset() < requested.end]

    def _read_error(
        self, cluster: Cluster, consumer: Consumer, requested: OffsetRange, position: int, error: KafkaError
    ) -> SklineError:
        """Return the error of a partition; that of deleted messages with the offsets."""
        if error.code() not in DELETED:
            return cluster.described(error)
        place = TopicPartition(self.address.topic, requested.partition)
        first, _ = consumer.get_watermark_offsets(place, timeout=self.settings.timeout_seconds)
        return _deleted(self.address.topic, requested.partition, position, first)


def list_partitions(cluster: Cluster, consumer: Any, topic: str) -> list[int]:
    """Return the numbers of a topic's partitions; SklineError if there is no such topic."""
    found = cluster.list_topics(consumer, topic)[topic]
    if found.error is None:
        return sorted(found.partitions)
    if found.error.code() not in UNKNOWN_TOPIC:
        raise cluster.described(found.error)
    others = sorted(name for name in cluster.list_topics(consumer) if not name.startswith("__"))
    listed = f"it has {', '.join(others[:20])}" if others else "it has none"
    raise SklineError(f"Kafka at {cluster.servers} has no topic {topic!r}; {listed}")


def checked_range(
    topic: str, partition: int, start: int, end: int, bounds: Mapping[int, tuple[int, int]]
) -> OffsetRange:
    """Return a range of offsets; SklineError if the partition has not all of its messages.

    Parameters
    ----------
    topic : str
    partition, start, end : int
    bounds : mapping of int to (int, int)
        Partition → the first offset that is left, and the one after the last.
    """
    if partition not in bounds:
        raise SklineError(f"the topic {topic} has no partition {partition}; it has {', '.join(map(str, bounds))}")
    first, after = bounds[partition]
    if max(start, end) > after:
        raise SklineError(
            f"partition {partition} of {topic} ends at offset {after}, and offset {max(start, end)} is requested: "
            "correct source.kafka, or, if the topic was created anew, delete the snapshots"
        )
    if start < min(first, end):
        raise _deleted(topic, partition, start, first)
    return OffsetRange(partition, start, max(start, end), first)


def _deleted(topic: str, partition: int, requested: int, first: int) -> SklineError:
    return SklineError(
        f"partition {partition} of {topic} begins at offset {first}, and offset {requested} is requested: the messages "
        "between are deleted by its retention; set source.kafka.start to what is left, or read the topic more often"
    )


def _resolve(
    name: str, settings: KafkaSettings, consumer: Consumer, topic: str, bounds: Mapping[int, tuple[int, int]]
) -> dict[int, int]:
    """Return the offset of each partition that a setting, `start` or `end`, stands for."""
    value: Any = getattr(settings, name)
    if value == "earliest":
        return {number: first for number, (first, _) in bounds.items()}
    if value == "latest":
        return {number: after for number, (_, after) in bounds.items()}
    if isinstance(value, dict):
        if missing := sorted(set(bounds) - set(value)):
            raise SklineError(
                f"source.kafka.{name} gives no offset of partition {missing[0]} of {topic}; add {missing[0]}: 0 to "
                "read none of it, or another offset"
            )
        return dict(value)
    milliseconds = round(to_utc(value).timestamp() * 1000)
    places = [TopicPartition(topic, number, milliseconds) for number in bounds]
    found = consumer.offsets_for_times(places, timeout=settings.timeout_seconds)
    return {each.partition: each.offset if each.offset >= 0 else bounds[each.partition][1] for each in found}


def _columns(batches: Iterator[list[Any]], decode: Decoder) -> Iterator[dict[str, list[Any]]]:
    """Decode messages; one that is no row gives a row without values, and its reason."""
    for messages in batches:
        if not messages:
            continue
        rows: list[Row] = []
        reasons: list[str | None] = [None] * len(messages)
        for position, message in enumerate(messages):
            try:
                rows.append(decode(message.value()))
            except UndecodableMessage as error:
                rows.append({})
                reasons[position] = f"partition {message.partition()}, offset {message.offset()}: {error}"
        yield columns_of(rows) | ({UNREADABLE: reasons} if any(reasons) else {})


def _checked(batches: Iterator[dict[str, list[Any]]]) -> Iterator[dict[str, list[Any]]]:
    """Pass batches on; SklineError after the last one if no message is a row."""
    first_reason, is_readable = None, False
    for columns in batches:
        is_readable |= set(columns) != {UNREADABLE}
        first_reason = first_reason or next(filter(None, columns.get(UNREADABLE, ())), None)
        yield columns
    if first_reason is not None and not is_readable:
        raise SklineError(f"no message of the topic can be read, such as {first_reason}; check source.kafka.format")
