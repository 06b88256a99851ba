"""A service that follows the release manifest: each release is served as a whole, or not at all."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from skline.artifact import write
from skline.errors import SklineError
from skline.files import write_bytes, write_text
from skline.release.store import champion_only
from tests.fixtures import demo
from tests.fixtures.releases import ServedReleases, version_of, wait_for_info, wait_for_release
from tests.fixtures.service import metric


def test_rollback_serves_the_previous_model_from_memory(
    releases: ServedReleases, packaged: demo.Packaged, other_packaged: demo.Packaged, example: dict[str, Any]
) -> None:
    with releases.serve() as client:
        assert wait_for_release(client, 1)["model_version"] == version_of(packaged)
        first = client.post("/predict", json=example).json()
        wait_for_release(client, releases.promote(other_packaged))
        second = client.post("/predict", json=example).json()
        assert second["model_version"] == version_of(other_packaged)
        assert second["probabilities"] != first["probabilities"]
        shutil.rmtree(releases.store.artifacts / packaged.digest)
        number = releases.promote(packaged)
        shutil.rmtree(releases.store.artifacts / packaged.digest)
        wait_for_release(client, number)
        again = client.post("/predict", json=example).json()
        assert again["probabilities"] == first["probabilities"]
        assert metric(client, "skline_release_number") == number


def test_invalid_manifest_or_artifact_leaves_the_current_release_in_service(
    releases: ServedReleases, packaged: demo.Packaged, other_packaged: demo.Packaged, example: dict[str, Any]
) -> None:
    valid = releases.store.manifest.read_bytes()

    def promote_missing_artifact() -> None:
        missing = releases.add_arm(other_packaged)
        shutil.rmtree(releases.store.artifacts / other_packaged.digest)
        releases.store.publish("promote", "", lambda _: {"arms": champion_only(missing)})

    with releases.serve() as client:
        wait_for_release(client, 1)
        for break_release, reason in [
            (lambda: write_text(releases.store.manifest, "{"), "not a valid release manifest"),
            (releases.store.manifest.unlink, "is gone"),
            (promote_missing_artifact, f"artifacts/{other_packaged.digest} is missing"),
        ]:
            break_release()
            wait_for_info(client, lambda info, reason=reason: reason in (info["rejected"] or ""))
            assert client.post("/predict", json=example).json()["model_version"] == version_of(packaged)
            assert metric(client, "skline_release_rejected") == 1
            assert client.get("/health/ready").status_code == 200
            write_bytes(releases.store.manifest, valid)
            wait_for_info(client, lambda info: info["rejected"] is None)
        assert metric(client, "skline_artifact_rejections_total") == 3
        releases.add_arm(other_packaged)
        wait_for_release(client, releases.promote(other_packaged))


def test_artifact_that_does_not_reproduce_its_golden_rows_is_rejected(
    releases: ServedReleases, packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    from skline.artifact import Artifact

    opened = Artifact.open(packaged.folder, packaged.digest)
    wrong = opened.golden.model_copy(update={"predictions": [not p for p in opened.golden.predictions]})
    files = dict(opened.content) | {"golden.json": wrong.model_dump_json().encode()}
    fields = opened.manifest.model_dump(exclude={"format", "files"})
    digest = write(
        tmp_path / "wrong", {name: content for name, content in files.items() if name != "manifest.json"}, fields
    )
    with releases.serve() as client:
        wait_for_release(client, 1)
        releases.promote(demo.Packaged(tmp_path / "wrong", digest))
        wait_for_info(client, lambda info: "golden row" in (info["rejected"] or ""))
        assert client.post("/predict", json=example).json()["model_version"] == version_of(packaged)


def test_artifact_is_served_until_the_first_release_is_published(
    tmp_path: Path, packaged: demo.Packaged, other_packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skline.serving.settings import ServiceSettings

    monkeypatch.chdir(tmp_path)
    shutil.copytree(packaged.folder, "artifact")
    Path("artifact.sha256").write_text(packaged.digest)
    assert ServiceSettings().release_path == Path("releases/release.json")
    assert ServiceSettings(artifact=Path("artifact")).release_path is None
    releases = ServedReleases(tmp_path)
    with releases.serve(release=None) as client:
        assert client.get("/info").json()["release"] is None
        wait_for_release(client, releases.promote(other_packaged))


def test_unreadable_manifest_at_start_raises(releases: ServedReleases) -> None:
    releases.store.manifest.write_text("{}")
    with pytest.raises(SklineError, match="not a valid release manifest"), releases.serve():
        pass


def test_feature_flags_apply_without_a_restart(
    releases: ServedReleases, packaged: demo.Packaged, other_packaged: demo.Packaged, example: dict[str, Any]
) -> None:
    with releases.serve(review={"sample": 1.0}) as client:
        releases.start_experiment(other_packaged, "canary", 99.99)
        wait_for_release(client, 2)
        content = client.post("/predict?explain=true", json=example).json()
        assert content["explanation"]["contributions"]
        assert (content["review"], content["model_version"]) == (True, version_of(other_packaged))
        wait_for_release(client, releases.set_flags(explain=False, review=False, challenger=False))
        content = client.post("/predict?explain=true", json=example).json()
        assert (content["explanation"], content["no_explanation"]) == (None, "explanations are switched off")
        assert "review" not in content
        assert content["model_version"] == version_of(packaged)
        wait_for_release(client, releases.set_flags(challenger=True, explain=True))
        content = client.post("/predict?explain=true", json=example).json()
        assert (content["model_version"], content["explanation"] is None) == (version_of(other_packaged), False)
