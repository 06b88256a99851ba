"""Several processes on one port: one that dies is replaced, all end together, and they say what they do not share."""

import os
import signal
import socket
import subprocess
import time
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from skline.logs.read import read_predictions
from skline.logs.settings import LogSettings
from tests import demo
from tests.serving.test_drain import process
from tests.serving.test_outages import ended
from tests.serving.test_slow_clients import until

pytestmark = pytest.mark.slow


def workers(running: "subprocess.Popen[str]") -> list[int]:
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    return [int(child) for child in children if "spawn_main" in command_of(child)]


def command_of(process: str) -> str:
    """How a process was started; nothing if it has ended meanwhile."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/cmdline").read_text()
    return ""


def fresh(url: httpx.URL, path: str, row: dict[str, Any] | None = None) -> tuple[int, bytes]:
    """Ask by a new connection, which either worker may take."""
    with closing(HTTPConnection(url.host, url.port, timeout=20)) as connection:
        connection.request("GET" if row is None else "POST", path, None if row is None else orjson.dumps(row))
        answer = connection.getresponse()
        return answer.status, answer.read()


def ask(url: httpx.URL, row: dict[str, Any], times: int) -> list[str]:
    """Ask again and again; all must be answered."""
    answers = [fresh(url, "/predict", row) for _ in range(times)]
    assert {status for status, _ in answers} == {200}
    return [orjson.loads(content)["prediction_id"] for _, content in answers]


def measured(url: httpx.URL) -> set[bytes]:
    """How many rows the workers have written, each for itself, as far as chance shows them."""
    pages = [fresh(url, "/metrics")[1] for _ in range(40)]
    return {line for page in pages for line in page.splitlines() if b'rows_total{outcome="written"}' in line}


def test_one_that_is_killed_is_replaced_nobody_else_notices_and_the_log_has_the_rows_of_all(
    packaged: demo.Packaged, example: dict[str, Any], tmp_path: Path
) -> None:
    log = LogSettings(database=str(tmp_path / "log.db"), partitions=tmp_path / "days")
    settings = {"LOG__DATABASE": log.database, "LOG__PARTITIONS": str(log.partitions), "LOG__MODE": "sync"}
    with process(packaged, "--workers", "2", **settings) as (running, client):
        until(lambda: len(workers(running)) == 2)
        asked = ask(client.base_url, example, 100)
        first = workers(running)
        os.kill(first[0], signal.SIGKILL)
        until(lambda: first[0] not in workers(running))
        while len(workers(running)) < 2:
            asked += ask(client.base_url, example, 5)
        for _ in range(40):  # the new one is loading its model, and must not be asked meanwhile
            asked += ask(client.base_url, example, 5)
            time.sleep(0.05)
        assert first[1] in workers(running)
        seen = measured(client.base_url)
        said = ended(running)
    assert "rate limits, /metrics, the log's queue" in said
    stored = read_predictions(log)["prediction_id"].to_pylist()
    assert sorted(stored) == sorted(asked)
    print(f"{len(asked)} rows; written, as the workers say: {sorted(seen)}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_when_the_first_process_ends_or_dies_all_end_and_write_down_what_they_have(
    packaged: demo.Packaged, example: dict[str, Any], tmp_path: Path, number: int
) -> None:
    log = LogSettings(database=str(tmp_path / "log.db"), partitions=tmp_path / "days")
    settings = {"LOG__DATABASE": log.database, "LOG__PARTITIONS": str(log.partitions), "LOG__BATCH_MS": "10000"}
    with process(packaged, "--workers", "2", **settings) as (running, client):
        until(lambda: len(workers(running)) == 2)
        pids, asked = workers(running), ask(client.base_url, example, 60)
        client.close()
        running.send_signal(number)
        running.wait(30)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
        assert running.stderr is not None
        said = running.stderr.read()
        assert "Traceback" not in said, said
        assert ("the process that started this worker is gone" in said) == (number == signal.SIGKILL)
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", client.base_url.port or 0))
    assert sorted(read_predictions(log)["prediction_id"].to_pylist()) == sorted(asked)


def test_not_ready_first_and_requests_are_answered_while_they_drain(
    packaged: demo.Packaged, example: dict[str, Any]
) -> None:
    with process(packaged, "--workers", "2", DRAIN_SECONDS="6") as (running, client):
        until(lambda: len(workers(running)) == 2)
        client.close()
        running.send_signal(signal.SIGTERM)
        until(lambda: {fresh(client.base_url, "/health/ready")[0] for _ in range(10)} == {503})
        ask(client.base_url, example, 20)
        running.wait(30)
        assert running.stderr is not None
        assert "Traceback" not in running.stderr.read()
