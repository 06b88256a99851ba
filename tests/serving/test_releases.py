"""The service follows the release manifest, whole or not at all."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from skline.artifact import write
from skline.errors import SklineError
from skline.files import write_bytes, write_text
from skline.release.changes import alone
from skline.stages.train import train
from tests import demo
from tests.serving.releases import World, in_force, version_of, wait_for
from tests.serving.test_logged import rows_of
from tests.serving.test_scorers import metric
from tests.world.pipeline import build_pipeline


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    """An artifact of the same contract that answers otherwise."""
    fitted = train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": 3}, seed=17)
    return demo.package(tmp_path_factory.mktemp("another") / "artifact", fitted)


@pytest.fixture
def world(tmp_path: Path, packaged: demo.Packaged) -> World:
    made = World(tmp_path)
    made.promote(packaged)
    return made


def test_promotion_and_rollback_are_followed_without_reading_the_old_artifact_again(
    world: World, packaged: demo.Packaged, another: demo.Packaged, example: dict[str, Any]
) -> None:
    with world.serving() as client:
        assert in_force(client, 1)["model_version"] == version_of(packaged)
        first = client.post("/predict", json=example).json()
        in_force(client, world.promote(another))
        second = client.post("/predict", json=example).json()
        assert second["model_version"] == version_of(another)
        assert second["probabilities"] != first["probabilities"]
        shutil.rmtree(world.releases.artifacts / packaged.digest)
        number = world.promote(packaged)
        shutil.rmtree(world.releases.artifacts / packaged.digest)
        in_force(client, number)  # the model before is still in memory
        again = client.post("/predict", json=example).json()
        assert again["probabilities"] == first["probabilities"]
        assert metric(client, 'skline_release{state="number"}') == number


def test_a_manifest_or_an_artifact_that_is_bad_leaves_the_last_good_release_serving(
    world: World, packaged: demo.Packaged, another: demo.Packaged, example: dict[str, Any]
) -> None:
    good = world.releases.manifest.read_bytes()

    def promote_what_is_lost() -> None:
        lost = world.arm(another)
        shutil.rmtree(world.releases.artifacts / another.digest)
        world.releases.change("promote", "", lambda _: {"arms": alone(lost)})

    with world.serving() as client:
        in_force(client, 1)
        for spoil, words in [
            (lambda: write_text(world.releases.manifest, "{"), "no release manifest"),
            (world.releases.manifest.unlink, "is gone"),
            (promote_what_is_lost, "manifest.json"),
        ]:
            spoil()
            wait_for(client, lambda info, words=words: words in (info["refused"] or ""))
            assert client.post("/predict", json=example).json()["model_version"] == version_of(packaged)
            assert metric(client, 'skline_release{state="refused"}') == 1
            assert client.get("/health/ready").status_code == 200
            write_bytes(world.releases.manifest, good)
            wait_for(client, lambda info: info["refused"] is None)
        assert metric(client, "skline_artifact_refused_total") == 3
        world.arm(another)
        in_force(client, world.promote(another))


def test_an_artifact_that_answers_its_golden_rows_otherwise_is_refused_even_with_the_right_digest(
    world: World, packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    from skline.artifact import Artifact

    opened = Artifact.open(packaged.folder, packaged.digest)
    wrong = opened.golden.model_copy(update={"predictions": [not p for p in opened.golden.predictions]})
    files = dict(opened.content) | {"golden.json": wrong.model_dump_json().encode()}
    facts = opened.manifest.model_dump(exclude={"format", "files"})
    digest = write(
        tmp_path / "liar", {name: content for name, content in files.items() if name != "manifest.json"}, facts
    )
    with world.serving() as client:
        in_force(client, 1)
        world.promote(demo.Packaged(tmp_path / "liar", digest))
        wait_for(client, lambda info: "golden row" in (info["refused"] or ""))
        assert client.post("/predict", json=example).json()["model_version"] == version_of(packaged)


def test_without_a_release_it_serves_the_artifact_and_follows_the_first_release_that_comes(
    tmp_path: Path, packaged: demo.Packaged, another: demo.Packaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serving.settings import ServiceSettings

    monkeypatch.chdir(tmp_path)
    shutil.copytree(packaged.folder, "artifact")
    Path("artifact.sha256").write_text(packaged.digest)
    assert ServiceSettings().release_path == Path("releases/release.json")
    assert ServiceSettings(artifact=Path("artifact")).release_path is None
    world = World(tmp_path)
    with world.serving(release=None) as client:
        assert client.get("/info").json()["release"] is None
        in_force(client, world.promote(another))


def test_a_release_that_cannot_be_read_at_the_start_is_said_and_nothing_is_served(world: World) -> None:
    world.releases.manifest.write_text("{}")
    with pytest.raises(SklineError, match="no release manifest"), world.serving():
        pass


def test_flags_are_in_force_without_a_restart(
    world: World, packaged: demo.Packaged, another: demo.Packaged, example: dict[str, Any]
) -> None:
    with world.serving(review={"sample": 1.0}) as client:
        world.begin(another, "canary", 99.99)
        in_force(client, 2)
        told = client.post("/predict?explain=true", json=example).json()
        assert told["explanation"]["contributions"]
        assert (told["review"], told["model_version"]) == (True, version_of(another))
        in_force(client, world.flags(explain=False, review=False, challenger=False))
        told = client.post("/predict?explain=true", json=example).json()
        assert (told["explanation"], told["no_explanation"]) == (None, "explanations are switched off for now")
        assert "review" not in told
        assert told["model_version"] == version_of(packaged)
        in_force(client, world.flags(challenger=True, explain=True))
        told = client.post("/predict?explain=true", json=example).json()
        assert (told["model_version"], told["explanation"] is None) == (version_of(another), False)


def test_a_live_shadow_scores_every_answer_and_nobody_sees_it(
    world: World, packaged: demo.Packaged, another: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    with world.serving() as client:
        world.begin(another, "shadow")
        in_force(client, 2)
        one = client.post("/predict", json=example).json()
        many = client.post("/predict/batch", json=[example] * 3).json()["predictions"]
        assert {answer["model_version"] for answer in (one, *many)} == {version_of(packaged)}
        rows = {row["prediction_id"]: row for row in rows_of(tmp_path, 8).to_pylist()}
        for answer in (one, *many):
            own, shadow = rows[answer["prediction_id"]], rows[answer["prediction_id"] + ".shadow"]
            assert (own["role"], own["arm"], own["experiment"]) == ("champion", "champion", "shadow-1")
            assert (shadow["role"], shadow["model_version"]) == ("shadow", version_of(another))
            assert shadow["inputs"] == own["inputs"]
            assert shadow["probabilities"] != own["probabilities"]
        assert metric(client, 'skline_shadow_rows_total{outcome="scored"}') == 4
        client.post("/predict/batch", json=[example] * 500)
        in_force(client, world.releases.abort("").release.number)


def test_a_shadow_that_cannot_keep_up_drops_rows_and_counts_them(
    world: World, another: demo.Packaged, example: dict[str, Any]
) -> None:
    with world.serving(shadow_queue=10) as client:
        world.begin(another, "shadow")
        in_force(client, 2)
        assert client.post("/predict/batch", json=[example] * 500).status_code == 200
        assert metric(client, 'skline_shadow_rows_total{outcome="dropped"}') == 490
