"""Behind the real nginx, Caddy and HAProxy with the shipped configurations, no request is lost."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures import demo
from tests.fixtures.clients import terminate, wait_until
from tests.fixtures.proxies import CONFIGS, PREFIX, Senders, proxy
from tests.fixtures.server import free_port

pytestmark = pytest.mark.slow
#: Requests between two events of the drill, and clients of each proxy; with more of both, this is the long run by hand.
STEP, CLIENTS = int(os.environ.get("PROXY_DRILL_STEP", "600")), 4
#: How long a deployment waits between two replicas, as the configurations say.
PAUSE_SECONDS = 2.0


class Replica:
    """A service on a port of its own, which is stopped and started with another artifact."""

    #: Options of `skline serve` besides the port and the artifact.
    options: tuple[str, ...] = ("--no-auth",)

    def __init__(self, **settings: str) -> None:
        self.port = free_port()
        self._settings = settings
        self.running: subprocess.Popen[str] | None = None

    def start(self, packaged: demo.Packaged) -> None:
        command = [
            sys.executable, "-m", "skline.cli", "serve", "--port", str(self.port), *self.options,
            "--artifact", str(packaged.folder), "--digest", packaged.digest,
        ]  # fmt: skip
        environment = os.environ | {f"SKLINE_{name}": value for name, value in self._settings.items()}
        self.running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=demo.ROOT)
        wait_until(self._is_ready)

    def stop(self) -> None:
        assert self.running is not None
        terminate(self.running)
        assert self.running.stderr is not None
        self.running.stderr.close()
        self.running = None

    def kill(self) -> None:
        assert self.running is not None
        assert self.running.stderr is not None
        self.running.kill()
        self.running.wait()
        self.running.stderr.close()
        self.running = None

    def end(self) -> None:
        """Kill the process if it runs."""
        if self.running is not None:
            self.kill()

    def _is_ready(self) -> bool:
        assert self.running is not None
        assert self.running.poll() is None, self.running.stderr and self.running.stderr.read()
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health/ready", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def replicas(packaged: demo.Packaged, count: int, **settings: str) -> Iterator[list[Replica]]:
    """Run services behind proxies of this machine."""
    common = {"SECURITY__TRUSTED_PROXIES": "127.0.0.1", "DRAIN_SECONDS": "2"}
    started = [Replica(**(common | settings)) for _ in range(count)]
    try:
        for each in started:
            each.start(packaged)
        yield started
    finally:
        for each in started:
            each.end()


def test_no_request_is_lost_while_replicas_are_deployed_rolled_back_and_killed(
    packaged: demo.Packaged, other_packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    with replicas(packaged, 2, LIMITS__KEEP_ALIVE_SECONDS="2") as (one, two), ExitStack() as stack:
        ports = (one.port, two.port)
        proxies = [stack.enter_context(proxy(name, tmp_path / name, ports, "1600ms")) for name in CONFIGS]
        with Senders(proxies, json.dumps(example).encode(), CLIENTS) as senders:
            for artifact in (other_packaged, packaged):  # a deployment, and its rollback
                for replica in (one, two):
                    senders.wait_for(STEP)
                    replica.stop()
                    senders.wait_for(STEP)
                    replica.start(artifact)
                    time.sleep(PAUSE_SECONDS)
            senders.wait_for(STEP)
            one.kill()
            senders.wait_for(STEP)
            one.start(packaged)
            senders.wait_for(STEP)
        print(senders.outcomes.total(), "requests:", senders.outcomes)
        assert {outcome for _, outcome in senders.outcomes} == {"200"}, senders.outcomes
        assert {name for name, _ in senders.outcomes} == set(CONFIGS)
        assert min(senders.outcomes.values()) > STEP


def test_limits_are_those_of_the_client_and_responses_are_compressed_below_a_prefix(
    packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    with ExitStack() as stack:
        [replica] = stack.enter_context(replicas(packaged, 1, LIMITS__RATE="3/hour"))
        for index, name in enumerate(CONFIGS):
            each = stack.enter_context(proxy(name, tmp_path / name, (replica.port, replica.port)))

            def statuses(source: str, count: int, prefix: str = PREFIX, each: Any = each) -> list[int]:
                """Send requests that claim to come from elsewhere; return the statuses of the responses."""
                connection, codes = each.connection(source), []
                for number in range(count):
                    headers = {"content-type": "application/json", "x-forwarded-for": f"198.51.100.{number}"}
                    headers["x-forwarded-prefix"] = "/other"
                    connection.request("POST", f"{prefix}/predict", json.dumps(example).encode(), headers)
                    response = connection.getresponse()
                    response.read()
                    codes.append(response.status)
                connection.close()
                return codes

            first, second = f"127.0.1.{index + 1}", f"127.0.2.{index + 1}"
            assert statuses(first, 4) == [200, 200, 200, 429], name
            assert statuses(second, 3) == [200, 200, 200], name
            assert statuses(second, 1, "/other") == [404], name
            with httpx.Client(verify=each.verify, trust_env=False) as client:
                page = client.get(f"{each.url}/page/page.js")
                assert (page.status_code, page.headers["content-encoding"]) == (200, "gzip"), name
            third = each.connection(f"127.0.3.{index + 1}")
            third.request("GET", f"{PREFIX}/")
            response = third.getresponse()
            assert response.status == 200, name
            assert response.getheader("transfer-encoding") or response.getheader("content-length")
            third.close()
