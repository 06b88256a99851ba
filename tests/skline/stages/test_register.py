"""Tests of the stage register: what it records of a version, in the registry and outside of it."""

import datetime as dt

from skline.artifact import Artifact
from skline.release.manifest import Arm, Release
from skline.release.registered import RecordedVerdict
from skline.release.verdict import GateResult, Verdict
from skline.stages.register import build_line, describe_service, verdict_tags
from tests.fixtures import demo

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


def test_tags_name_the_gates_that_failed_and_those_that_could_not_tell() -> None:
    outcomes = {"rows": True, "champion": None, "champion by segment": None, "latency": False}
    gates = tuple(GateResult(gate=gate, passed=passed, reason="") for gate, passed in outcomes.items())
    tags = verdict_tags(Verdict(artifact_sha256="a" * 64, champion_sha256="c" * 64, gates=gates))
    assert tags == {
        "verdict": "failed", "verdict.failures": "latency", "verdict.undecided": "champion; champion by segment",
        "verdict.champion_sha256": "c" * 64,
    }  # fmt: skip


def test_line_of_the_record_has_the_verdict_only_if_it_is_about_the_artifact(packaged: demo.Packaged) -> None:
    manifest = Artifact.open(packaged.folder, packaged.digest).manifest
    gates = (GateResult(gate="rows", passed=True, reason=""), GateResult(gate="champion", passed=None, reason=""))
    verdict = Verdict(artifact_sha256=packaged.digest, gates=gates)
    line = build_line(manifest, packaged.digest, "3", ("0" * 40, True), verdict, "f" * 64, NOW)
    assert (line.model, line.version, line.git_commit, line.git_dirty) == ("demo", "3", "0" * 40, True)
    assert line.made_from == "from commit 000000000000 with uncommitted changes"
    assert (line.artifact_sha256, line.contract_sha256) == (packaged.digest, manifest.contract_sha256)
    assert (line.verdict, line.verdict_sha256) == (RecordedVerdict(passed=True, undecided=("champion",)), "f" * 64)
    other = verdict.model_copy(update={"artifact_sha256": "a" * 64})
    line = build_line(manifest, packaged.digest, "3", (None, None), other, "f" * 64, NOW)
    assert (line.verdict, line.verdict_sha256) == (None, None)
    assert line.made_from == "from no commit"


def test_register_says_which_version_is_in_service_if_it_is_another() -> None:
    champion = Arm(name="champion", version="demo/3", artifact="artifacts/a", sha256="a" * 64, weight=10_000)
    release = Release(number=2, published_at=NOW, arms=(champion,))
    expected = "demo/3 is in service (release 2); `skline promote 4` serves this one"
    assert describe_service(release, "4", "b" * 64) == expected
    assert describe_service(release, "3", "a" * 64) is None
    assert describe_service(None, "4", "b" * 64) is None
