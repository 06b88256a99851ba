"""Topics of a broker that has times of messages and users."""

import datetime as dt
import time
from typing import Any

import pyarrow as pa
import pytest

from skline.errors import SklineError
from skline.settings.project import read_source_section
from skline.sources.kinds import table_source
from tests.fixtures.kafka import produce
from tests.fixtures.tansu import create_topics, tansu

pytestmark = pytest.mark.kafka


def read(uri: str, **settings: Any) -> list[int]:
    with table_source(read_source_section({"uri": uri, "kafka": settings})).open() as opened:
        rows: list[int] = pa.Table.from_batches(opened.batches, opened.schema).column("id").to_pylist()
    return rows


def test_times_are_resolved_to_offsets() -> None:
    with tansu() as servers:
        create_topics(servers, times=2)
        uri, moments = f"kafka://{servers}/times", []
        for number in range(3):
            for partition in range(2):
                produce(servers, "times", [f'{{"id": {number * 10 + partition}}}'.encode()], partition)
            time.sleep(0.2)
            moments.append(dt.datetime.now(dt.UTC))
            time.sleep(0.2)
        assert read(uri) == [0, 10, 20, 1, 11, 21]
        assert read(uri, end=moments[0]) == [0, 1]
        assert read(uri, start=moments[0].replace(tzinfo=None), end=moments[1]) == [10, 11]
        assert read(uri, start=moments[1].isoformat()) == [20, 21]


def test_wrong_password_is_one_line_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SECURITY_PROTOCOL": "SASL_PLAINTEXT", "SASL_MECHANISM": "SCRAM-SHA-512", "SASL_USERNAME": "reader",
        "SASL_PASSWORD": "wr0ng-passw0rd",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"SKLINE_KAFKA__{name}", value)
    with tansu("--authentication") as servers:
        started = time.monotonic()
        with pytest.raises(SklineError, match="denies access .*SASL authentication error.*; check SKLINE_") as caught:
            read(f"kafka://{servers}/any")
        assert time.monotonic() - started < 10
        assert "\n" not in str(caught.value)
        assert "wr0ng-passw0rd" not in str(caught.value)
        for name in ("SECURITY_PROTOCOL", "SASL_MECHANISM", "SASL_USERNAME", "SASL_PASSWORD"):
            monkeypatch.delenv(f"SKLINE_KAFKA__{name}")
        with pytest.raises(SklineError, match="did not respond within 2 s .*security.protocol"):
            read(f"kafka://{servers}/any", timeout_seconds=2)
