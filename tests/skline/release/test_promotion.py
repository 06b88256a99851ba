"""Promotion with a real registry: which versions are promoted, and which are rejected with which message."""

import datetime as dt
import json
import os
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import pytest

from skline import paths
from skline.artifact import Artifact
from skline.canary_limits import Guards
from skline.errors import SklineError
from skline.files import sha256
from skline.registry.record import open_client
from skline.registry.versions import Version
from skline.release.assessment import RejectedSince, check_verdict, check_version, find_rejection
from skline.release.experiment import Design
from skline.release.journal import Approval, Entry, read_journal
from skline.release.promotion import (
    PromotionPlan,
    promote,
    require_look_size,
)
from skline.release.registered import RecordedVerdict, RegisteredVersion, record_version
from skline.release.store import ReleaseStore
from skline.scoring.golden_rows import choose_golden_rows
from skline.stages.train import train
from tests.fixtures import demo
from tests.fixtures.releases import ServedReleases
from tests.fixtures.sample_project.pipeline import build_pipeline
from tests.skline.release.project import Project, make, registered_version

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    fitted = train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": 3}, seed=17)
    return demo.package(tmp_path_factory.mktemp("another") / "artifact", fitted)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, packaged: demo.Packaged, another: demo.Packaged) -> Project:
    """Return a project with versions 1 (passed), 2 (passed against 1), 3 (failed), 4 (no verdict), 5 (passed alone)."""
    folder = tmp_path_factory.mktemp("project")
    project = make(folder / "p")
    # The record holds one verdict for each artifact.
    parts = demo.parts()["train"], demo.parts()["test"]
    failed, unchecked, alone = (
        demo.package(folder / str(count), rows=choose_golden_rows(*parts, demo.contract(), count, seed=17))
        for count in (21, 22, 23)
    )
    project.register(packaged, "1")
    project.register(another, "2", champion=packaged.digest)
    project.register(failed, "3", "failed", packaged.digest)
    project.register(unchecked, "4", None)
    project.register(alone, "5", undecided="champion")
    return project


def entries_of(project: Project) -> tuple[Entry, ...]:
    return read_journal(project.folder / "releases/journal.jsonl").entries


@pytest.mark.slow
def test_promote_canary_ramp_rollback_approval_and_flag_in_sequence(
    project: Project, packaged: demo.Packaged, another: demo.Packaged
) -> None:
    assert "nothing is promoted yet to compare with" in project.error_of("promote", "2", "--canary", "10")
    assert "release 1 is published: promote demo/1" in project.run("promote", "1")
    kept = project.folder / "releases/artifacts" / packaged.digest
    assert Artifact.open(kept, packaged.digest).digest == packaged.digest
    assert project.aliases() == {"champion": "1", "challenger": "5"}

    assert "is what release 1 serves already" in project.error_of("promote", "1")
    shutil.rmtree(kept)
    assert "fetched the artifact of demo/1 again" in project.run("promote", "1")
    assert Artifact.open(kept, packaged.digest).digest == packaged.digest
    assert "demo/3 failed its gates (roc_auc)" in project.error_of("promote", "3")
    assert "demo/4 has no verdict of the gates" in project.error_of("promote", "4")
    stale = project.error_of("promote", "5")
    assert "demo/5 was compared with no champion, and the champion is demo/1 now" in stale
    assert "--approve NAME --reason WHY" in stale
    assert "dvc repro" not in stale  # it assesses what the files of the project make
    assert (
        "has no '77' of the model 'demo'; the newest version is 5, champion is 1, challenger is 5; name one of these"
        in project.error_of("promote", "77")
    )
    assert len(entries_of(project)) == 1

    project.run("promote", "2", "--canary", "5,20", "--every", "30m", "--reason", "new features")
    assert "canary-2 is running; end it with `uv run skline abort`" in project.error_of("promote", "2", "--shadow")
    project.run("promote", "2", "--canary", "50")
    assert project.aliases() == {"champion": "1", "challenger": "2"}
    ramp, step = entries_of(project)[-2:]
    assert (ramp.action, step.action) == ("canary", "ramp")
    assert ramp.release.experiment is not None
    assert step.release.experiment is not None
    assert ramp.release.experiment.name == step.release.experiment.name
    assert ramp.release.experiment.salt == step.release.experiment.salt
    assert [each.weight for each in ramp.release.experiment.steps] == [500, 2000]
    assert [arm.weight for arm in step.release.arms] == [5000, 5000]

    project.run("promote")
    assert project.aliases() == {"champion": "2", "previous": "1"}
    project.run("rollback", "--reason", "a complaint")
    assert project.aliases() == {"champion": "1", "previous": "2"}
    output = project.run("promote", "5", "--approve", "anna", "--reason", "assessed by hand")
    assert "note: undecided gates of demo/5: champion" in output
    approved = entries_of(project)[-1]
    assert approved.approval is not None
    assert approved.verdict is not None
    assert (approved.approval.name, approved.verdict.stale) == ("anna", True)
    project.run("flag", "explain", "off")
    assert "explain     off" in project.run("flag")
    output = project.run("releases")
    assert [line[:5] for line in output.splitlines()] == ["    1", "    2", "    3", "    4", "    5", "    6", "*   7"]
    assert "approved by anna: assessed by hand" in output
    assert "rollback: demo/1 as in release 3, instead of demo/2" in output


