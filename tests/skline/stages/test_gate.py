"""Tests of the stage gate: a candidate becomes the artifact if its gates passed; else the artifact stays."""

from pathlib import Path

import pytest

from skline import paths
from skline.artifact import Artifact, read_digest
from skline.errors import SklineError
from skline.release.verdict import GateResult, Verdict
from skline.stages import gate
from tests.fixtures import demo


@pytest.fixture
def candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> demo.Packaged:
    monkeypatch.chdir(tmp_path)
    packaged = demo.package(paths.CANDIDATE)
    paths.CANDIDATE_DIGEST.write_text(packaged.digest)
    return packaged


def write_verdict(digest: str, *, passed: bool) -> None:
    result = GateResult(gate="floor roc_auc", passed=passed, reason="0.61, at least 0.62")
    paths.REPORTS.mkdir(exist_ok=True)
    paths.VERDICT.write_text(Verdict(artifact_sha256=digest, gates=(result,)).model_dump_json())


def test_candidate_that_passed_becomes_the_artifact_byte_for_byte(candidate: demo.Packaged) -> None:
    write_verdict(candidate.digest, passed=True)
    gate.main()
    assert read_digest(paths.ARTIFACT_DIGEST) == candidate.digest
    assert (
        Artifact.open(paths.ARTIFACT, candidate.digest).content
        == Artifact.open(candidate.folder, candidate.digest).content
    )


def test_candidate_that_failed_a_gate_leaves_the_artifact_as_it_is(candidate: demo.Packaged) -> None:
    paths.ARTIFACT.mkdir()
    (paths.ARTIFACT / "manifest.json").write_text("the admitted one")
    paths.ARTIFACT_DIGEST.write_text("b" * 64)
    write_verdict(candidate.digest, passed=False)
    with pytest.raises(SklineError, match=r"1 of 1 gates failed.*0\.61, at least 0\.62"):
        gate.main()
    assert [path.read_text() for path in paths.ARTIFACT.iterdir()] == ["the admitted one"]
    assert read_digest(paths.ARTIFACT_DIGEST) == "b" * 64


def test_verdict_on_another_candidate_is_rejected(candidate: demo.Packaged) -> None:
    write_verdict("b" * 64, passed=True)
    with pytest.raises(SklineError, match=f"about artifact bbbbbbbbbbbb, not {candidate.digest[:12]}"):
        gate.main()
    assert not paths.ARTIFACT.exists()
