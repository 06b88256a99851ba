"""Test of promotions under load: promote A, canary B, abort, promote B, roll back; no request fails."""

import math
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from skline.logs.read import read_labelled
from skline.logs.settings import LogSettings
from skline.release.journal import read_journal
from skline.release.services import read_statuses
from skline.stages.train import train
from tests.fixtures import demo
from tests.fixtures.releases import wait_for_release
from tests.fixtures.sample_project.pipeline import build_pipeline
from tests.skline.release.project import Project, make

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@contextmanager
def serving(project: Project, *arguments: str) -> Iterator[str]:
    """Run `skline serve` in a project, with settings for the log and the rate limit only."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "skline.cli", "serve", "--port", str(port), *arguments]
    environment = os.environ | {
        "SKLINE_LOG__DATABASE": "logs/predictions.db", "SKLINE_LOG__PARTITIONS": "logs/predictions",
        "SKLINE_LIMITS__RATE": "1000000/second",
    }  # fmt: skip
    with (
        (project.folder / "serve.log").open("w") as errors,
        subprocess.Popen(command, stderr=errors, text=True, env=environment, cwd=project.folder) as process,
    ):
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                assert process.poll() is None, (project.folder / "serve.log").read_text()
                try:
                    if httpx.get(f"{address}/health/ready", trust_env=False).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()
            process.wait(30)


@dataclass
class Load:
    """Clients that send requests without a pause, each for many entities."""

    address: str
    row: dict[str, Any]
    responses: list[tuple[float, int, dict[str, Any]]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def send_requests(self) -> None:
        generator = random.Random(threading.get_ident())  # noqa: S311 - no secret
        with httpx.Client(base_url=self.address, trust_env=False, timeout=30) as client:
            while not self.stop.is_set():
                sent_at = time.time()
                entity = {"X-Entity-ID": str(generator.randrange(1000))}
                row = self.row | {"distance": generator.randrange(100, 2500)}
                if generator.random() < 0.1:
                    response = client.post("/predict/batch", json=[row] * 5, headers=entity)
                    predictions = response.json().get("predictions", [{}])
                else:
                    response = client.post("/predict", json=row, headers=entity)
                    predictions = [response.json()]
                self.responses += [(sent_at, response.status_code, each) for each in predictions]

    def versions(self, start: float, end: float = math.inf) -> set[str]:
        """Return the model versions that answered requests sent between two times."""
        return {each["model_version"] for sent_at, _, each in self.responses if start <= sent_at < end}


def test_no_request_fails_during_promotion_canary_abort_and_rollback(
    tmp_path: Path, packaged: demo.Packaged, example: dict[str, Any]
) -> None:
    project = make(tmp_path / "project")
    fitted = train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": 5}, seed=17)
    second = demo.package(tmp_path / "second" / "artifact", fitted)
    a, b = (f"demo@{each.digest[:12]}" for each in (packaged, second))
    project.run("promote", project.register(packaged, "a"))
    with serving(project) as address, httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
        wait_for_release(client, 1)
        load = Load(address, example)
        clients = [threading.Thread(target=load.send_requests) for _ in range(4)]
        for thread in clients:
            thread.start()
        try:
            version = project.register(second, "b", champion=packaged.digest)
            project.run("promote", version, "--canary", "10")
            wait_for_release(client, 2)
            canary_started = time.time()
            while len(load.responses) < 500 or load.versions(canary_started) != {a, b}:
                time.sleep(0.1)
            project.run("abort", "--reason", "end of the canary")
            wait_for_release(client, 3)
            aborted = time.time()
            time.sleep(1)
            project.run("promote", version, "--approve", "test", "--reason", "the canary was good")
            wait_for_release(client, 4)
            promoted = time.time()
            time.sleep(1)
            (project.folder / "mlflow.db").rename(project.folder / "away.db")  # the registry is unavailable
            rolled_back = time.time()
            assert f"{address.removeprefix('http://')}: in service: {a}" in project.run(
                "rollback", "--reason", "a complaint"
            )
            published = (project.folder / "releases/release.json").stat().st_mtime
            wait_for_release(client, 5)
            followed = time.time()
            time.sleep(1)
        finally:
            load.stop.set()
            for thread in clients:
                thread.join(60)
        assert {status for _, status, _ in load.responses} == {200}
        assert a in load.versions(aborted, promoted)
        assert load.versions(promoted, rolled_back) == {b}
        assert load.versions(followed) == {a}
        delay = max(sent_at for sent_at, _, each in load.responses if each["model_version"] == b) - published
        print(f"{len(load.responses):,} predictions; last request to the rolled-back model after {delay:.2f} s")
        assert delay < 10  # documented is two seconds, on an idle machine
    check_log(project, load, a, b)
    content = read_journal(project.folder / "releases/journal.jsonl")
    assert [entry.action for entry in content.entries] == ["promote", "canary", "abort", "promote", "rollback"]
    assert [entry.why for entry in content.entries[2:]] == ["end of the canary", "the canary was good", "a complaint"]
    assert content.damaged_lines == ()


def check_log(project: Project, load: Load, a: str, b: str) -> None:
    """Check that the log has every prediction with its version, and the canary rows with the arm of their bucket."""
    settings = LogSettings(
        database=str(project.folder / "logs/predictions.db"), partitions=project.folder / "logs/predictions"
    )
    rows = {row["prediction_id"]: row for row in read_labelled(settings).to_pylist()}
    for _, _, prediction in load.responses:
        assert rows[prediction["prediction_id"]]["model_version"] == prediction["model_version"]
    canary = [row for row in rows.values() if row["experiment"] == "canary-2"]
    assert {(row["arm"], row["model_version"]) for row in canary} == {("champion", a), ("challenger", b)}
    assert all((row["bucket"] < 1000) == (row["arm"] == "challenger") for row in canary)


def test_every_worker_says_whether_it_follows_a_release_and_a_killed_one_is_not_waited_for(
    tmp_path: Path, packaged: demo.Packaged
) -> None:
    project = make(tmp_path / "project")
    project.run("promote", project.register(packaged, "a"))
    manifest = project.folder / "releases/release.json"
    with serving(project, "--workers", "2") as address:
        deadline = time.monotonic() + 60
        while len(statuses := read_statuses(manifest)) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        place, version = address.removeprefix("http://"), f"demo@{packaged.digest[:12]}"
        assert f"{place} (2 processes): in service: {version}\n" in project.run("flag", "explain", "off")
        os.kill(statuses[0].pid, signal.SIGKILL)
        while statuses[0].pid in {status.pid for status in read_statuses(manifest)}:
            time.sleep(0.1)
    assert read_statuses(manifest) == []
    assert "no service on this machine follows" in project.run("flag", "explain", "on")