def test_the_verdict_on_disk_is_used_where_the_registry_has_none(tmp_path: Path, packaged: demo.Packaged) -> None:
    project = make(tmp_path, release="{approval: required, timeout: 60}")
    project.register(packaged, "1", None)
    assert "release.approval is 'required'" in project.error_of("promote")
    approval = ("--approve", "anna", "--reason", "why not")
    assert "has no verdict of the gates" in project.error_of("promote", *approval)
    result = {"gate": "roc_auc", "passed": False, "reason": "0.5 is below 0.6"}
    (tmp_path / "reports").mkdir()
    report = tmp_path / "reports/verdict.json"
    report.write_text(json.dumps({"artifact_sha256": packaged.digest, "gates": [result]}))
    assert "failed its gates (roc_auc)" in project.error_of("promote", *approval)
    undecided = {"gate": "champion", "passed": None, "reason": "too few rows"}
    gates = [result | {"passed": True}, undecided]
    report.write_text(json.dumps({"artifact_sha256": packaged.digest, "gates": gates}))
    assert "note: undecided gates of demo/1: champion; see reports/report.html\n" in project.run("promote", *approval)
    assert "an approval needs a name and a reason" in project.error_of("promote", "--approve", "anna")


def assessed(folder: Path, digest: str, *, passed: bool) -> tuple[Version, RegisteredVersion, Path]:
    """Return a version that passed its gates when it was registered, its line, and a newer verdict in `folder`."""
    line = RegisteredVersion(
        time=dt.datetime.now(dt.UTC), model="demo", version="1", artifact_sha256="a" * 64, contract_sha256="c",
        git_commit=None, verdict=RecordedVerdict(passed=True), verdict_sha256=None,
    )  # fmt: skip
    gate = {"gate": "roc_auc", "passed": passed, "reason": "0.5 is below 0.9"}
    report = folder / "reports/verdict.json"
    report.parent.mkdir()
    report.write_text(json.dumps({"artifact_sha256": digest, "gates": [gate]}))
    return Version("demo", "1", "run", "a" * 64, None, "", ""), line, report


def test_a_registered_version_that_fails_the_newest_assessment_needs_an_approval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    version, line, _ = assessed(tmp_path, "a" * 64, passed=False)
    record_version(paths.REGISTERED, line)
    check = partial(check_version, ReleaseStore(), version, None, accepted_digest=None)
    with pytest.raises(RejectedSince) as error:
        check(approval=None)
    assert "demo/1 passed its gates when it was registered, and fails them in the newest assessment (roc_auc)" in str(
        error.value
    )
    assert "run `dvc repro`, or approve it with --approve NAME --reason WHY" in str(error.value)
    verdict, notes = check(approval=Approval(name="anna", reason="the limit is for the next model"))
    assert (verdict.passed, verdict.source) == (False, "reports/verdict.json")
    assert notes == ["demo/1 failed its gates in reports/verdict.json, and is published as approved"]


