"""At SIGTERM a service reports that it is not ready, and responds to the requests that it still gets."""

import re
import signal
import threading
import time

import httpx

from tests.fixtures import demo
from tests.fixtures.server import process


def test_sigterm_makes_the_service_not_ready_first_and_no_request_fails(
    packaged: demo.Packaged, example: dict[str, object]
) -> None:
    with process(packaged, DRAIN_SECONDS="2") as (running, client):
        statuses: list[int | str] = []
        not_ready = threading.Event()

        def send_requests() -> None:
            while not not_ready.is_set():
                statuses.append(client.post("/predict", json=example).status_code)

        sender = threading.Thread(target=send_requests)
        sender.start()
        running.send_signal(signal.SIGTERM)
        for _ in range(100):
            ready = httpx.get(client.base_url.join("/health/ready"), trust_env=False)
            if ready.status_code == 503:
                break
            time.sleep(0.01)
        assert ready.json()["reason"] == "the process is shutting down"
        assert client.post("/predict", json=example).status_code == 200
        not_ready.set()
        sender.join()
        assert running.wait(20) == -signal.SIGTERM
        assert set(statuses) == {200}
        assert running.stderr is not None
        assert "Traceback" not in running.stderr.read()


def test_a_second_sigterm_skips_the_wait(packaged: demo.Packaged) -> None:
    with process(packaged, DRAIN_SECONDS="300") as (running, client):
        running.send_signal(signal.SIGTERM)
        while client.get("/health/ready").status_code == 200:
            time.sleep(0.01)
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == -signal.SIGTERM


def test_the_garbage_collector_runs_in_a_service(packaged: demo.Packaged) -> None:
    def collections(client: httpx.Client) -> float:
        [count] = re.findall(r'python_gc_collections_total\{generation="0"\} (\S+)', client.get("/metrics").text)
        return float(count)

    with process(packaged) as (_, client):
        before = collections(client)
        for _ in range(60):  # each response is built anew, of many objects
            client.get("/openapi.json")
        assert collections(client) > before
