"""Logged predictions computed again: equal as they were written, different once the row is changed."""

import dataclasses
import json
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline import artifact
from skline.artifact import Artifact
from skline.contract.frames import to_json_rows
from skline.ids import new_prediction_id
from skline.lineage.artifact_trace import find_digest
from skline.lineage.artifacts import ArtifactStore
from skline.lineage.predictions import LoggedPrediction
from skline.lineage.recomputation import Recomputer
from skline.lineage.text import prediction_text
from skline.lineage.trace import Trace, trace_predictions
from skline.logs.settings import LogSettings
from skline.registry.versions import Registry
from skline.release.store import ReleaseStore
from skline.scoring.golden_verification import parse_rows
from skline.scoring.load import load_plan_or_pipeline
from skline.testing.rows import random_rows
from tests.fixtures import demo
from tests.fixtures.releases import ServedReleases, wait_for_release
from tests.fixtures.service import logged_rows
from tests.skline.lineage.conftest import NOW, Project, json_rows
from tests.skline.release.project import make


def trace_one(project: Project, prediction_id: str) -> Trace:
    found = trace_predictions(project.log, project.store, [prediction_id], project.folder)[prediction_id]
    assert found is not None
    return found


def test_every_prediction_of_the_service_is_equal_to_the_last_bit(logged: Project) -> None:
    ids = [prediction_id for group in logged.ids.values() for prediction_id in group]
    traces = trace_predictions(logged.log, logged.store, [*ids, "unknown"], logged.folder)
    assert traces.pop("unknown") is None
    assert list(traces) == ids
    for trace in traces.values():
        assert trace is not None
        assert (trace.recomputation.outcome, trace.recomputation.reason) == ("equal", "to the last bit")
        assert trace.recomputation.prediction == trace.prediction.prediction
        assert trace.recomputation.probabilities == trace.prediction.probabilities
    assert len(traces) == 60


def test_trace_has_labels_in_order_and_what_is_recorded_of_the_model(logged: Project) -> None:
    trace = trace_one(logged, logged.ids["sealed"][0])
    assert [(label.label, label.valid) for label in trace.labels] == [(False, False), (True, True)]
    assert trace.model is not None
    assert trace.model.artifact_digest == logged.packaged.digest
    assert trace.model.confirmed_by == (str(logged.store.releases.registered),)
    assert [line.version for line in trace.model.registered] == ["3"]
    assert trace.model.manifest is not None
    assert trace.model.manifest.params_sha256 == "0" * 64
    assert trace.model.registry is None


@pytest.mark.parametrize(
    ("column", "change", "expected"),
    [
        ("probabilities", lambda value: {name: float(np.nextafter(p, 1)) for name, p in value.items()}, "now"),
        ("prediction", lambda value: not value, "now"),
        ("inputs", lambda value: value | {"distance": 4_000}, "now"),
        ("inputs", lambda value: value | {"distance": -1}, "distance: Input should be greater than"),
    ],
)
def test_changed_value_is_different(project: Project, column: str, change: Any, expected: str) -> None:
    prediction_id = project.ids["single"][0]
    stored = getattr(trace_one(project, prediction_id).prediction, column)
    project.change(prediction_id, **{column: json.dumps(change(stored))})
    trace = trace_one(project, prediction_id)
    assert trace.recomputation.outcome == "different"
    assert expected in trace.recomputation.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scoring_path": "fixed", "artifact_digest": ""}, "the fallback fixed made this prediction"),
        ({"artifact_digest": ""}, "the log names no artifact"),
        ({"inputs": "{"}, "the logged inputs are no JSON object"),
        ({"inputs": '{"carrier": "UA"}'}, "the log does not hold the inputs flight_date, origin"),
    ],
)
def test_what_cannot_be_compared_says_why(project: Project, changes: dict[str, str], reason: str) -> None:
    prediction_id = project.ids["single"][0]
    project.change(prediction_id, **changes)
    result = trace_one(project, prediction_id).recomputation
    assert result.outcome == "not comparable"
    assert result.reason.startswith(reason)


def test_artifact_that_is_gone_or_changed_is_not_comparable(project: Project) -> None:
    prediction_id, digest = project.ids["batch"][0], project.packaged.digest
    folder = project.store.releases.artifacts / digest
    with (folder / artifact.PIPELINE).open("ab") as file:
        file.write(b"\0")
    result = trace_one(project, prediction_id).recomputation
    assert result.outcome == "not comparable"
    assert "does not have the sha256 of the manifest" in result.reason
    shutil.rmtree(folder)
    result = trace_one(project, prediction_id).recomputation
    assert result.outcome == "not comparable"
    assert "is not here; it is demo/3 in the registry, which is not used here" in result.reason


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # MLflow and SQLAlchemy deprecate what MLflow uses
def test_registered_version_that_is_not_here_is_fetched(logged: Project, tmp_path: Path) -> None:
    registered = make(tmp_path / "registry")
    number = registered.register(logged.packaged, "1")
    registry = Registry(registered.uri, "another", 60, 60)
    store = ArtifactStore(ReleaseStore(registered.folder / "releases"), (), tmp_path / "none", registry)
    [trace] = trace_predictions(logged.log, store, logged.ids["single"][:1], tmp_path).values()
    assert trace is not None
    assert trace.recomputation.outcome == "equal"
    assert trace.model is not None
    assert trace.model.folders == (store.releases.artifacts / logged.packaged.digest,)
    assert trace.model.registry is not None
    assert (trace.model.registry.label, trace.model.registry.aliases) == (f"demo/{number}", ("challenger",))
    assert trace.model.registry.run_id
    assert find_digest(store, number) == logged.packaged.digest