@pytest.mark.parametrize("file", ["missing", "unreadable", "of another artifact", "passed", "older"])
def test_a_verdict_file_without_a_newer_failure_does_not_reject_a_registered_version(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    digest = ("b" if file == "of another artifact" else "a") * 64
    version, line, report = assessed(tmp_path, digest, passed=file == "passed")
    if file == "missing":
        report.unlink()
    if file == "unreadable":
        report.write_text("{")
    if file == "older":
        os.utime(report, (0, 0))
    assert find_rejection(version, line) is None
    assert check_verdict(version, line, None, None, {})[0].passed


def test_a_version_that_was_rolled_back_and_assessed_as_champion_names_the_release_to_return_to(
    tmp_path: Path, packaged: demo.Packaged, another: demo.Packaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    releases = ServedReleases(tmp_path)
    releases.promote(packaged)
    releases.promote(another)
    releases.store.rollback(None, "a complaint")
    tags = {
        "verdict": "passed", "verdict.failures": "", "verdict.undecided": "",
        "verdict.champion_sha256": another.digest,
    }  # fmt: skip
    record_version(releases.store.registered, registered_version(another, "3", tags))
    version = Version("demo", "3", "run", another.digest, "passed", "", another.digest)

    class OneVersion:
        def find(self, _: str | None) -> Version:
            return version

    registry: Any = OneVersion()
    with pytest.raises(SklineError) as error:
        promote(
            releases.store, registry, "3", PromotionPlan(), None, "", approval_required=False, guards=Guards()
        )  # fmt: skip
    assert "`skline rollback --to 2` returns to the release that served it; otherwise approve" in str(error.value)


def test_an_artifact_that_was_changed_in_the_registry_is_rejected(tmp_path: Path, packaged: demo.Packaged) -> None:
    project = make(tmp_path)
    project.register(packaged, "1")
    [stored] = tmp_path.rglob("artifact/contract.json")
    stored.write_text("{}")
    assert "contract.json does not have the sha256 of the manifest" in project.error_of("promote")
    assert not (tmp_path / "releases/release.json").exists()
    assert not list((tmp_path / "releases/artifacts").iterdir())


@pytest.fixture
def unresponsive_port() -> Iterator[int]:
    """Yield a loopback port that accepts connections and never responds, as behind a network that drops packets."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("uri", ["http://127.0.0.1:{port}", "postgresql://u:geheim@127.0.0.1:{port}/x"])
def test_an_unresponsive_registry_is_reported_within_the_timeout_and_nothing_changes(
    uri: str, unresponsive_port: int, tmp_path: Path, packaged: demo.Packaged
) -> None:
    project = make(tmp_path, uri.format(port=unresponsive_port), release="{timeout: 2}")
    process = project.run_process(
        "promote", "1", MLFLOW_HTTP_REQUEST_MAX_RETRIES="5", MLFLOW_HTTP_REQUEST_TIMEOUT="600"
    )
    assert process.returncode == 1
    progress, error = process.stderr.splitlines()
    assert progress.startswith("opening the registry at")
    assert error.startswith("error: the registry at")
    assert "did not respond within 2 s; services keep their release" in error
    assert "geheim" not in process.stderr
    assert not (tmp_path / "releases").exists()


@pytest.mark.parametrize("port", ["54x2", "99999", "geheim"])
@pytest.mark.parametrize("scheme", ["postgresql", "http"])
def test_an_address_of_the_registry_with_an_invalid_port_is_one_line_without_the_password(
    scheme: str, port: str, tmp_path: Path
) -> None:
    message = make(tmp_path, f"{scheme}://u:geheim@127.0.0.1:{port}/x").error_of("promote", "1")
    assert message.startswith("MLFLOW_TRACKING_URI, or register.tracking_uri in params.yaml: the host or the port")
    assert "geheim" not in message


def test_a_stopped_registry_is_reported_with_the_error_of_the_system(tmp_path: Path, packaged: demo.Packaged) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    message = make(tmp_path, f"http://127.0.0.1:{port}").error_of("promote", "1")
    assert (
        f"the registry at http://127.0.0.1:{port} cannot be used: [Errno 111] Connection refused; services keep"
        in message
    )


def test_a_locked_registry_is_reported_within_the_timeout_and_a_rollback_works_without_it(
    packaged: demo.Packaged, another: demo.Packaged, tmp_path: Path
) -> None:
    project = make(tmp_path)
    one, two = project.register(packaged, "1"), project.register(another, "2", champion=packaged.digest)
    project.run("promote", one)
    project.run("promote", two)
    lock = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    (tmp_path / "params.yaml").write_text((tmp_path / "params.yaml").read_text().replace("60", "1"))
    try:
        assert "did not respond within 1 s" in project.error_of("promote", one)
        output = project.run("rollback")
        assert "release 3 is published: rollback demo/1" in output
        assert "the registry's aliases were not updated" in output
    finally:
        lock.close()
    (tmp_path / "mlflow.db").unlink()
    (tmp_path / "params.yaml").unlink()
    assert "release 4 is published" in project.run("rollback", "--to", "2")


def test_an_ab_test_whose_looks_have_too_few_entities_is_rejected() -> None:
    design = Design(kpi="label", better="higher", units=1_000, looks=5)
    require_look_size(PromotionPlan("ab", share=50, design=design))
    with pytest.raises(SklineError, match="the first of 5 looks has 20 entities in the smaller arm, and it needs 25"):
        require_look_size(PromotionPlan("ab", share=90, design=design))


class RunsCode:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def hostile(packaged: demo.Packaged, folder: Path, marker: Path) -> demo.Packaged:
    """Return a well-formed artifact with a digest of its own, whose pipeline runs code when it is unpickled."""
    shutil.copytree(packaged.folder, folder)
    joblib.dump(RunsCode(marker), folder / "pipeline.joblib")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["pipeline.joblib"] = sha256(folder / "pipeline.joblib")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return replace(packaged, folder=folder, digest=sha256(folder / "manifest.json"))


def test_a_version_that_only_the_registry_knows_is_not_fetched(
    tmp_path: Path, packaged: demo.Packaged, another: demo.Packaged
) -> None:
    project = make(tmp_path / "project")
    project.register(another, "1")
    ServedReleases(project.folder).promote(another)
    unpickled = tmp_path / "unpickled"
    attack = hostile(packaged, tmp_path / "artifact", unpickled)
    version = project.register(attack, "2", champion=another.digest, recorded=False)
    (project.folder / "rows.csv").write_text("")
    for command in (
        ("promote", version), ("promote", version, "--canary", "10"), ("promote", version, "--shadow"),
        ("promote", version, "--ab", "--kpi", "brier", "--entities", "900"),
        ("score", "rows.csv", "--out", "out.csv", "--version", version), ("shadow", version),
    ):  # fmt: skip
        message = project.error_of(*command)
        assert f"demo/{version} has the digest {attack.digest[:12]}… in the registry" in message
        assert "registered.jsonl does not list among its 1 lines. It was not fetched" in message
        assert attack.digest not in message  # nothing to copy into --accept-digest
    assert not unpickled.exists()
    Artifact.open(attack.folder, attack.digest).load_pipeline()
    assert unpickled.exists()  # only the digest has kept the code from running
    assert [path.name for path in (project.folder / "releases/artifacts").iterdir()] == [another.digest]
    assert len(entries_of(project)) == 1


def test_a_digest_that_a_person_accepts_is_fetched_and_the_journal_says_so(
    tmp_path: Path, packaged: demo.Packaged, another: demo.Packaged
) -> None:
    project = make(tmp_path / "project")
    version = project.register(packaged, "1", recorded=False)
    assert "there is no releases/registered.jsonl" in project.error_of("promote", version)
    accept = ("promote", version, "--accept-digest", f"sha256:{packaged.digest}")
    assert "--accept-digest needs --reason WHY" in project.error_of(*accept)
    other = ("promote", version, "--accept-digest", another.digest, "--reason", "x")
    assert f"and not the accepted {another.digest[:12]}" in project.error_of(*other)
    assert "is not a digest" in project.error_of("promote", version, "--accept-digest", "sha256:12")
    without_version = ("score", "rows.csv", "--out", "out.csv", "--accept-digest", packaged.digest)
    assert "--accept-digest needs --version" in project.error_of(*without_version)
    project.run(*accept, "--reason", "compared with artifact.sha256 of the build")
    [entry] = entries_of(project)
    assert (entry.accepted_digest, entry.why) == (packaged.digest, "compared with artifact.sha256 of the build")
    assert entry.verdict is not None
    assert entry.verdict.source == "registry"
    assert "its digest was accepted by hand; compared with" in project.run("releases")


def test_a_verdict_or_digest_that_was_changed_in_the_registry_does_not_count(
    tmp_path: Path, packaged: demo.Packaged, another: demo.Packaged
) -> None:
    project = make(tmp_path)
    failed, passed = project.register(packaged, "1", "failed"), project.register(another, "2")
    with open_client(project.uri, 20) as mlflow_client:
        mlflow_client.set_model_version_tag("demo", failed, "verdict", "passed")
        mlflow_client.set_model_version_tag("demo", passed, "artifact_sha256", "f" * 64)
    assert "demo/1 failed its gates (roc_auc)" in project.error_of("promote", failed)
    assert f"lists it with {another.digest[:12]}…: the registry was changed" in project.error_of("promote", passed)
    with open_client(project.uri, 20) as mlflow_client:
        mlflow_client.set_model_version_tag("demo", passed, "artifact_sha256", packaged.digest)
    assert "demo/2 failed its gates (roc_auc)" in project.error_of("promote", passed)
