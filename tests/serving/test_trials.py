"""Experiments: who is answered by whom, what the log says of it, and how a bad challenger is taken back."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skline.release.experiment import Experiment, Step, bucket
from skline.settings import Guards
from skline.stages.train import train
from tests import demo
from tests.serving.releases import World, in_force, version_of, wait_for
from tests.serving.test_logged import rows_of
from tests.serving.test_scorers import metric
from tests.world.pipeline import build_pipeline

#: One row asked again and again has one score from each arm, and those are as far apart as can be.
LENIENT = Guards(min_rows=100_000)


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    fitted = train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": 3}, seed=17)
    return demo.package(tmp_path_factory.mktemp("another") / "artifact", fitted)


class Brittle(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Fails on a long flight."""

    def fit(self, X: Any, y: Any) -> "Brittle":
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: Any) -> Any:
        if (np.asarray(X["distance"], dtype=float) > 3000).any():
            raise RuntimeError("too far: a secret of the row")
        return np.tile([0.6, 0.4], (len(X), 1))

    def predict(self, X: Any) -> Any:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


@pytest.fixture(scope="module")
def brittle(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    train_part = demo.parts()["train"]
    fitted = Brittle().fit(train_part, train_part[demo.contract().target.name])
    return demo.package(tmp_path_factory.mktemp("brittle") / "artifact", fitted, demo.contract())


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    """A model that reads one of the columns."""
    whole = demo.contract()
    columns = tuple(c for c in whole.columns if c.role != "input" or c.name == "distance")
    contract = whole.model_copy(update={"columns": columns, "leaks": {}})
    part = demo.parts()["train"]
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(part[["distance"]], part[whole.target.name])
    rows = [{"distance": 100 * n} for n in range(1, 9)]
    return demo.package(tmp_path_factory.mktemp("narrow") / "artifact", fitted, contract, rows)


@pytest.fixture
def world(tmp_path: Path, packaged: demo.Packaged) -> World:
    made = World(tmp_path)
    made.promote(packaged)
    return made


def of(entity: str) -> dict[str, str]:
    return {"X-Entity-ID": entity}


def experiment(world: World) -> Experiment:
    release = world.releases.current()
    assert release is not None
    assert release.experiment is not None
    return release.experiment


def test_a_canary_answers_its_share_of_entities_always_the_same_and_the_log_says_so(
    world: World, packaged: demo.Packaged, another: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    versions = {"champion": version_of(packaged), "challenger": version_of(another)}
    with world.serving() as client:
        in_force(client, world.begin(another, "canary", 30, guards=LENIENT))
        running = experiment(world)
        told: dict[str, str] = {}
        for entity in [f"person {n}" for n in range(60)] * 2:
            answer = client.post("/predict", json=example, headers=of(entity)).json()
            expected = "challenger" if bucket(running.salt, running.name, entity) < 3000 else "champion"
            assert answer["model_version"] == versions[expected]
            told[answer["prediction_id"]] = entity
        for row in rows_of(tmp_path, 120).to_pylist():
            assert row["bucket"] == bucket(running.salt, running.name, told[row["prediction_id"]])
            assert row["arm"] == row["role"] == ("challenger" if row["bucket"] < 3000 else "champion")
            assert row["model_version"] == versions[row["arm"]]
            assert row["experiment"] == running.name
            assert len(row["entity"]) == 64
        before = {e for e in told.values() if bucket(running.salt, running.name, e) < 3000}
        in_force(client, world.begin(another, "canary", 60))
        for entity in before:
            answer = client.post("/predict", json=example, headers=of(entity)).json()
            assert answer["model_version"] == versions["challenger"]


def test_without_an_entity_the_champion_answers_and_the_configured_column_names_one(
    world: World, packaged: demo.Packaged, another: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    world.log = world.log.model_copy(update={"entity_column": None})
    with world.serving() as client:
        in_force(client, world.begin(another, "canary", 99.99))
        answer = client.post("/predict", json=example).json()
        assert answer["model_version"] == version_of(packaged)
        [row] = rows_of(tmp_path, 1).to_pylist()
        assert (row["arm"], row["bucket"], row["entity"]) == ("champion", None, None)
    world.log = world.log.model_copy(update={"entity_column": "dest"})
    with world.serving() as client:
        wait_for(client, lambda info: info["experiment"])
        answer = client.post("/predict", json=example).json()
        assert answer["model_version"] == version_of(another)


def test_rows_of_a_batch_go_to_the_arms_of_their_entities_in_their_order(
    world: World, packaged: demo.Packaged, another: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    rows = [example | {"dest": dest} for dest in ("IAH", "MIA", "ATL", "BOS", "LAX", "ORD", "SFO", "DFW") * 4]
    with world.serving() as client:
        alone = {
            version: [a["probabilities"] for a in client.post("/predict/batch", json=rows).json()["predictions"]]
            for version in [client.get("/info").json()["model_version"]]
        }
        in_force(client, world.promote(another))
        alone[version_of(another)] = [
            a["probabilities"] for a in client.post("/predict/batch", json=rows).json()["predictions"]
        ]
        in_force(client, world.promote(packaged))
        in_force(client, world.begin(another, "canary", 50))
        mixed = client.post("/predict/batch", json=rows).json()["predictions"]
        assert len({answer["model_version"] for answer in mixed}) == 2
        for index, answer in enumerate(mixed):
            assert answer["probabilities"] == alone[answer["model_version"]][index]
        foreign = client.post("/invocations", json={"dataframe_records": rows})
        assert foreign.status_code == 200
        logged = {row["prediction_id"]: row for row in rows_of(tmp_path, 4 * 32).to_pylist()}
        assert [logged[a["prediction_id"]]["model_version"] for a in mixed] == [a["model_version"] for a in mixed]


def test_where_the_challenger_fails_the_champion_answers_and_the_log_says_so(
    world: World, packaged: demo.Packaged, brittle: demo.Packaged, tmp_path: Path, example: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    with world.serving() as client:
        in_force(client, world.begin(brittle, "canary", 99.99, guards=Guards(min_rows=1000)))
        good = client.post("/predict", json=example).json()
        bad = client.post("/predict", json=example | {"distance": 4000}).json()
        both = client.post("/predict/batch", json=[example, example | {"distance": 4000}]).json()["predictions"]
        assert good["model_version"] == version_of(brittle)
        assert {a["model_version"] for a in (bad, *both)} == {version_of(packaged)}
        rows = {row["prediction_id"]: row for row in rows_of(tmp_path, 4).to_pylist()}
        assert (rows[good["prediction_id"]]["arm"], rows[good["prediction_id"]]["role"]) == ("challenger", "challenger")
        for answer in (bad, *both):
            row = rows[answer["prediction_id"]]
            assert (row["arm"], row["role"], row["model_version"]) == ("challenger", "champion", version_of(packaged))
        assert metric(client, 'skline_experiment_rows_total{rows="challenger_failed"}') == 3
    assert "failed with RuntimeError; the champion answers" in caplog.text
    assert "secret of the row" not in caplog.text


def ask_until_aborted(client: httpx.Client, row: dict[str, Any], most: int = 1000) -> int:
    for count in range(1, most + 1):
        answer = client.post("/predict", json=row, headers=of(str(count)))
        assert answer.status_code == 200
        if count % 50 == 0 and client.get("/info").json()["experiment"]["aborted"]:
            return count
    raise AssertionError("the canary was not taken back")


def test_a_canary_that_breaks_a_guard_is_taken_back_and_stays_so_at_the_next_step_of_its_ramp(
    world: World, packaged: demo.Packaged, brittle: demo.Packaged, example: dict[str, Any]
) -> None:
    far = example | {"distance": 4000}
    with world.serving() as client:
        in_force(client, world.begin(brittle, "canary", 40))
        assert ask_until_aborted(client, far) < 800
        told = client.get("/info").json()["experiment"]
        assert told["aborted"].startswith("errors: the challenger failed on")
        assert told["weight"] == 0
        assert metric(client, 'skline_release{state="canary_aborted"}') == 1
        in_force(client, world.begin(brittle, "canary", 80))
        assert client.get("/info").json()["experiment"]["weight"] == 0
        versions = {
            client.post("/predict", json=example, headers=of(str(n))).json()["model_version"] for n in range(20)
        }
        assert versions == {version_of(packaged)}
        in_force(client, world.releases.abort("it fails").release.number)
        assert client.get("/info").json()["experiment"] is None


def test_a_canary_that_was_taken_back_stays_so_after_a_restart_and_in_every_process(
    world: World, packaged: demo.Packaged, brittle: demo.Packaged, example: dict[str, Any], tmp_path: Path
) -> None:
    far = example | {"distance": 4000}
    with world.serving() as client, world.serving() as beside:
        number = world.begin(brittle, "canary", 40)
        in_force(client, number), in_force(beside, number)
        ask_until_aborted(client, far)
        reason = client.get("/info").json()["experiment"]["aborted"]
        told = wait_for(beside, lambda info: info["experiment"]["aborted"])["experiment"]
        assert (told["aborted"], told["weight"]) == (reason, 0)
    with (tmp_path / "aborted-canaries.jsonl").open("ab") as file:
        file.write(b'{"experiment": "cut o')
    with world.serving() as client:
        told = wait_for(client, lambda info: info["experiment"])["experiment"]
        assert (told["aborted"], told["weight"]) == (reason, 0)
        in_force(client, world.releases.abort("it fails").release.number)
        in_force(client, world.begin(brittle, "canary", 40))
        told = client.get("/info").json()["experiment"]
        assert (told["aborted"], told["weight"]) == (None, 4000)
        ask_until_aborted(client, far)
    lines = (tmp_path / "aborted-canaries.jsonl").read_bytes().splitlines()
    assert sum(line.endswith(b"}") for line in lines) == 2, "one a canary, whole although one before was cut off"


def test_a_canary_is_taken_back_where_that_cannot_be_written_down_and_it_is_counted(
    world: World, brittle: demo.Packaged, example: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "aborted-canaries.jsonl").mkdir()
    with world.serving() as client:
        in_force(client, world.begin(brittle, "canary", 40))
        ask_until_aborted(client, example | {"distance": 4000})
        assert client.get("/info").json()["experiment"]["weight"] == 0
        assert metric(client, 'skline_store_failures_total{store="aborted_canaries"}') >= 1


def test_a_ramp_goes_on_by_itself(world: World, another: demo.Packaged) -> None:
    steps = (Step(after_seconds=0, weight=500), Step(after_seconds=1, weight=5000))
    with world.serving() as client:
        in_force(client, world.begin(another, "canary", 5, steps=steps))
        wait_for(client, lambda info: info["experiment"]["weight"] == 5000)


def test_a_challenger_may_read_a_part_of_the_columns_and_no_other(
    world: World, packaged: demo.Packaged, narrow: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    with world.serving() as client:
        in_force(client, world.begin(narrow, "canary", 99.99))
        one = client.post("/predict?explain=true", json=example).json()
        assert one["model_version"] == version_of(narrow)
        assert list(one["explanation"]["contributions"]) == ["distance"]
        client.post("/predict/batch", json=[example, example])
        assert {row["role"] for row in rows_of(tmp_path, 3).to_pylist()} == {"challenger"}
        world.promote(narrow)
        wait_for(client, lambda info: "has another contract" in (info["refused"] or ""))
    other = World(tmp_path / "other")
    other.promote(narrow)
    with other.serving() as client:
        other.begin(packaged, "canary", 10)
        wait_for(client, lambda info: "which the champion's requests do not hold" in (info["refused"] or ""))
        assert client.post("/predict", json={"distance": 100}).status_code == 200
