"""Topics as a source: ranges of offsets, what is new, retention, unreadable messages, brokers that do not respond."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.errors import SklineError
from skline.settings.project import read_source_section
from skline.settings.source import Source
from skline.settings.source_kafka import KafkaAddress
from skline.sources.appended import AppendedSource, add_snapshot
from skline.sources.check import check_table, describe
from skline.sources.kafka import checked_range
from skline.sources.kafka_client import read_options
from skline.sources.kafka_messages import UndecodableMessage, decode_json
from skline.sources.kinds import local_table, table_source
from skline.sources.unreadable import UNREADABLE, readable_rows
from tests.fixtures.kafka import MockCluster, mock_cluster, produce
from tests.fixtures.server import free_port


@pytest.fixture(scope="module")
def cluster() -> Iterator[MockCluster]:
    with mock_cluster() as started:
        yield started


def messages(numbers: range) -> list[bytes | None]:
    return [json.dumps({"id": number, "city": f"c{number % 3}"}).encode() for number in numbers]


def section(cluster: MockCluster, topic: str, **settings: Any) -> Source:
    return read_source_section({"uri": cluster.uri(topic)} | settings)


def read(source: Source, columns: list[str] | None = None) -> dict[str, list[Any]]:
    with table_source(source).open(columns) as opened:
        return dict(pa.Table.from_batches(opened.batches, opened.schema).to_pydict())


def test_rows_are_in_the_order_of_partition_and_offset_and_the_snapshot_is_the_range(cluster: MockCluster) -> None:
    cluster.create("ordered", 3)
    for partition in (2, 0):
        produce(cluster.servers, "ordered", messages(range(partition * 10, partition * 10 + 4)), partition)
    source = section(cluster, "ordered")
    assert read(source)["id"] == read(source)["id"] == [0, 1, 2, 3, 20, 21, 22, 23]
    with table_source(source).open() as opened:
        assert opened.columns == ["id", "city"]
        assert opened.lineage["offsets"] == {"0": [0, 4], "1": [0, 0], "2": [0, 4]}
        assert opened.snapshot == table_source(source).snapshot()
    assert opened.snapshot == {
        "topic": "ordered", "start": {"0": 0, "1": 0, "2": 0}, "end": {"0": 4, "1": 0, "2": 4}
    }  # fmt: skip


def test_a_fixed_range_gives_the_same_rows_after_more_messages(cluster: MockCluster) -> None:
    cluster.create("fixed", 2)
    produce(cluster.servers, "fixed", messages(range(5)), 0)
    source = section(cluster, "fixed", kafka={"start": {0: 1, 1: 0}, "end": {0: 4, 1: 0}})
    before, snapshot = read(source), table_source(source).snapshot()
    produce(cluster.servers, "fixed", messages(range(5, 9)), 0)
    produce(cluster.servers, "fixed", messages(range(9, 12)), 1)
    assert read(source) == before == {"id": [1, 2, 3], "city": ["c1", "c2", "c0"]}
    assert table_source(source).snapshot() == snapshot


def test_a_time_after_the_last_message_is_the_end(cluster: MockCluster) -> None:
    cluster.create("times")
    produce(cluster.servers, "times", messages(range(2)))
    assert read(section(cluster, "times", kafka={"end": "2100-01-01"}))["id"] == [0, 1]
    with pytest.raises(SklineError, match="has no message between source.kafka.start and source.kafka.end"):
        read(section(cluster, "times", kafka={"start": "2100-01-01T00:00:00Z"}))


def test_append_reads_what_is_new_and_rows_may_lack_fields(cluster: MockCluster, tmp_path: Path) -> None:
    cluster.create("grows", 2)
    source = section(cluster, "grows", mode="append")
    produce(cluster.servers, "grows", messages(range(3)), 0)
    assert add_snapshot(table_source(source), tmp_path) == tmp_path / "0001.parquet"
    assert add_snapshot(table_source(source), tmp_path) is None
    produce(cluster.servers, "grows", [b'{"id": "x9", "more": true}', b"nonsense"], 1)
    add_snapshot(table_source(source), tmp_path)
    cluster.delete_messages("grows", 0, 3)  # they were read
    assert add_snapshot(table_source(source), tmp_path) is None
    with AppendedSource.of(table_source(source), tmp_path).open() as opened:
        rows = pa.Table.from_batches(opened.batches, opened.schema).to_pydict()
    assert rows["id"] == ["0", "1", "2", "x9", None]
    assert rows["more"] == [None, None, None, True, None]
    assert rows[UNREADABLE][-1].startswith("partition 1, offset 1: it is not valid JSON")


def test_append_after_retention_names_partition_and_offsets(cluster: MockCluster, tmp_path: Path) -> None:
    cluster.create("late")
    source = section(cluster, "late", mode="append")
    produce(cluster.servers, "late", messages(range(3)))
    add_snapshot(table_source(source), tmp_path)
    written = (tmp_path / "0001.parquet").read_bytes()
    produce(cluster.servers, "late", messages(range(3, 6)))
    cluster.delete_messages("late", 0, 5)
    with pytest.raises(SklineError, match="partition 0 of late begins at offset 5, and offset 3 is requested"):
        add_snapshot(table_source(source), tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [written]
    cluster.delete("late")
    cluster.create("late")
    produce(cluster.servers, "late", messages(range(1)))
    with pytest.raises(SklineError, match="partition 0 of late ends at offset 1, and offset 3 is requested"):
        add_snapshot(table_source(source), tmp_path)


def test_unknown_topic_is_named_with_those_that_there_are(cluster: MockCluster) -> None:
    cluster.create("orders")
    with pytest.raises(SklineError, match="has no topic 'ordrs'; it has .*orders"):
        read(section(cluster, "ordrs"))
    with pytest.raises(SklineError, match="has no message between source.kafka.start and source.kafka.end"):
        read(section(cluster, "orders"))


def test_offsets_of_every_partition_are_required(cluster: MockCluster) -> None:
    cluster.create("partitions", 2)
    with pytest.raises(SklineError, match="source.kafka.end gives no offset of partition 1 of partitions; add 1: 0"):
        read(section(cluster, "partitions", kafka={"end": {0: 1}}))
    with pytest.raises(SklineError, match="the topic partitions has no partition 7; it has 0, 1"):
        read(section(cluster, "partitions", kafka={"end": {0: 0, 1: 0, 7: 0}, "start": {0: 0, 1: 0, 7: 0}}))


def test_unreachable_broker_is_one_line_within_the_timeout() -> None:
    started = time.monotonic()
    source = read_source_section({"uri": f"kafka://127.0.0.1:{free_port()}/t", "kafka": {"timeout_seconds": 1}})
    with pytest.raises(SklineError, match=r"did not respond within 1 s \(.*\); check the address") as caught:
        read(source)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 4


def test_messages_that_are_no_rows_keep_their_place_and_reason(cluster: MockCluster) -> None:
    cluster.create("poison")
    values = [b'{"id": 1, "at": {"x": 2.5}, "tags": [1, "a"]}', b"\xff", None, b"[1]", b'{"id": NaN}', b"{} {}",
              b'{"id": "\\ud800"}', b"[" * 100_000, b'{"(unreadable)": 1}', b'\0\0\0\0\7{"id": 2}']  # fmt: skip
    produce(cluster.servers, "poison", values)
    rows = read(section(cluster, "poison"), ["id", "at.x", "tags", UNREADABLE])
    assert rows["id"] == [1, *[None] * 8, 2]
    assert (rows["at.x"][0], rows["tags"][0]) == (2.5, '[1, "a"]')
    reasons = rows[UNREADABLE]
    assert reasons[0] is reasons[-1] is None
    for offset, words in enumerate(
        ("not text in UTF-8", "no value", "is list", "NaN is no number", "Extra data", "not text in UTF-8",
         "not valid JSON", "which is reserved"), 1,
    ):  # fmt: skip
        assert reasons[offset].startswith(f"partition 0, offset {offset}: ")
        assert words in reasons[offset]
    checked = check_table(section(cluster, "poison"))
    assert (checked.n_rows, len(checked.unreadable)) == (10, 8)
    assert "note      8 rows cannot be read, such as partition 0, offset 1: " in describe(checked)
    said: list[str] = []
    with local_table(section(cluster, "poison")) as table, readable_rows(table, said.append) as path:
        assert pa.parquet.read_table(path).column("id").to_pylist() == [1, 2]
    assert said[0].startswith("8 rows cannot be read")


def test_a_topic_without_any_row_is_an_error(cluster: MockCluster) -> None:
    cluster.create("other")
    produce(cluster.servers, "other", [b"\0\1", b"x"])
    with pytest.raises(SklineError, match="no message of the topic can be read, such as partition 0, offset 0"):
        read(section(cluster, "other"))


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.text(max_size=5),
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
        max_size=5,
    )
)
def test_json_keeps_every_value(row: dict[str, Any]) -> None:
    try:
        body = json.dumps(row, ensure_ascii=False, allow_nan=False).encode()
    except (UnicodeError, ValueError):  # half of a surrogate pair, infinity
        return
    assert decode_json(body) == row


@pytest.mark.parametrize(
    "text",
    ['{"a": 9223372036854775807}', '{"a": 9223372036854775808}', '{"a": -9223372036854775809}',
     '{"a": 123456789012345678901234567890}', '{"a": 1e19, "b": [123456789012345678901]}', '{"a": 1E400}',
     '{"a": {"b": 123456789012345678901}}', '{"a": -0, "b": -0.0, "c": 1.0}', '{"a": 1, "a": 2}', " [1] ", "1e5",
     '{"a": 0.1, "b": 5e-324, "c": 1.7976931348623157e308}', '"\\ud83d\\ude00"'],
)  # fmt: skip
def test_numbers_are_those_that_the_text_says(text: str) -> None:
    assert repr(decode_json(text.encode())) == repr(json.loads(text))


@pytest.mark.parametrize(
    "text", ["", "{", '{"a": NaN}', '{"a": Infinity}', '{"a": 01}', "{'a': 1}", '{"a": 1} {"a": 2}',
             '{"a": "\\ud800"}', "\ufeff{}"],
)  # fmt: skip
def test_what_is_no_json_says_so(text: str) -> None:
    with pytest.raises(UndecodableMessage, match="it is not (valid JSON|text in UTF-8)"):
        decode_json(text.encode())


@given(st.binary(max_size=40))
def test_any_bytes_are_decoded_or_rejected(body: bytes) -> None:
    with contextlib.suppress(UndecodableMessage):
        decode_json(body)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_a_range_is_whole_or_an_error(first: int, after: int, start: int, end: int) -> None:
    first, after = sorted((first, after))
    try:
        result = checked_range("t", 0, start, end, {0: (first, after)})
    except SklineError:
        assert max(start, end) > after or start < min(first, end)
        return
    wanted = set(range(start, end))
    assert set(range(result.start, result.end)) == wanted
    assert wanted <= set(range(first, after))


@pytest.mark.parametrize(
    "uri", ["kafka://host", "kafka://host/", "kafka:///t", "kafka://host:99999/t", "kafka://u:hidden@host/t",
            "kafka://host/a/b", "kafka://host,/t", "kafka://host/t?x=1"],
)  # fmt: skip
def test_addresses_that_are_none_are_rejected_without_repeating_a_password(uri: str) -> None:
    with pytest.raises(SklineError) as caught:
        read_source_section({"uri": uri})
    assert "hidden" not in str(caught.value)


def test_address_has_several_brokers() -> None:
    assert KafkaAddress.parse("kafka://a:1,b:2/t.x_1-y") == ("a:1,b:2", "t.x_1-y")


def test_topics_beside_an_address_are_named_or_addressed() -> None:
    address = KafkaAddress.parse("kafka://a:1,b:2/rows")
    assert address.topic_beside("answers", "--to") == "answers"
    assert address.topic_beside("kafka://b:2,a:1/answers", "--to") == "answers"
    with pytest.raises(SklineError, match="--to is a topic of c:3, and the rows are read from a:1,b:2"):
        address.topic_beside("kafka://c:3/answers", "--to")
    with pytest.raises(SklineError, match="'a/b' is no name of a topic"):
        address.topic_beside("a/b", "--to")


def test_options_come_from_the_file_and_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "kafka.properties"
    path.write_text("# of the cluster\n\nsecurity.protocol = SASL_SSL\nsasl.password=a=b\n")
    environment = {"SKLINE_KAFKA__SASL_PASSWORD": "c", "HOME": "/"}
    assert read_options(str(path), environment) == {"security.protocol": "SASL_SSL", "sasl.password": "c"}
    path.write_text("sasl.password\n")
    with pytest.raises(SklineError, match=r"kafka\.properties, line 1: write NAME=VALUE"):
        read_options(str(path), {})
    with pytest.raises(SklineError, match="skline sets group.id by itself"):
        read_options(None, {"SKLINE_KAFKA__GROUP_ID": "mine"})
    with pytest.raises(SklineError, match="cannot be read"):
        read_options(str(tmp_path / "absent"), {})


def test_values_of_options_are_in_no_message(cluster: MockCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.create("secrets")
    monkeypatch.setenv("SKLINE_KAFKA__SECURITY_PROTOCOL", "wr0ng-pr0tocol")
    with pytest.raises(SklineError, match="the options of Kafka are not valid"):
        read(section(cluster, "secrets"))
    monkeypatch.setenv("SKLINE_KAFKA__SECURITY_PROTOCOL", "plaintext")
    monkeypatch.setenv("SKLINE_KAFKA__SESSION_TIMEOUT_MS", "s3cret")
    monkeypatch.setenv("SKLINE_KAFKA__ENABLE_SSL_CERTIFICATE_VERIFICATION", "s3cret")
    with pytest.raises(SklineError) as caught:
        read(section(cluster, "secrets"))
    assert "s3cret" not in str(caught.value)


def test_settings_of_formats_fit_together() -> None:
    for given_settings, words in (
        ({"format": "avro"}, "needs one of schema_file and schema_registry"),
        ({"start": "yesterday"}, r"source\.kafka\.start: write a date or datetime"),
        ({"end": {0: -1}}, r"source\.kafka\.end: write a date or datetime"),
        ({"end": "earliest"}, r"source\.kafka\.end"),
        ({"schema_file": "a.avsc"}, "schema_file is for format avro"),
        ({"format": "avro", "schema_registry": "http://u:p@h"}, "is a URL without a user"),
    ):
        with pytest.raises(SklineError, match=words) as caught:
            read_source_section({"uri": "kafka://h/t", "kafka": given_settings})
        assert "u:p" not in str(caught.value)
