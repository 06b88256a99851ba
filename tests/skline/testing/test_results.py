"""Tests of the checks of results: tests without a packaged model are skipped; a verdict must be about this model."""

from pathlib import Path

import pytest

from skline.release.verdict import GateResult, Verdict
from skline.testing import check_gates, needs_results

DIGEST = "a" * 64


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("artifact/manifest.json", "data/split/test.parquet", "reports/verdict.json"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "artifact.sha256").write_text(DIGEST)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_verdict(project: Path, *, passed: bool, digest: str = DIGEST) -> None:
    gate = GateResult(gate="floor_roc_auc", passed=passed, reason="0.61, at least 0.62")
    verdict = Verdict(artifact_sha256=digest, gates=(gate,))
    (project / "reports/verdict.json").write_text(verdict.model_dump_json())


def test_tests_run_if_all_results_exist(project: Path) -> None:
    assert needs_results().args == (False,)


def test_tests_are_skipped_with_the_missing_files_and_the_command(project: Path) -> None:
    (project / "artifact/manifest.json").unlink()
    mark = needs_results()
    assert mark.args == (True,)
    assert mark.kwargs["reason"].startswith("no artifact/manifest.json in this folder: run `dvc repro`")


def test_model_that_passed_is_accepted(project: Path) -> None:
    write_verdict(project, passed=True)
    check_gates()


def test_failed_gate_is_named(project: Path) -> None:
    write_verdict(project, passed=False)
    with pytest.raises(AssertionError, match=r"floor_roc_auc: 0\.61, at least 0\.62"):
        check_gates()


def test_failed_gate_of_a_newer_candidate_is_named(project: Path) -> None:
    write_verdict(project, passed=False, digest="b" * 64)
    with pytest.raises(AssertionError, match=r"floor_roc_auc: 0\.61, at least 0\.62"):
        check_gates()


def test_verdict_about_another_model_is_rejected(project: Path) -> None:
    write_verdict(project, passed=True, digest="b" * 64)
    with pytest.raises(AssertionError, match="about artifact bbbbbbbbbbbb, not aaaaaaaaaaaa; run `dvc repro`"):
        check_gates()
