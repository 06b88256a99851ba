"""The stages of a registered version as events of OpenLineage: in a file, and sent to a server on loopback."""

import json
from pathlib import Path
from typing import Any

import pytest

from skline.cli import parser
from skline.errors import SklineError
from tests.fixtures.webhook import webhook
from tests.skline.lineage.conftest import Project, register
from tests.skline.lineage.test_data_trace import MD5, commit_results, git

pytest.importorskip("openlineage")

LOCK = f"""
stages:
  ingest:
    deps: [{{path: data/source, md5: {"a" * 32}}}]
    outs: [{{path: data/raw, md5: {MD5}.dir}}, {{path: reports/lineage.json}}]
  train:
    deps: [{{path: data/raw/table.parquet, md5: {"b" * 32}}}]
    outs: [{{path: models/fitted.joblib, md5: {"c" * 32}}}]
  register:
    deps: [{{path: artifact, md5: {"d" * 32}.dir}}]
"""


@pytest.fixture
def committed(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project as the current folder, with the results of its registered version in git."""
    git(project.folder, "init", "-q")
    (project.folder / "engine.json").write_text('{"version": "1.2.3", "stages": {}}')
    commit_results(project, project.packaged.digest, MD5)
    (project.folder / "dvc.lock").write_text(LOCK)
    git(project.folder, "add", "dvc.lock", "engine.json")
    git(project.folder, "commit", "-q", "--amend", "--no-edit")
    monkeypatch.chdir(project.folder)
    return project


def emit(target: str, artifact: str = "3") -> int:
    arguments = parser().parse_args(["trace", "--artifact", artifact, "--openlineage", target])
    status: int = arguments.run(arguments)
    return status


def names(datasets: list[dict[str, Any]]) -> dict[str, str]:
    return {each["name"]: each["facets"]["version"]["datasetVersion"] for each in datasets}


@pytest.mark.usefixtures("committed")
def test_events_have_inputs_and_outputs_with_digests(logged: Project) -> None:
    assert emit("events.jsonl") == 0
    events = [json.loads(line) for line in Path("events.jsonl").read_text().splitlines()]
    assert [(event["job"]["name"], event["eventType"]) for event in events] == [
        (f"demo.{stage}", state) for stage in ("ingest", "train", "register") for state in ("START", "COMPLETE")
    ]
    ingest, train, registered = events[1::2]
    assert names(ingest["inputs"]) == {"data/source": "a" * 32, "t.csv": MD5 * 2}
    assert names(ingest["outputs"]) == {"data/raw": f"{MD5}.dir", "data/raw/table.parquet": "b" * 32}
    assert names(train["inputs"]) == {"data/raw/table.parquet": "b" * 32}
    assert names(registered["outputs"]) == {"models:/demo/3": logged.packaged.digest}
    assert {event["eventTime"] for event in events} == {"2026-11-01T00:00:00+00:00"}
    assert {event["producer"] for event in events} == {"urn:skline:1.2.3"}
    assert events[0]["run"]["runId"] == events[1]["run"]["runId"] != train["run"]["runId"]
    before = Path("events.jsonl").read_bytes()
    emit("events.jsonl")
    assert Path("events.jsonl").read_bytes() == before


@pytest.mark.usefixtures("committed")
def test_events_are_sent_to_a_server_and_a_rejection_is_an_error() -> None:
    with webhook() as server:
        assert emit(server.url) == 0
        assert len(server.bodies) == 6
        server.responses = [422]
        with pytest.raises(SklineError, match="did not accept the events: 422 Client Error"):
            emit(server.url)


@pytest.mark.parametrize(
    ("artifact", "message"), [("2" * 64, "events are of registered versions"), ("4", "no commit here records")]
)
def test_version_without_recorded_stages_is_rejected(artifact: str, message: str, committed: Project) -> None:
    register(committed.store, committed.packaged, artifact_sha256="4" * 64, version="4")
    with pytest.raises(SklineError, match=message):
        emit("events.jsonl", artifact)
    assert not Path("events.jsonl").exists()


def test_option_needs_an_artifact() -> None:
    arguments = parser().parse_args(["trace", "0" * 32, "--openlineage", "events.jsonl"])
    with pytest.raises(SklineError, match="--openlineage needs --artifact"):
        arguments.run(arguments)
