"""Workers on one port: a dead worker is replaced, all end together, and the log names what they do not share."""

import os
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
import pytest

from skline.logs.read import read_predictions
from skline.logs.settings import LogSettings
from tests.fixtures import demo
from tests.fixtures.clients import terminate, wait_until
from tests.fixtures.server import process

pytestmark = pytest.mark.slow


def worker_pids(running: "subprocess.Popen[str]") -> list[int]:
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    return [int(child) for child in children if "spawn_main" in command_of(child)]


def command_of(pid: str) -> str:
    """Return the command line of a process, empty if the process has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def request(url: httpx.URL, path: str, row: dict[str, Any] | None = None) -> tuple[int, bytes]:
    """Send a request on a new connection, which either worker may accept; return status and body."""
    with closing(HTTPConnection(url.host, url.port, timeout=20)) as connection:
        connection.request("GET" if row is None else "POST", path, None if row is None else orjson.dumps(row))
        response = connection.getresponse()
        return response.status, response.read()


def predict(url: httpx.URL, row: dict[str, Any], times: int) -> list[str]:
    """Send prediction requests, which must all succeed; return the prediction ids."""
    responses = [request(url, "/predict", row) for _ in range(times)]
    assert {status for status, _ in responses} == {200}
    return [orjson.loads(content)["prediction_id"] for _, content in responses]


def statuses(pid: int) -> set[str]:
    """Return the states of the sockets of a process."""
    return {each.status for each in psutil.Process(pid).net_connections("tcp4")}


def serving_pids(running: "subprocess.Popen[str]", url: httpx.URL) -> set[int]:
    """Open some connections, and return the workers that have accepted one."""
    with ExitStack() as stack:
        connections = [HTTPConnection(url.host, url.port, timeout=20) for _ in range(20)]
        for connection in connections:
            stack.enter_context(closing(connection)).request("GET", "/health/live")
        for connection in connections:
            connection.getresponse().read()
        return {pid for pid in worker_pids(running) if psutil.CONN_ESTABLISHED in statuses(pid)}


def rows_written(url: httpx.URL) -> set[bytes]:
    """Return the workers' counts of written rows, of as many workers as 40 requests happen to reach."""
    pages = [request(url, "/metrics")[1] for _ in range(40)]
    return {line for page in pages for line in page.splitlines() if b'rows_total{outcome="written"}' in line}


def test_a_killed_worker_is_replaced_and_no_request_and_no_row_of_the_log_is_lost(
    packaged: demo.Packaged, example: dict[str, Any], tmp_path: Path
) -> None:
    log = LogSettings(database=str(tmp_path / "log.db"), partitions=tmp_path / "days")
    settings = {"LOG__DATABASE": log.database, "LOG__PARTITIONS": str(log.partitions), "LOG__MODE": "sync"}
    with process(packaged, "--workers", "2", **settings) as (running, client):
        wait_until(lambda: len(serving_pids(running, client.base_url)) == 2)
        predictions = predict(client.base_url, example, 100)
        first = worker_pids(running)
        os.kill(first[0], signal.SIGKILL)
        wait_until(lambda: first[0] not in worker_pids(running))
        while len(worker_pids(running)) < 2:
            predictions += predict(client.base_url, example, 5)
        for _ in range(40):  # the new worker loads its model, and must not get requests meanwhile
            predictions += predict(client.base_url, example, 5)
            time.sleep(0.05)
        assert first[1] in worker_pids(running)
        written = rows_written(client.base_url)
        output = terminate(running)
    assert "rate limits, /metrics, the log's queue" in output
    stored = read_predictions(log)["prediction_id"].to_pylist()
    assert sorted(stored) == sorted(predictions)
    print(f"{len(predictions)} rows; written, by the workers' metrics: {sorted(written)}")


def test_a_worker_that_is_killed_while_the_parent_waits_for_its_response_is_replaced_at_once(
    packaged: demo.Packaged,
) -> None:
    with process(packaged, "--workers", "2") as (running, _):
        wait_until(lambda: len(worker_pids(running)) == 2)
        first = worker_pids(running)[0]
        os.kill(first, signal.SIGSTOP)
        time.sleep(1.5)  # the parent pings every 0.5 s, and waits 60 s for a response
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: first not in worker_pids(running) and len(worker_pids(running)) == 2, 40)
        terminate(running)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_all_workers_end_with_the_parent_and_write_their_rows(
    packaged: demo.Packaged, example: dict[str, Any], tmp_path: Path, number: int
) -> None:
    log = LogSettings(database=str(tmp_path / "log.db"), partitions=tmp_path / "days")
    settings = {"LOG__DATABASE": log.database, "LOG__PARTITIONS": str(log.partitions), "LOG__BATCH_MS": "10000"}
    with process(packaged, "--workers", "2", **settings) as (running, client):
        wait_until(lambda: len(worker_pids(running)) == 2)
        pids, predictions = worker_pids(running), predict(client.base_url, example, 60)
        client.close()
        running.send_signal(number)
        running.wait(30)
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
        assert running.stderr is not None
        output = running.stderr.read()
        assert "Traceback" not in output, output
        assert ("the parent process died" in output) == (number == signal.SIGKILL)
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", client.base_url.port or 0))
    assert sorted(read_predictions(log)["prediction_id"].to_pylist()) == sorted(predictions)


def test_workers_are_not_ready_but_respond_while_they_drain(packaged: demo.Packaged, example: dict[str, Any]) -> None:
    with process(packaged, "--workers", "2", DRAIN_SECONDS="6") as (running, client):
        wait_until(lambda: len(worker_pids(running)) == 2)
        client.close()
        running.send_signal(signal.SIGTERM)
        wait_until(lambda: {request(client.base_url, "/health/ready")[0] for _ in range(10)} == {503})
        predict(client.base_url, example, 20)
        running.wait(30)
        assert running.stderr is not None
        assert "Traceback" not in running.stderr.read()


def test_a_worker_that_cannot_start_is_retried_and_the_others_serve_on(
    packaged: demo.Packaged, example: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "serving").mkdir()
    app = tmp_path / "serving/app.py"
    working = "from skline.serving.app import create_app\n\napp = create_app()\n"
    app.write_text(working)
    with process(packaged, "--workers", "2", cwd=tmp_path) as (running, client):
        # A worker that still starts would import the broken application.
        wait_until(lambda: len(serving_pids(running, client.base_url)) == 2)
        app.write_text("open('tried', 'w').close()\nraise ValueError('broken')\n")
        first = worker_pids(running)
        os.kill(first[0], signal.SIGKILL)
        wait_until((tmp_path / "tried").exists)
        predict(client.base_url, example, 20)
        app.write_text(working)
        wait_until(lambda: len(worker_pids(running)) == 2)
        predict(client.base_url, example, 20)
        output = terminate(running)
    assert "a worker cannot start: serving/app.py cannot be imported: ValueError: broken (line 2)" in output
