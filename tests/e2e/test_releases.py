"""The drill: train A, promote, train B, canary under load, abort, promote, roll back, and no request notices."""

import os
import random
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
from skline.release import journal
from skline.stages.train import train
from tests import demo
from tests.serving.releases import in_force
from tests.skline.release.project import Project, make
from tests.world.pipeline import build_pipeline

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@contextmanager
def serving(project: Project) -> Iterator[str]:
    """Run `skline serve` in a project, with nothing said but where the log is."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "skline.cli", "serve", "--port", str(port)]
    environment = os.environ | {
        "SKLINE_LOG__DATABASE": "logs/predictions.db", "SKLINE_LOG__PARTITIONS": "logs/predictions",
        "SKLINE_LIMITS__RATE": "1000000/second",
    }  # fmt: skip
    with (
        (project.folder / "serve.log").open("w") as errors,
        subprocess.Popen(command, stderr=errors, text=True, env=environment, cwd=project.folder) as running,
    ):
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                assert running.poll() is None, (project.folder / "serve.log").read_text()
                try:
                    if httpx.get(f"{address}/health/ready", trust_env=False).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.1)
            yield address
        finally:
            running.terminate()
            running.wait(30)


@dataclass
class Load:
    """Callers that ask without a pause, each about many entities."""

    address: str
    row: dict[str, Any]
    answers: list[tuple[float, int, dict[str, Any]]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        draw = random.Random(threading.get_ident())  # noqa: S311 - no secret
        with httpx.Client(base_url=self.address, trust_env=False, timeout=30) as client:
            while not self.stop.is_set():
                begun = time.time()
                entity = {"X-Entity-ID": str(draw.randrange(1000))}
                row = self.row | {"distance": draw.randrange(100, 2500)}
                if draw.random() < 0.1:
                    told = client.post("/predict/batch", json=[row] * 5, headers=entity)
                    found = told.json().get("predictions", [{}])
                else:
                    told = client.post("/predict", json=row, headers=entity)
                    found = [told.json()]
                self.answers += [(begun, told.status_code, answer) for answer in found]

    def versions_since(self, moment: float) -> set[str]:
        return {answer["model_version"] for begun, _, answer in self.answers if begun >= moment}


def test_promote_try_abort_promote_and_roll_back_under_load(
    tmp_path: Path, packaged: demo.Packaged, example: dict[str, Any]
) -> None:
    project = make(tmp_path / "project")
    fitted = train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": 5}, seed=17)
    second = demo.package(tmp_path / "second" / "artifact", fitted)
    a, b = (f"demo@{one.digest[:12]}" for one in (packaged, second))
    project.run("promote", project.register(packaged, "a"))
    with serving(project) as address, httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
        in_force(client, 1)
        load = Load(address, example)
        callers = [threading.Thread(target=load.ask) for _ in range(4)]
        for caller in callers:
            caller.start()
        try:
            version = project.register(second, "b", against=packaged.digest)
            project.run("promote", version, "--canary", "10")
            in_force(client, 2)
            begun = time.time()
            while len(load.answers) < 500 or load.versions_since(begun) != {a, b}:
                time.sleep(0.1)
            project.run("abort", "--reason", "the drill wants it")
            in_force(client, 3)
            aborted = time.time()
            time.sleep(1)
            project.run("promote", version, "--approve", "drill", "--reason", "the canary was good")
            in_force(client, 4)
            promoted = time.time()
            time.sleep(1)
            (project.folder / "mlflow.db").rename(project.folder / "away.db")  # the registry is gone
            back = time.time()
            project.run("rollback", "--reason", "a complaint")
            published = (project.folder / "releases/release.json").stat().st_mtime
            in_force(client, 5)
            seen = time.time()
            time.sleep(1)
        finally:
            load.stop.set()
            for caller in callers:
                caller.join(60)
        assert {status for _, status, _ in load.answers} == {200}
        assert a in {answer["model_version"] for begun, _, answer in load.answers if aborted <= begun < promoted}
        assert {v for t, _, v in ((t, s, x["model_version"]) for t, s, x in load.answers) if promoted <= t < back} == {
            b
        }
        assert load.versions_since(seen) == {a}
        late = max(begun for begun, _, answer in load.answers if answer["model_version"] == b) - published
        print(f"{len(load.answers):,} answers; the last of the model that was taken back began {late:.2f} s after")
        assert late < 10  # promised are two, of a machine that does nothing else
    check_log(project, load, a, b)
    told = journal.read(project.folder / "releases/journal.jsonl")
    assert [entry.action for entry in told.entries] == ["promote", "canary", "abort", "promote", "rollback"]
    assert [entry.why for entry in told.entries[2:]] == ["the drill wants it", "the canary was good", "a complaint"]
    assert told.damaged == ()


def check_log(project: Project, load: Load, a: str, b: str) -> None:
    """Every answer has its row, which names who gave it; the canary's rows stand where their entities belong."""
    settings = LogSettings(
        database=str(project.folder / "logs/predictions.db"), partitions=project.folder / "logs/predictions"
    )
    rows = {row["prediction_id"]: row for row in read_labelled(settings).to_pylist()}
    for _, _, answer in load.answers:
        assert rows[answer["prediction_id"]]["model_version"] == answer["model_version"]
    tried = [row for row in rows.values() if row["experiment"] == "canary-2"]
    assert {(row["arm"], row["model_version"]) for row in tried} == {("champion", a), ("challenger", b)}
    assert all((row["bucket"] < 1000) == (row["arm"] == "challenger") for row in tried)
