"""A service that is told to end says so first, and answers what it has begun."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests import demo


@contextmanager
def process(
    packaged: demo.Packaged, *arguments: str, files: int | None = None, **settings: str
) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """Run `skline serve` as a process of its own, which may open so many `files`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "skline.cli", "serve", "--port", str(port), *arguments]
    command += ["--artifact", str(packaged.folder), "--digest", packaged.digest]
    environment = os.environ | {f"SKLINE_{name}": value for name, value in settings.items()}
    if files is not None:
        command = ["prlimit", f"--nofile={files}:{files}", *command]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=demo.ROOT) as running:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10) as client:
                _wait_until_ready(client, running)
                yield running, client
        finally:
            running.kill()


def _wait_until_ready(client: httpx.Client, running: subprocess.Popen[str]) -> None:
    for _ in range(600):
        assert running.poll() is None, running.stderr.read() if running.stderr else ""
        try:
            if client.get("/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.05)
    pytest.fail("the service did not become ready")


def test_it_is_unready_first_goes_on_answering_and_ends_without_a_failed_request(
    packaged: demo.Packaged, example: dict[str, object]
) -> None:
    with process(packaged, DRAIN_SECONDS="2") as (running, client):
        statuses: list[int | str] = []
        unready = threading.Event()

        def ask() -> None:
            while not unready.is_set():
                statuses.append(client.post("/predict", json=example).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        running.send_signal(signal.SIGTERM)
        for _ in range(100):
            ready = httpx.get(client.base_url.join("/health/ready"), trust_env=False)
            if ready.status_code == 503:
                break
            time.sleep(0.01)
        assert ready.json()["reason"] == "the process is ending"
        assert client.post("/predict", json=example).status_code == 200
        unready.set()
        asking.join()
        assert running.wait(20) == -signal.SIGTERM
        assert set(statuses) == {200}
        assert running.stderr is not None
        assert "Traceback" not in running.stderr.read()


def test_a_second_signal_skips_the_wait(packaged: demo.Packaged) -> None:
    with process(packaged, DRAIN_SECONDS="300") as (running, client):
        running.send_signal(signal.SIGTERM)
        while client.get("/health/ready").status_code == 200:
            time.sleep(0.01)
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == -signal.SIGTERM


def test_a_service_collects_its_garbage_though_commands_begin_without(packaged: demo.Packaged) -> None:
    def collections(client: httpx.Client) -> float:
        [count] = re.findall(r'python_gc_collections_total\{generation="0"\} (\S+)', client.get("/metrics").text)
        return float(count)

    with process(packaged) as (_, client):
        before = collections(client)
        for _ in range(60):  # whose answer is made anew, out of many objects
            client.get("/openapi.json")
        assert collections(client) > before