def test_champion_and_shadow_of_a_release_are_equal_each_by_its_artifact(
    packaged: demo.Packaged, other_packaged: demo.Packaged, tmp_path: Path
) -> None:
    served = ServedReleases(tmp_path)
    served.log = LogSettings(database=str(tmp_path / "log.db"), partitions=tmp_path / "days", batch_ms=10)
    served.promote(packaged)
    number = served.start_experiment(other_packaged, "shadow")
    with served.serve() as client:
        wait_for_release(client, number)
        sent = client.post("/predict/batch", json=json_rows(12)).raise_for_status().json()["predictions"]
        ids = [each["prediction_id"] + suffix for each in sent for suffix in ("", ".shadow")]
        logged_rows(tmp_path, len(ids))
    store = ArtifactStore(served.store, (), tmp_path / "none")
    traces = [trace for trace in trace_predictions(served.log, store, ids, tmp_path).values() if trace is not None]
    assert [trace.recomputation.outcome for trace in traces] == ["equal"] * 24
    champion, shadow = traces[:2]
    assert (champion.prediction.role, shadow.prediction.role) == ("champion", "shadow")
    assert champion.model is not None
    assert shadow.model is not None
    assert champion.model.confirmed_by == (f"release {number - 1}, {number}",)
    assert shadow.model.served_as == (f"challenger of release {number}",)
    assert [(each.served_as.release, each.served_as.arm) for each in (champion, shadow) if each.served_as] == [
        (number, "champion"), (number, "challenger")
    ]  # fmt: skip
    assert shadow.model.artifact_digest == other_packaged.digest


def test_a_prediction_names_the_release_of_its_time_and_the_model_that_of_now(
    packaged: demo.Packaged, other_packaged: demo.Packaged, tmp_path: Path
) -> None:
    served = ServedReleases(tmp_path)
    served.log = LogSettings(database=str(tmp_path / "log.db"), partitions=tmp_path / "days", batch_ms=10)
    served.promote(packaged)
    with served.serve() as client:
        wait_for_release(client, 1)
        prediction_id = client.post("/predict", json=json_rows(1)[0]).raise_for_status().json()["prediction_id"]
        logged_rows(tmp_path, 1)
    store = ArtifactStore(served.store, (), tmp_path / "none")
    served.promote(other_packaged)
    [trace] = trace_predictions(served.log, store, [prediction_id], tmp_path).values()
    assert trace is not None
    lines = prediction_text(trace).splitlines()
    assert any(re.match("served as +champion of release 1, published ", line) for line in lines), lines
    assert not any(line.startswith("serves now as") for line in lines), lines
    served.promote(packaged)
    [trace] = trace_predictions(served.log, store, [prediction_id], tmp_path).values()
    assert trace is not None
    lines = prediction_text(trace).splitlines()
    assert any(re.match("served as +champion of release 1, published ", line) for line in lines), lines
    assert any(re.fullmatch("serves now as +champion of release 3", line) for line in lines), lines


