"""Experiments: which arm predicts for which entity, what the log keeps, and how a bad canary is aborted."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skline.canary_limits import Guards
from skline.release.experiment import Experiment, RampStep, bucket
from skline.serving.settings import FallbackSettings, LimitSettings
from tests.fixtures import demo
from tests.fixtures.releases import ServedReleases, version_of, wait_for_info, wait_for_release
from tests.fixtures.service import logged_rows, metric

#: Guards that abort nothing. A row that is sent repeatedly has a single score per arm, so score_shift would be 1.
LENIENT = Guards(min_rows=100_000)


class FailsOnLongFlights(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Raises if a flight is longer than 3000 miles."""

    def fit(self, X: Any, y: Any) -> "FailsOnLongFlights":
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: Any) -> Any:
        if (np.asarray(X["distance"], dtype=float) > 3000).any():
            raise RuntimeError("too far: a secret of the row")
        return np.tile([0.6, 0.4], (len(X), 1))

    def predict(self, X: Any) -> Any:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    train_part = demo.parts()["train"]
    fitted = FailsOnLongFlights().fit(train_part, train_part[demo.contract().target.name])
    return demo.package(tmp_path_factory.mktemp("failing") / "artifact", fitted, demo.contract())


@pytest.fixture(scope="module")
def single_column(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    """A model that reads only one of the columns."""
    full = demo.contract()
    columns = tuple(c for c in full.columns if c.role != "input" or c.name == "distance")
    contract = full.model_copy(update={"columns": columns, "leaks": {}})
    part = demo.parts()["train"]
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(part[["distance"]], part[full.target.name])
    rows = [{"distance": 100 * n} for n in range(1, 9)]
    return demo.package(tmp_path_factory.mktemp("single_column") / "artifact", fitted, contract, rows)


def entity_header(entity: str) -> dict[str, str]:
    return {"X-Entity-ID": entity}


def published_experiment(releases: ServedReleases) -> Experiment:
    release = releases.store.current()
    assert release is not None
    assert release.experiment is not None
    return release.experiment


def test_canary_gets_a_stable_share_of_entities_and_the_log_keeps_the_assignment(
    releases: ServedReleases,
    packaged: demo.Packaged,
    other_packaged: demo.Packaged,
    tmp_path: Path,
    example: dict[str, Any],
) -> None:
    versions = {"champion": version_of(packaged), "challenger": version_of(other_packaged)}
    with releases.serve() as client:
        wait_for_release(client, releases.start_experiment(other_packaged, "canary", 30, guards=LENIENT))
        running = published_experiment(releases)
        entities: dict[str, str] = {}  # by prediction id
        for entity in [f"person {n}" for n in range(60)] * 2:
            response = client.post("/predict", json=example, headers=entity_header(entity)).json()
            expected = "challenger" if bucket(running.salt, running.name, entity) < 3000 else "champion"
            assert response["model_version"] == versions[expected]
            entities[response["prediction_id"]] = entity
        for row in logged_rows(tmp_path, 120).to_pylist():
            assert row["bucket"] == bucket(running.salt, running.name, entities[row["prediction_id"]])
            assert row["arm"] == row["role"] == ("challenger" if row["bucket"] < 3000 else "champion")
            assert row["model_version"] == versions[row["arm"]]
            assert row["experiment"] == running.name
            assert len(row["entity"]) == 64
        challengers = {e for e in entities.values() if bucket(running.salt, running.name, e) < 3000}
        wait_for_release(client, releases.start_experiment(other_packaged, "canary", 60))
        for entity in challengers:
            response = client.post("/predict", json=example, headers=entity_header(entity)).json()
            assert response["model_version"] == versions["challenger"]


def test_rows_without_entity_go_to_the_champion_unless_a_column_names_one(
    releases: ServedReleases,
    packaged: demo.Packaged,
    other_packaged: demo.Packaged,
    tmp_path: Path,
    example: dict[str, Any],
) -> None:
    releases.log = releases.log.model_copy(update={"entity_column": None})
    with releases.serve() as client:
        wait_for_release(client, releases.start_experiment(other_packaged, "canary", 99.99))
        response = client.post("/predict", json=example).json()
        assert response["model_version"] == version_of(packaged)
        [row] = logged_rows(tmp_path, 1).to_pylist()
        assert (row["arm"], row["bucket"], row["entity"]) == ("champion", None, None)
    releases.log = releases.log.model_copy(update={"entity_column": "dest"})
    with releases.serve() as client:
        wait_for_info(client, lambda info: info["experiment"])
        response = client.post("/predict", json=example).json()
        assert response["model_version"] == version_of(other_packaged)


def test_rows_of_a_batch_go_to_the_arms_of_their_entities_and_keep_their_order(
    releases: ServedReleases,
    packaged: demo.Packaged,
    other_packaged: demo.Packaged,
    tmp_path: Path,
    example: dict[str, Any],
) -> None:
    rows = [example | {"dest": dest} for dest in ("IAH", "MIA", "ATL", "BOS", "LAX", "ORD", "SFO", "DFW") * 4]
    with releases.serve() as client:
        by_version = {
            version: [a["probabilities"] for a in client.post("/predict/batch", json=rows).json()["predictions"]]
            for version in [client.get("/info").json()["model_version"]]
        }
        wait_for_release(client, releases.promote(other_packaged))
        by_version[version_of(other_packaged)] = [
            a["probabilities"] for a in client.post("/predict/batch", json=rows).json()["predictions"]
        ]
        wait_for_release(client, releases.promote(packaged))
        wait_for_release(client, releases.start_experiment(other_packaged, "canary", 50))
        mixed = client.post("/predict/batch", json=rows).json()["predictions"]
        assert len({response["model_version"] for response in mixed}) == 2
        for index, response in enumerate(mixed):
            assert response["probabilities"] == by_version[response["model_version"]][index]
        assert client.post("/invocations", json={"dataframe_records": rows}).status_code == 200
        logged = {row["prediction_id"]: row for row in logged_rows(tmp_path, 4 * 32).to_pylist()}
        assert [logged[a["prediction_id"]]["model_version"] for a in mixed] == [a["model_version"] for a in mixed]


def test_champion_predicts_where_the_challenger_fails_and_the_log_keeps_both_roles(
    releases: ServedReleases, packaged: demo.Packaged, failing: demo.Packaged, tmp_path: Path, example: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    with releases.serve() as client:
        wait_for_release(client, releases.start_experiment(failing, "canary", 99.99, guards=Guards(min_rows=1000)))
        good = client.post("/predict", json=example).json()
        bad = client.post("/predict", json=example | {"distance": 4000}).json()
        both = client.post("/predict/batch", json=[example, example | {"distance": 4000}]).json()["predictions"]
        assert good["model_version"] == version_of(failing)
        assert {a["model_version"] for a in (bad, *both)} == {version_of(packaged)}
        rows = {row["prediction_id"]: row for row in logged_rows(tmp_path, 4).to_pylist()}
        assert (rows[good["prediction_id"]]["arm"], rows[good["prediction_id"]]["role"]) == ("challenger", "challenger")
        for response in (bad, *both):
            row = rows[response["prediction_id"]]
            assert (row["arm"], row["role"], row["model_version"]) == ("challenger", "champion", version_of(packaged))
        assert metric(client, 'skline_experiment_challenger_failures_total{kind="error"}') == 3
    assert "failed with RuntimeError; the champion predicts instead" in caplog.text
    assert "secret of the row" not in caplog.text


class SlowModel(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Takes a tenth of a second, whatever the number of rows."""

    def fit(self, X: Any, y: Any) -> "SlowModel":
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: Any) -> Any:
        time.sleep(0.1)
        return np.tile([0.6, 0.4], (len(X), 1))

    def predict(self, X: Any) -> Any:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def test_a_request_that_gets_no_slot_is_no_error_of_the_challenger(
    releases: ServedReleases, example: dict[str, Any], tmp_path: Path
) -> None:
    train_part = demo.parts()["train"]
    fitted = SlowModel().fit(train_part, train_part[demo.contract().target.name])
    slow = demo.package(tmp_path / "slow", fitted, demo.contract())
    rows = [example | {"dest": dest} for dest in ("IAH", "MIA", "ATL", "BOS", "LAX", "ORD", "SFO", "DFW")]
    limits = LimitSettings(concurrent=1, waiting=4, wait_seconds=0.15)
    with releases.serve(limits=limits) as client:
        wait_for_release(client, releases.start_experiment(slow, "canary", 50, guards=LENIENT))
        with ThreadPoolExecutor(8) as threads:
            statuses = list(threads.map(lambda _: client.post("/predict/batch", json=rows).status_code, range(40)))
        assert set(statuses) == {200, 503}
        assert metric(client, 'skline_experiment_challenger_failures_total{kind="error"}') == 0
        assert metric(client, 'skline_experiment_challenger_failures_total{kind="fallback"}') == 0
        assert metric(client, 'skline_experiment_rows_total{arm="challenger"}') > 0


def test_a_batch_that_takes_the_challenger_longer_than_the_timeout_is_an_error_of_the_challenger(
    releases: ServedReleases, example: dict[str, Any], tmp_path: Path
) -> None:
    train_part = demo.parts()["train"]
    fitted = SlowModel().fit(train_part, train_part[demo.contract().target.name])
    slow = demo.package(tmp_path / "slow", fitted, demo.contract())
    with releases.serve(limits=LimitSettings(request_seconds=0.05)) as client:
        wait_for_release(client, releases.start_experiment(slow, "canary", 99.99, guards=LENIENT))
        client.post("/predict/batch", json=[example, example])
        assert metric(client, 'skline_experiment_challenger_failures_total{kind="error"}') == 2


def test_a_row_that_the_champion_cannot_score_either_is_no_error_of_the_challenger(
    releases: ServedReleases, failing: demo.Packaged, example: dict[str, Any]
) -> None:
    far = example | {"distance": 4000}
    releases.promote(failing)
    fixed = {"prediction": True, "probabilities": {"false": 0.4, "true": 0.6}}
    with releases.serve(fallback=FallbackSettings(chain=("fixed",), answer=fixed)) as client:
        wait_for_release(client, releases.start_experiment(failing, "canary", 50, guards=LENIENT))
        for number in range(20):
            header = entity_header(str(number))
            assert client.post("/predict", json=far, headers=header).json()["model_version"] == "fixed"
            assert client.post("/predict/batch", json=[example, far], headers=header).status_code == 200
        assert metric(client, 'skline_experiment_challenger_failures_total{kind="error"}') == 0


def send_until_aborted(client: httpx.Client, row: dict[str, Any], max_requests: int = 1000) -> int:
    """Send a row for one entity after the other until the canary is aborted; return the number of requests."""
    for count in range(1, max_requests + 1):
        response = client.post("/predict", json=row, headers=entity_header(str(count)))
        assert response.status_code == 200
        if count % 50 == 0 and client.get("/info").json()["experiment"]["aborted"]:
            return count
    raise AssertionError("the canary was not aborted")


def test_canary_that_breaks_a_guard_is_aborted_and_stays_so_when_its_share_grows(
    releases: ServedReleases, packaged: demo.Packaged, failing: demo.Packaged, example: dict[str, Any]
) -> None:
    far = example | {"distance": 4000}
    with releases.serve() as client:
        wait_for_release(client, releases.start_experiment(failing, "canary", 40))
        assert send_until_aborted(client, far) < 800
        info = client.get("/info").json()["experiment"]
        assert info["aborted"].startswith("errors: the challenger failed on")
        assert info["weight"] == 0
        assert metric(client, "skline_canary_aborted") == 1
        wait_for_release(client, releases.start_experiment(failing, "canary", 80))
        assert client.get("/info").json()["experiment"]["weight"] == 0
        versions = {
            client.post("/predict", json=example, headers=entity_header(str(n))).json()["model_version"]
            for n in range(20)
        }
        assert versions == {version_of(packaged)}
        wait_for_release(client, releases.store.abort("it fails").release.number)
        assert client.get("/info").json()["experiment"] is None


def test_aborted_canary_stays_aborted_after_a_restart_and_in_every_process(
    releases: ServedReleases, packaged: demo.Packaged, failing: demo.Packaged, example: dict[str, Any], tmp_path: Path
) -> None:
    far = example | {"distance": 4000}
    with releases.serve() as client, releases.serve() as other_process:
        number = releases.start_experiment(failing, "canary", 40)
        wait_for_release(client, number)
        wait_for_release(other_process, number)
        send_until_aborted(client, far)
        reason = client.get("/info").json()["experiment"]["aborted"]
        info = wait_for_info(other_process, lambda info: info["experiment"]["aborted"])["experiment"]
        assert (info["aborted"], info["weight"]) == (reason, 0)
    with (tmp_path / "aborted-canaries.jsonl").open("ab") as file:
        file.write(b'{"experiment": "cut o')
    with releases.serve() as client:
        info = wait_for_info(client, lambda info: info["experiment"])["experiment"]
        assert (info["aborted"], info["weight"]) == (reason, 0)
        wait_for_release(client, releases.store.abort("it fails").release.number)
        wait_for_release(client, releases.start_experiment(failing, "canary", 40))
        info = client.get("/info").json()["experiment"]
        assert (info["aborted"], info["weight"]) == (None, 4000)
        send_until_aborted(client, far)
    lines = (tmp_path / "aborted-canaries.jsonl").read_bytes().splitlines()
    assert sum(line.endswith(b"}") for line in lines) == 2, (
        "one complete line per canary, although the line before was cut off"
    )


def test_canary_is_aborted_even_if_the_file_cannot_be_written_and_the_failure_is_counted(
    releases: ServedReleases, failing: demo.Packaged, example: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "aborted-canaries.jsonl").mkdir()
    with releases.serve() as client:
        wait_for_release(client, releases.start_experiment(failing, "canary", 40))
        send_until_aborted(client, example | {"distance": 4000})
        assert client.get("/info").json()["experiment"]["weight"] == 0
        assert metric(client, 'skline_store_failures_total{store="aborted_canaries"}') >= 1


def test_challenger_with_the_champions_artifact_is_logged_by_its_role(
    releases: ServedReleases, packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    with releases.serve() as client:
        wait_for_release(client, releases.start_experiment(packaged, "canary", 50, guards=LENIENT))
        wait_for_release(client, releases.start_experiment(packaged, "canary", 51, guards=LENIENT))
        for number in range(40):
            assert client.post("/predict", json=example, headers=entity_header(str(number))).status_code == 200
        rows = logged_rows(tmp_path, 40).to_pylist()
        assert {row["role"] for row in rows} == {"champion", "challenger"}
        assert all(row["role"] == row["arm"] for row in rows)


def test_ramp_advances_without_a_new_release(releases: ServedReleases, other_packaged: demo.Packaged) -> None:
    steps = (RampStep(after_seconds=0, weight=500), RampStep(after_seconds=1, weight=5000))
    with releases.serve() as client:
        wait_for_release(client, releases.start_experiment(other_packaged, "canary", 5, steps=steps))
        wait_for_info(client, lambda info: info["experiment"]["weight"] == 5000)


def test_challenger_may_read_some_of_the_columns_but_no_others(
    releases: ServedReleases,
    packaged: demo.Packaged,
    single_column: demo.Packaged,
    tmp_path: Path,
    example: dict[str, Any],
) -> None:
    with releases.serve() as client:
        wait_for_release(client, releases.start_experiment(single_column, "canary", 99.99))
        explained = client.post("/predict?explain=true", json=example).json()
        assert explained["model_version"] == version_of(single_column)
        assert list(explained["explanation"]["contributions"]) == ["distance"]
        client.post("/predict/batch", json=[example, example])
        assert {row["role"] for row in logged_rows(tmp_path, 3).to_pylist()} == {"challenger"}
        releases.promote(single_column)
        wait_for_info(client, lambda info: "has another contract" in (info["rejected"] or ""))
    other = ServedReleases(tmp_path / "other")
    other.promote(single_column)
    with other.serve() as client:
        other.start_experiment(packaged, "canary", 10)
        wait_for_info(client, lambda info: "which the champion's requests do not contain" in (info["rejected"] or ""))
        assert client.post("/predict", json={"distance": 100}).status_code == 200
