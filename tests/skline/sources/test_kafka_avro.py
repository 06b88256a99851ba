"""Values in Avro: with a schema from a file, or named by its id in a registry."""

import datetime as dt
import io
import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fastavro
import pytest

from skline.errors import SklineError
from skline.settings.source_kafka import KafkaSettings
from skline.sources.kafka_messages import UndecodableMessage, make_decoder

SCHEMA: dict[str, Any] = {
    "type": "record", "name": "Flight", "fields": [
        {"name": "id", "type": "long"}, {"name": "city", "type": ["null", "string"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "fee", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}},
        {"name": "place", "type": {"type": "record", "name": "Place", "fields": [{"name": "x", "type": "double"}]}},
    ],
}  # fmt: skip
ROW = {"id": 2**60, "city": None, "at": dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC), "fee": Decimal("1.50"),
       "place": {"x": 0.1}}  # fmt: skip
FLAT = {"id": 2**60, "city": None, "at": ROW["at"], "fee": Decimal("1.50"), "place.x": 0.1}
USER = "reader:s3cret"


def encoded(row: dict[str, Any] = ROW) -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(SCHEMA), row)
    return body.getvalue()


class Registry(BaseHTTPRequestHandler):
    """Has schema 7 (Avro), 8 (JSON Schema) and 9 (which refers to another one), and counts requests."""

    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.headers.get("Authorization", ""))
        content = {
            "7": {"schema": json.dumps(SCHEMA)}, "8": {"schema": "{}", "schemaType": "JSON"},
            "9": {"schema": "{}", "references": [{"name": "a"}]},
        }.get(self.path.removeprefix("/schemas/ids/"))  # fmt: skip
        status = 500 if self.path.endswith("/500") else 404 if content is None else 200
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content or {}).encode())

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def registry() -> Iterator[str]:
    Registry.requests = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def framed(number: int, body: bytes) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + body


def test_schema_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "flight.avsc").write_text(json.dumps(SCHEMA))
    decode = make_decoder(KafkaSettings(format="avro", schema_file=str(tmp_path / "flight.avsc")))
    assert decode(encoded()) == FLAT
    for body, words in ((encoded()[:-1], "not a record"), (encoded() + b"x", "1 bytes follow it"), (b"", "not a rec"),
                        (None, "no value"), (b"\xff" * 40, "not a record")):  # fmt: skip
        with pytest.raises(UndecodableMessage, match=words):
            decode(body)
    (tmp_path / "flight.avsc").write_text('{"type": "nothing"}')
    with pytest.raises(SklineError, match=r"flight\.avsc holds no Avro schema"):
        make_decoder(KafkaSettings(format="avro", schema_file=str(tmp_path / "flight.avsc")))
    with pytest.raises(SklineError, match="absent cannot be read"):
        make_decoder(KafkaSettings(format="avro", schema_file=str(tmp_path / "absent")))


def test_schema_of_a_registry_is_fetched_once(registry: str) -> None:
    decode = make_decoder(KafkaSettings(format="avro", schema_registry=registry), USER)
    assert decode(framed(7, encoded())) == decode(framed(7, encoded())) == FLAT
    assert Registry.requests == ["Basic cmVhZGVyOnMzY3JldA=="]
    for value, words in ((framed(12, b""), "has no Avro schema 12"), (framed(8, b""), "has no Avro schema 8"),
                         (encoded(), "does not begin with the id"),
                         (framed(7, b"\xff" * 40), "not a record")):  # fmt: skip
        with pytest.raises(UndecodableMessage, match=words):
            decode(value)


def test_a_registry_that_fails_is_an_error_and_no_bad_message(registry: str) -> None:
    decode = make_decoder(KafkaSettings(format="avro", schema_registry=registry), USER)
    with pytest.raises(SklineError, match="schema 9 refers to others"):
        decode(framed(9, b""))
    with pytest.raises(SklineError, match="returns 500") as caught:
        decode(framed(500, b""))
    assert "s3cret" not in str(caught.value)
    decode = make_decoder(KafkaSettings(format="avro", schema_registry="http://127.0.0.1:1", timeout_seconds=1))
    with pytest.raises(SklineError, match="cannot be read"):
        decode(framed(7, b""))