class Payload:
    """A pickle of it writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_artifact_that_only_the_log_names_is_not_deserialised(project: Project, tmp_path: Path) -> None:
    written = tmp_path / "written"
    source = Artifact.open(project.packaged.folder, project.packaged.digest)
    joblib.dump(Payload(written), tmp_path / "payload")
    payload = (tmp_path / "payload").read_bytes()
    files = {**source.content, artifact.PIPELINE: payload, artifact.PLAN: payload}
    del files[artifact.MANIFEST]
    metadata = source.manifest.model_dump(exclude={"files", "format"})
    digest = artifact.write(tmp_path / "evil", files, metadata)
    shutil.copytree(tmp_path / "evil", project.store.releases.artifacts / digest)
    prediction_id = project.ids["single"][0]
    project.change(prediction_id, artifact_digest=digest)
    result = trace_one(project, prediction_id).recomputation
    assert result.outcome == "not comparable"
    assert "only the log names the artifact" in result.reason
    assert not written.exists()
    # A person who accepts the digest has it loaded: the payload is real.
    store = dataclasses.replace(project.store, accepted=digest)
    accepted = trace_predictions(project.log, store, [prediction_id], project.folder)[prediction_id]
    assert accepted is not None
    assert written.exists()


def test_replaced_artifact_is_not_deserialised(project: Project, other_packaged: demo.Packaged) -> None:
    folder = project.store.releases.artifacts / project.packaged.digest
    shutil.rmtree(folder)
    shutil.copytree(other_packaged.folder, folder)
    result = trace_one(project, project.ids["single"][0]).recomputation
    assert result.outcome == "not comparable"
    assert "is not here" in result.reason


def test_pipeline_that_no_longer_gives_its_golden_rows_says_what_it_gives(project: Project) -> None:
    source = Artifact.open(project.packaged.folder, project.packaged.digest)
    expected = [not prediction for prediction in source.golden.predictions]
    golden = source.golden.model_copy(update={"predictions": expected})
    files = {**source.content, artifact.GOLDEN: golden.model_dump_json().encode()}
    del files[artifact.MANIFEST], files[artifact.PLAN]
    metadata = source.manifest.model_dump(exclude={"files", "format"})
    folder = project.folder / "artifact"
    digest = artifact.write(folder, files, metadata)
    (project.folder / "artifact.sha256").write_text(digest)
    prediction_id = project.ids["single"][0]
    project.change(prediction_id, artifact_digest=digest)
    result = trace_one(project, prediction_id).recomputation
    assert result.outcome == "equal"  # the pipeline still predicts what the plan predicted
    assert "a plan scored it, and the pipeline scores it here (golden row 0 gets" in result.reason
    project.change(prediction_id, prediction="null")
    result = trace_one(project, prediction_id).recomputation
    assert result.outcome == "different"
    assert result.prediction in (True, False)


def test_other_library_is_named_where_a_prediction_differs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    prediction_id = project.ids["single"][0]
    project.change(prediction_id, prediction="null")
    unexplained = trace_one(project, prediction_id)
    assert unexplained.differences == ()
    assert "differs here     nothing that is recorded" in prediction_text(unexplained)
    monkeypatch.setattr("skline.lineage.differences.version", lambda name: "0.1")
    differences = trace_one(project, prediction_id).differences
    assert any(text.startswith("scikit-learn ") and text.endswith("(installed: 0.1)") for text in differences)


@cache
def load(packaged: demo.Packaged) -> tuple[Recomputer, Any]:
    """Return the model, and the plan that the service scores by."""
    opened = Artifact.open(packaged.folder, packaged.digest)
    return Recomputer(opened), load_plan_or_pipeline(opened)[0]


def logged_prediction(model: Recomputer, row: dict[str, Any], scored: Any, path: str = "plan") -> LoggedPrediction:
    """Return the logged prediction of a row, as it is read from the log."""
    names = model.artifact.contract.class_names or []
    prediction, probabilities = scored
    by_class = None if probabilities is None else dict(zip(names, probabilities, strict=True))
    return LoggedPrediction(
        new_prediction_id(), NOW, model.artifact.version, model.artifact.digest, path, row, prediction,
        json.loads(json.dumps(by_class)), *[None] * 9,
    )  # fmt: skip


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_row_of_the_contract_is_equal_and_one_changed_bit_is_not(packaged: demo.Packaged, seed: int) -> None:
    model, plan = load(packaged)
    contract = model.artifact.contract
    rows = to_json_rows(contract.inputs, random_rows(contract, 20, seed))
    scores = plan.score_rows(parse_rows(contract, rows))
    for index, row in enumerate(rows):
        logged = logged_prediction(model, row, scores.row(index))
        assert model.recompute(logged).outcome == "equal"
        name = (contract.class_names or [])[index % 2]
        changed = logged.probabilities | {name: float(np.nextafter(logged.probabilities[name], 2))}
        assert model.recompute(dataclasses.replace(logged, probabilities=changed)).outcome == "different"


def test_pipeline_path_allows_the_last_bits_that_depend_on_the_batch(project: Project) -> None:
    model = Recomputer(Artifact.open(project.packaged.folder, project.packaged.digest))
    logged = trace_one(project, project.ids["batch"][0]).prediction
    by_fallback = dataclasses.replace(logged, scoring_path="previous")
    assert model.recompute(by_fallback).outcome == "equal"
    by_pipeline = dataclasses.replace(logged, scoring_path="pipeline")
    assert model.recompute(by_pipeline).outcome == "equal"
    nearly = {name: float(np.nextafter(value, 2)) for name, value in logged.probabilities.items()}
    result = model.recompute(dataclasses.replace(by_pipeline, probabilities=nearly))
    assert result.outcome == "equal"
    assert result.reason.startswith("within 64 units in the last place")
    far = {name: value + 1e-9 for name, value in logged.probabilities.items()}
    assert model.recompute(dataclasses.replace(by_pipeline, probabilities=far)).outcome == "different"
