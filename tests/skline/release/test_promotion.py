"""Promotion, with a real registry: what may be promoted, what is refused and in which words."""

import json
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from skline.artifact import Artifact
from skline.release import journal
from skline.stages.train import train
from tests import demo
from tests.skline.release.project import Project, make
from tests.world.pipeline import build_pipeline

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    fitted = train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": 3}, seed=17)
    return demo.package(tmp_path_factory.mktemp("another") / "artifact", fitted)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, packaged: demo.Packaged, another: demo.Packaged) -> Project:
    """Versions: 1 passed; 2 passed against 1; 3 failed; 4 was never judged; 5 passed when there was no champion."""
    made = make(tmp_path_factory.mktemp("project") / "p")
    made.register(packaged, "1")
    made.register(another, "2", against=packaged.digest)
    made.register(another, "3", "failed", packaged.digest)
    made.register(another, "4", None)
    made.register(another, "5")
    return made


def told(project: Project) -> tuple[journal.Entry, ...]:
    return journal.read(project.folder / "releases/journal.jsonl").entries


@pytest.mark.slow
def test_a_life_of_releases(project: Project, packaged: demo.Packaged, another: demo.Packaged) -> None:
    assert "nothing is promoted yet to compare with" in project.refused("promote", "2", "--canary", "10")
    assert "release 1 is in force: promote demo/1" in project.run("promote", "1")
    kept = project.folder / "releases/artifacts" / packaged.digest
    assert Artifact.open(kept, packaged.digest).digest == packaged.digest
    assert project.aliases() == {"champion": "1", "challenger": "5"}

    assert "is what release 1 serves already" in project.refused("promote", "1")
    assert "demo/3 failed its gates (roc_auc)" in project.refused("promote", "3")
    assert "no gate has judged demo/4" in project.refused("promote", "4")
    stale = project.refused("promote", "5")
    assert "demo/5 was judged against no champion" in stale
    assert "--approve NAME --reason WHY" in stale
    assert "has no '77' of the model 'demo'" in project.refused("promote", "77")
    assert len(told(project)) == 1

    project.run("promote", "2", "--canary", "5,20", "--every", "30m", "--reason", "new features")
    assert "canary-2 is running; end it with `skline abort`" in project.refused("promote", "2", "--shadow")
    project.run("promote", "2", "--canary", "50")
    assert project.aliases() == {"champion": "1", "challenger": "2"}
    ramp, step = told(project)[-2:]
    assert (ramp.action, step.action) == ("canary", "ramp")
    assert ramp.release.experiment is not None
    assert step.release.experiment is not None
    assert ramp.release.experiment.name == step.release.experiment.name
    assert ramp.release.experiment.salt == step.release.experiment.salt
    assert [one.weight for one in ramp.release.experiment.steps] == [500, 2000]
    assert [arm.weight for arm in step.release.arms] == [5000, 5000]

    project.run("promote")
    assert project.aliases() == {"champion": "2", "previous": "1"}
    project.run("rollback", "--reason", "a complaint")
    assert project.aliases() == {"champion": "1", "previous": "2"}
    project.run("promote", "5", "--approve", "anna", "--reason", "judged by hand")
    approved = told(project)[-1]
    assert approved.approval is not None
    assert approved.verdict is not None
    assert (approved.approval.name, approved.verdict.stale) == ("anna", True)
    project.run("flag", "explain", "off")
    assert "explain     off" in project.run("flag")
    shown = project.run("releases")
    assert [line[:5] for line in shown.splitlines()] == ["    1", "    2", "    3", "    4", "    5", "    6", "*   7"]
    assert "approved by anna: judged by hand" in shown
    assert "rollback: demo/1 as in release 3, instead of demo/2" in shown


def test_the_report_on_disk_counts_where_the_registry_has_no_verdict(tmp_path: Path, packaged: demo.Packaged) -> None:
    project = make(tmp_path, release="{approval: required, timeout: 60}")
    project.register(packaged, "1", None)
    assert "release.approval is 'required'" in project.refused("promote")
    yes = ("--approve", "anna", "--reason", "why not")
    assert "no gate has judged" in project.refused("promote", *yes)
    finding = {"gate": "roc_auc", "passed": False, "reason": "0.5 is below 0.6"}
    (tmp_path / "reports").mkdir()
    report = tmp_path / "reports/verdict.json"
    report.write_text(json.dumps({"artifact_sha256": packaged.digest, "findings": [finding]}))
    assert "failed its gates (roc_auc)" in project.refused("promote", *yes)
    report.write_text(json.dumps({"artifact_sha256": packaged.digest, "findings": [finding | {"passed": True}]}))
    project.run("promote", *yes)
    assert "an approval needs a name and a reason" in project.refused("promote", "--approve", "anna")


def test_an_artifact_that_was_changed_in_the_registry_is_not_released(tmp_path: Path, packaged: demo.Packaged) -> None:
    project = make(tmp_path)
    project.register(packaged, "1")
    [stored] = tmp_path.rglob("artifact/contract.json")
    stored.write_text("{}")
    assert "contract.json does not have the sha256 of the manifest" in project.refused("promote")
    assert not (tmp_path / "releases/release.json").exists()
    assert not list((tmp_path / "releases/artifacts").iterdir())


@pytest.fixture
def silent() -> Iterator[int]:
    """A port of loopback that takes connections and says nothing, as a network does that drops answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("uri", ["http://127.0.0.1:{port}", "postgresql://u:geheim@127.0.0.1:{port}/x"])
def test_a_registry_that_is_cut_off_is_said_in_time_and_nothing_changes(
    uri: str, silent: int, tmp_path: Path, packaged: demo.Packaged
) -> None:
    project = make(tmp_path, uri.format(port=silent), release="{timeout: 2}")
    done = project.process("promote", "1", MLFLOW_HTTP_REQUEST_MAX_RETRIES="5", MLFLOW_HTTP_REQUEST_TIMEOUT="600")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the registry at")
    assert "does not answer within 2 s; what serves goes on serving" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "geheim" not in done.stderr
    assert not (tmp_path / "releases").exists()


def test_a_registry_that_is_stopped_is_said_in_its_systems_words(tmp_path: Path, packaged: demo.Packaged) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    said = make(tmp_path, f"http://127.0.0.1:{port}").refused("promote", "1")
    assert (
        f"the registry at http://127.0.0.1:{port} cannot be used: [Errno 111] Connection refused; what serves" in said
    )


def test_a_locked_registry_is_said_in_time_and_a_rollback_needs_none(
    packaged: demo.Packaged, another: demo.Packaged, tmp_path: Path
) -> None:
    project = make(tmp_path)
    one, two = project.register(packaged, "1"), project.register(another, "2", against=packaged.digest)
    project.run("promote", one)
    project.run("promote", two)
    lock = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    (tmp_path / "params.yaml").write_text((tmp_path / "params.yaml").read_text().replace("60", "1"))
    try:
        assert "does not answer within 1 s" in project.refused("promote", one)
        said = project.run("rollback")
        assert "release 3 is in force: rollback demo/1" in said
        assert "the registry's aliases were not moved" in said
    finally:
        lock.close()
    (tmp_path / "mlflow.db").unlink()
    (tmp_path / "params.yaml").unlink()
    assert "release 4 is in force" in project.run("rollback", "--to", "2")
