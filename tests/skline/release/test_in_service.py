"""Tests of which model is used where none is named: the release's champion, else the admitted artifact."""

import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import skline
from skline.doctor.releases import check as check_releases
from skline.errors import SklineError
from skline.release.in_service import in_service
from skline.release.store import ReleaseStore
from tests.fixtures import demo
from tests.fixtures.releases import ServedReleases

TABLE_ROWS = 5


@pytest.fixture
def project(tmp_path: Path, packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with an admitted artifact and no release."""
    (tmp_path / "artifact").symlink_to(packaged.folder)
    (tmp_path / "artifact.sha256").write_text(packaged.digest + "\n")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    return tmp_path


@pytest.fixture
def releases(project: Path) -> ServedReleases:
    return ServedReleases(project)


def score(project: Path, *options: str) -> tuple[str, str]:
    """Score some rows; return what the command prints, and the version in the metadata of its output."""
    table, out = project / "table.parquet", project / "scores.parquet"
    demo.parts()["test"].head(TABLE_ROWS).to_parquet(table)
    command = [sys.executable, "-m", "skline.cli", "score", str(table), "--out", str(out), *options]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, pq.read_schema(out).metadata[b"skline.model_version"].decode()


def test_without_a_release_it_is_the_admitted_artifact(project: Path, packaged: demo.Packaged) -> None:
    assert in_service(project).digest == packaged.digest
    with pytest.raises(SklineError, match="nothing is released, so there is no challenger"):
        in_service(project, "challenger")


def test_score_and_load_use_the_release_as_the_service_does(
    project: Path, releases: ServedReleases, packaged: demo.Packaged, other_packaged: demo.Packaged
) -> None:
    releases.promote(other_packaged)
    version = other_packaged.version
    printed, recorded = score(project)
    assert f"5 rows scored by {version} (release 1, demo/{other_packaged.digest[:4]})" in printed
    assert recorded == version == skline.load().version
    printed, recorded = score(project, "--artifact", "artifact")
    assert recorded == packaged.version
    assert skline.load("artifact").version == packaged.version


def test_challenger_is_used_if_it_is_named(
    project: Path, releases: ServedReleases, packaged: demo.Packaged, other_packaged: demo.Packaged
) -> None:
    releases.promote(packaged)
    with pytest.raises(SklineError, match="release 1 has no challenger"):
        in_service(project, "challenger")
    releases.start_experiment(other_packaged, "canary", 10)
    assert in_service(project, "challenger").digest == other_packaged.digest
    assert in_service(project).digest == packaged.digest
    assert score(project, "--arm", "challenger")[1] == other_packaged.version


def test_missing_artifact_of_a_release_is_an_error_that_says_how_it_is_fetched(
    project: Path, releases: ServedReleases, packaged: demo.Packaged
) -> None:
    releases.promote(packaged)
    shutil.rmtree(releases.store.artifacts / packaged.digest)
    number = packaged.digest[:4]
    with pytest.raises(SklineError, match=f"is missing.*demo/{number}.*`uv run skline promote {number}` fetches it"):
        in_service(project)
    [finding] = [each for each in check_releases() if each.level == "broken"]
    assert packaged.digest in finding.message
    assert finding.remedy == f"uv run skline promote {number}"


def test_damaged_release_is_an_error_and_not_ignored(project: Path) -> None:
    store = ReleaseStore(project / "releases")
    store.folder.mkdir()
    store.manifest.write_text("{")
    with pytest.raises(SklineError, match=r"release\.json"):
        in_service(project)
