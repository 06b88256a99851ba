"""Many clients send requests at the same moment: each gets the response to its own request, whatever others send."""

import asyncio
import json
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import make_pipeline

from skline.canary_limits import Guards
from skline.serving.app import create_app
from skline.serving.releases import manager
from skline.serving.settings import ServiceSettings
from skline.stages.train import train
from tests import conftest
from tests.fixtures import demo
from tests.fixtures.raw_http import H2C, RawConnection, RawResponse, build_request, paused, send_at_once
from tests.fixtures.releases import ServedReleases, version_of
from tests.fixtures.sample_project.pipeline import build_pipeline
from tests.fixtures.server import process

Running = Any
Service = tuple[Any, httpx.Client]


def rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Return distinct rows, some with missing and unseen values."""
    return [
        {
            "flight_date": f"20{13 + n % 20}-{1 + n % 12:02}-{1 + n % 28:02}",
            "carrier": ("UA", "B6", "DL", "AA", "ZZ", "9E", "HA")[n % 7],
            "origin": ("EWR", "JFK", "LGA")[n % 3],
            "dest": ("IAH", "BOS", "MIA", "QQQ", "LAX")[n % 5],
            "distance": None if n % 11 == 0 else 1 + (n * 37) % 12_500,
            "sched_dep_time": (n * 61) % 2401,
            "sched_arr_time": (n * 89) % 2401,
        }
        for n in range(start, start + count)
    ]


def prediction_of(response: Any) -> tuple[Any, Any]:
    """Return prediction and probabilities, to be compared exactly: JSON holds every bit of a float."""
    return response["prediction"], response["probabilities"]


def metrics(client: httpx.Client) -> Counter[str]:
    """Return all samples of /metrics by name and labels."""
    text = client.get("/metrics").text
    return Counter({m[1]: float(m[2]) for m in re.finditer(r"^([^#\s].*) (\S+)$", text, re.MULTILINE)})


def metric_increase(client: httpx.Client, before: Counter[str], name: str) -> dict[str, float]:
    """Return the increase of each sample of a metric since `before`, by the values of its labels."""
    increase = {}
    for sample, value in metrics(client).items():
        if sample.startswith(name + "{") and value != before[sample]:
            increase[" ".join(re.findall(r'"([^"]*)"', sample))] = value - before[sample]
    return increase


def rows_in_log(database: Path, ids: set[str], seconds: float = 10) -> dict[str, dict[str, Any]]:
    """Return the log's rows by id, once all `ids` are logged. Fail if an id is logged twice."""
    deadline = time.monotonic() + seconds
    while True:
        logged: list[dict[str, Any]] = []
        if database.exists():
            with closing(sqlite3.connect(database)) as connection:
                connection.row_factory = sqlite3.Row
                if connection.execute("select 1 from sqlite_master where name = 'predictions'").fetchall():
                    logged = [dict(row) for row in connection.execute("select * from predictions")]
        by_id = {row["prediction_id"]: row for row in logged}
        assert len(by_id) == len(logged)
        if ids <= by_id.keys():
            return by_id
        assert time.monotonic() < deadline, f"{len(ids - by_id.keys())} of {len(ids)} are not in the log"
        time.sleep(0.05)


def new_key(file: Path, name: str, scopes: str) -> str:
    arguments = ["key", "new", "--file", str(file), "--name", name, "--scopes", scopes]
    command = [sys.executable, "-m", "skline.cli", *arguments]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=demo.ROOT).stdout
    match = re.search(r"skl_\w{40,}", output)
    assert match, output
    return match[0]


@contextmanager
def service(folder: Path, packaged: demo.Packaged, **settings: str) -> Iterator[Service]:
    own = {"LOG__DATABASE": str(folder / "log.db"), "LOG__PARTITIONS": str(folder / "days")} | settings
    with process(packaged, **own) as (running, client):
        assert running.stderr is not None
        stderr = running.stderr
        # The service would block on a full pipe.
        reader = threading.Thread(target=lambda: (folder / "stderr").write_text(stderr.read()))
        reader.start()
        try:
            yield running, client
        finally:
            running.kill()
            reader.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("concurrent")


@pytest.fixture(scope="module")
def default_service(folder: Path, packaged: demo.Packaged) -> Iterator[Service]:
    with service(folder, packaged) as running:
        yield running


class UnsupportedStep(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer that no plan supports: it passes the table through."""

    def fit(self, X: Any, y: Any = None) -> "UnsupportedStep":
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:
        return X.copy()


@pytest.fixture(scope="module")
def unplanned(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    """An artifact without a plan."""
    part = demo.parts()["train"]
    inputs = [c.name for c in demo.contract().inputs]
    fitted = make_pipeline(UnsupportedStep(), demo.pipeline())
    fitted.fit(part[inputs], part[demo.contract().target.name])
    return demo.package(tmp_path_factory.mktemp("unplanned") / "artifact", fitted)


def check_simultaneous_requests(
    running: Running, client: httpx.Client, database: Path, count: int, start: int = 0
) -> set[str]:
    """Send `count` distinct rows at the same moment; check responses, log and metrics; return the prediction ids."""
    inputs = rows(count, start)
    single = [prediction_of(client.post("/predict", json=row).json()) for row in inputs]
    batch = [prediction_of(item) for item in client.post("/predict/batch", json=inputs).json()["predictions"]]
    before = metrics(client)
    requests = [
        build_request(row, x_request_id=f"{start}-{n}", traceparent=f"00-{n + 1:032x}-b7ad6b7169203331-01")
        for n, row in enumerate(inputs)
    ]
    responses = send_at_once(client.base_url, running, requests)
    for n, response in enumerate(responses):
        assert (response.status, response.headers["x-request-id"]) == (200, f"{start}-{n}")
        assert response.headers["traceresponse"].split("-")[1] == f"{n + 1:032x}"
        assert prediction_of(response.json) == single[n] == batch[n]
    assert metric_increase(client, before, "skline_predictions_total") == Counter(
        json.dumps(response.json["prediction"]) for response in responses
    )
    missing = sum(row["distance"] is None for row in inputs)
    expected_missing = {"distance": missing} if missing else {}
    assert metric_increase(client, before, "skline_input_missing_values_total") == expected_missing
    timed = metric_increase(client, before, "skline_request_duration_seconds_count")
    assert [n for labels, n in timed.items() if labels in ("/predict plan 200", "/predict pipeline 200")] == [count]
    ids = {response.json["prediction_id"]: n for n, response in enumerate(responses)}
    assert len(ids) == count
    log = rows_in_log(database, set(ids))
    for prediction_id, n in ids.items():
        row = log[prediction_id]
        assert (row["request_id"], json.loads(row["inputs"])) == (f"{start}-{n}", inputs[n])
        assert (json.loads(row["prediction"]), json.loads(row["probabilities"])) == single[n]
    return set(ids)


def test_each_client_gets_the_prediction_for_its_own_row(default_service: Service, folder: Path) -> None:
    for count, start in ((3, 0), (4, 100), (300, 1000)):
        check_simultaneous_requests(*default_service, folder / "log.db", count, start)


@pytest.mark.slow
def test_each_client_gets_the_prediction_for_its_own_row_from_a_pipeline_without_a_plan(
    unplanned: demo.Packaged, tmp_path: Path
) -> None:
    with service(tmp_path, unplanned) as (running, client):
        assert client.get("/info").json()["scoring"]["path"] == "pipeline"
        check_simultaneous_requests(running, client, tmp_path / "log.db", 60)


@pytest.mark.slow
def test_every_acknowledged_prediction_of_a_sync_log_survives_a_kill(packaged: demo.Packaged, tmp_path: Path) -> None:
    with service(tmp_path, packaged, LOG__MODE="sync") as (running, client), ExitStack() as stack:
        acknowledged = check_simultaneous_requests(running, client, tmp_path / "log.db", 200)
        connections = [stack.enter_context(RawConnection(client.base_url)) for _ in range(200)]
        for connection, row in zip(connections, rows(200, 300), strict=True):
            connection.send(build_request(row))
        acknowledged |= {connection.read_response().json["prediction_id"] for connection in connections[:40]}
        running.kill()
        running.wait()
        for connection in connections[40:]:
            with suppress(OSError):
                acknowledged.add(connection.read_response().json["prediction_id"])
        rows_in_log(tmp_path / "log.db", acknowledged, 0)


def build_chunked_request(row: object, **headers: str) -> bytes:
    """Return a request whose body comes in chunks of seven bytes."""
    body = json.dumps(row).encode()
    parts = [body[i : i + 7] for i in range(0, len(body), 7)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])
    head, _, _ = build_request(b"", **headers).partition(b"content-length")
    rest = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return head + f"transfer-encoding: chunked\r\n{rest}\r\n".encode() + chunks


def test_simultaneous_requests_of_every_kind_get_the_responses_they_get_alone(
    packaged: demo.Packaged, tmp_path: Path
) -> None:
    """Ordinary, unusual, invalid and unauthorized requests; all are counted and logged."""
    keys = tmp_path / "keys.json"
    predict_key, label_key, admin_key = (new_key(keys, name, name) for name in ("predict", "label", "predict,admin"))
    site = "https://a.example"
    settings = {"SECURITY__KEY_FILE": str(keys), "CORS__ORIGINS": f'["{site}"]'}
    with service(tmp_path, packaged, **settings) as (running, client):
        client.headers["x-api-key"] = admin_key
        inputs = rows(20)
        single = [prediction_of(client.post("/predict", json=row).json()) for row in inputs]
        before = metrics(client)
        auth = {"x_api_key": predict_key}
        kinds: dict[str, tuple[int, Any]] = {
            "plain": (200, lambda row, **h: build_request(row, **auth, **h)),
            "site": (200, lambda row, **h: build_request(row, authorization=f"Bearer {predict_key}", origin=site, **h)),
            "explained": (200, lambda row, **h: build_request(row, "/predict?explain=true", **auth, **h)),
            "closing": (200, lambda row, **h: build_request(row, connection="close", **auth, **h)),
            "old": (200, lambda row, **h: build_request(row, version="1.0", **auth, **h)),
            "chunks": (200, lambda row, **h: build_chunked_request(row, **auth, **h)),
            "expecting": (200, lambda row, **h: build_request(row, expect="100-continue", **auth, **h)),
            "without key": (401, build_request),
            "wrong key": (401, lambda row, **h: build_request(row, x_api_key=predict_key[:-1], origin=site, **h)),
            "label key": (403, lambda row, **h: build_request(row, x_api_key=label_key, **h)),
            "invalid": (422, lambda row, **h: build_request(row | {"carrier": "long"}, **auth, **h)),
            "truncated": (422, lambda row, **h: build_request(json.dumps(row)[:-3].encode(), **auth, **h)),
            "batch": (200, lambda row, **h: build_request([row, row], "/predict/batch", **auth, **h)),
            "mlflow": (200, lambda row, **h: build_request({"dataframe_records": [row]}, "/invocations", **auth, **h)),
        }
        order = [(n, kind) for n in range(len(inputs)) for kind in kinds]
        names = [f"{kind.replace(' ', '-')}-{n}" for n, kind in order]
        requests = [kinds[kind][1](inputs[n], x_request_id=name) for (n, kind), name in zip(order, names, strict=True)]
        ids: dict[str, str] = {}
        responses = send_at_once(client.base_url, running, requests)
        for (n, kind), name, response in zip(order, names, responses, strict=True):
            headers = response.headers
            assert (response.status, headers["x-request-id"]) == (kinds[kind][0], name)
            assert headers["x-content-type-options"] == "nosniff"
            assert headers.get("access-control-allow-origin") == (site if kind in ("site", "wrong key") else None)
            assert (headers.get("connection") == "close") == (kind in ("closing", "old"))
            if response.status != 200:
                continue
            if kind == "mlflow":
                assert response.json["predictions"] == [single[n][0]]
                ids[response.json["prediction_ids"][0]] = name
                continue
            for item in response.json["predictions"] if kind == "batch" else [response.json]:
                assert prediction_of(item) == single[n]
                ids[item["prediction_id"]] = name
        rejected = metric_increase(client, before, "skline_rejected_requests_total")
        assert rejected == {"unauthorized": 40, "forbidden": 20}
        predictions = metric_increase(client, before, "skline_predictions_total")
        assert sum(predictions.values()) == len(ids) == 20 * 10
        timed = metric_increase(client, before, "skline_request_duration_seconds_count")
        assert {labels.replace(" plan ", " "): n for labels, n in timed.items() if "predict" in labels} == {
            "/predict 200": 140, "/predict 401": 40, "/predict 403": 20, "/predict 422": 40, "/predict/batch 200": 20,
        }  # fmt: skip
        log = rows_in_log(tmp_path / "log.db", set(ids))
        assert all(log[prediction_id]["request_id"] == name for prediction_id, name in ids.items())


def test_pipelined_requests_of_every_kind_get_their_responses_in_order(default_service: Service) -> None:
    _, client = default_service
    inputs = rows(60, 5000)
    single = [prediction_of(client.post("/predict", json=row).json()) for row in inputs]
    requests: list[tuple[bytes, int, int | None]] = []
    for n, row in enumerate(inputs):
        requests.append((build_request(row, x_request_id=str(len(requests))), 200, n))
        if n % 3 == 1:
            requests.append((build_request(b"{}", x_request_id=str(len(requests))), 422, None))
        if n % 5 == 1:
            live = build_request(b"", "/health/live", method="GET", x_request_id=str(len(requests)))
            requests.append((live, 200, None))
        if n % 7 == 1:
            explained = build_request(row, "/predict?explain=true", x_request_id=str(len(requests)))
            requests.append((explained, 200, n))
    with RawConnection(client.base_url) as connection:
        connection.send(b"".join(data for data, _, _ in requests))
        connection.send(build_request(inputs[0], connection="close") + build_request(inputs[1]))
        for index, (_, status, n) in enumerate(requests):
            response = connection.read_response()
            assert (response.status, response.headers["x-request-id"]) == (status, str(index))
            assert n is None or prediction_of(response.json) == single[n]
        assert prediction_of(connection.read_response().json) == single[0]
        assert connection.is_at_end()


def test_requests_that_are_split_at_any_byte_get_the_same_responses(default_service: Service) -> None:
    running, client = default_service
    inputs = rows(2, 6000)
    single = [prediction_of(client.post("/predict", json=row).json()) for row in inputs]
    both = b"".join(build_request(row, x_request_id=str(n)) for n, row in enumerate(inputs))
    with ExitStack() as stack:
        connections = [stack.enter_context(RawConnection(client.base_url)) for _ in range(1, len(both))]
        for cut, connection in enumerate(connections, 1):
            connection.send(both[:cut])
        assert client.post("/predict", json=inputs[0]).status_code == 200  # by now the first parts have been read
        with paused(running):
            for cut, connection in enumerate(connections, 1):
                connection.send(both[cut:])
        for connection in connections:
            for n in range(2):
                response = connection.read_response()
                actual = response.status, response.headers["x-request-id"], prediction_of(response.json)
                assert actual == (200, str(n), single[n])


def test_requests_with_an_upgrade_offer_get_http_1_1_responses_wherever_they_are_split(
    default_service: Service,
) -> None:
    """Java's client sends such an offer with its first request, whose body may arrive after the head."""
    _, client = default_service
    row = rows(1)[0]
    expected = prediction_of(client.post("/predict", json=row).json())
    request = build_request(row, x_request_id="first", **H2C)
    last = build_request(row, connection="close, upgrade", upgrade="websocket")
    for cut in (0, 30, request.index(b"\r\n\r\n") + 4, len(request) - 5):
        with RawConnection(client.base_url) as connection:
            connection.send(request[:cut])
            assert client.get("/health/live").status_code == 200  # by now the first part has been read
            connection.send(request[cut:] + request + last)
            assert [prediction_of(connection.read_response().json) for _ in range(3)] == [expected] * 3
            assert connection.is_at_end()


def test_clients_that_disconnect_early_do_not_affect_the_others(default_service: Service, folder: Path) -> None:
    running, client = default_service
    inputs = rows(100, 7000)
    single = [prediction_of(client.post("/predict", json=row).json()) for row in inputs]
    with ExitStack() as stack:
        connections = [stack.enter_context(RawConnection(client.base_url)) for _ in inputs]
        for connection in connections:
            connection.send(build_request(b"", "/health/live", method="GET"))
        assert {connection.read_response().status for connection in connections} == {200}
        with paused(running):
            for n, connection in enumerate(connections):
                connection.send(build_request(inputs[n], x_request_id=f"client-{n}"))
                if n % 4 == 1:
                    connection.close()
                elif n % 4 == 2:
                    connection.reset()
                elif n % 4 == 3:
                    connection.end_output()
        ids = set()
        for n, connection in enumerate(connections):
            if n % 4 in (0, 3):  # a client that only ended its output still gets its response
                response = connection.read_response()
                actual = response.headers["x-request-id"], prediction_of(response.json)
                assert actual == (f"client-{n}", single[n])
                ids.add(response.json["prediction_id"])
    rows_in_log(folder / "log.db", ids)


def test_rate_limit_counts_each_caller_separately_under_concurrency(packaged: demo.Packaged, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    callers, admin = [new_key(keys, name, "predict") for name in ("a", "b")], new_key(keys, "c", "admin")
    settings = {"SECURITY__KEY_FILE": str(keys), "LIMITS__RATE": "30/day", "REVIEW__LOW": "0", "REVIEW__HIGH": "1"}
    with service(tmp_path, packaged, REVIEW__PER_DAY="50", **settings) as (running, client):
        client.headers["x-api-key"] = admin
        before = metrics(client)
        requests = [
            build_request(row, x_api_key=callers[n % 2], x_request_id=str(n)) for n, row in enumerate(rows(200))
        ]
        responses = send_at_once(client.base_url, running, requests)
        assert [response.headers["x-request-id"] for response in responses] == [str(n) for n in range(200)]
        for caller in (0, 1):
            assert Counter(response.status for response in responses[caller::2]) == {200: 30, 429: 70}
        waits = [int(response.headers["retry-after"]) for response in responses if response.status == 429]
        assert all(0 < seconds <= 86_400 for seconds in waits)
        assert metric_increase(client, before, "skline_rejected_requests_total") == {"rate_limited": 140}
        accepted = [response.json for response in responses if response.status == 200]
        assert len(rows_in_log(tmp_path / "log.db", {item["prediction_id"] for item in accepted})) == 60
        # Of 60 predictions in the review band, the capacity of the day is 50.
        assert sum(item["review"] for item in accepted) == 50
        beyond_capacity = "skline_review_beyond_capacity_total"
        assert metrics(client)[beyond_capacity] - before[beyond_capacity] == 10


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["async", "sync"])
def test_shutdown_under_load_logs_every_prediction_that_was_sent(
    mode: str, packaged: demo.Packaged, tmp_path: Path
) -> None:
    with service(tmp_path, packaged, LOG__MODE=mode) as (running, client):
        inputs = rows(50)
        single = [prediction_of(client.post("/predict", json=row).json()) for row in inputs]
        received: dict[str, str] = {}
        wrong: list[RawResponse] = []
        enough = threading.Event()

        def send_requests(client_number: int) -> None:
            """Send up to three requests at a time until the connection is closed."""
            with RawConnection(client.base_url) as connection, suppress(ConnectionError):
                for step in range(1_000_000):
                    n = (client_number + step) % 50
                    names = [f"{client_number}-{step}-{k}" for k in range(1 + client_number % 3)]
                    connection.send(b"".join(build_request(inputs[n], x_request_id=name) for name in names))
                    for name in names:
                        response = connection.read_response()
                        actual = response.status, response.headers["x-request-id"], prediction_of(response.json)
                        if actual != (200, name, single[n]):
                            wrong.append(response)
                        received[response.json["prediction_id"]] = name
                    if len(received) > 500:
                        enough.set()

        threads = [threading.Thread(target=send_requests, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        assert enough.wait(20)
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == -signal.SIGTERM
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)
        assert not wrong
        log = rows_in_log(tmp_path / "log.db", set(received), 0)
        assert all(log[prediction_id]["request_id"] == name for prediction_id, name in received.items())


@pytest.fixture(scope="module")
def challenger(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    fitted = train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": 3}, seed=17)
    return demo.package(tmp_path_factory.mktemp("challenger") / "artifact", fitted)


@pytest.mark.slow
def test_simultaneous_requests_are_each_scored_by_the_arm_of_their_entity(
    packaged: demo.Packaged, challenger: demo.Packaged, tmp_path: Path
) -> None:
    releases = ServedReleases(tmp_path)
    releases.promote(packaged)
    releases.start_experiment(challenger, "canary", 30, guards=Guards(min_rows=100_000))
    with service(tmp_path, packaged, RELEASE=str(releases.store.manifest)) as (running, client):
        inputs = rows(200)
        entities = [{"x-entity-id": f"e{n % 70}"} for n in range(200)]
        single = [
            client.post("/predict", json=row, headers=entity).json()
            for row, entity in zip(inputs, entities, strict=True)
        ]
        requests = [build_request(row, x_request_id=str(n), **entities[n]) for n, row in enumerate(inputs)]
        responses = send_at_once(client.base_url, running, requests)
        for n, response in enumerate(responses):
            actual = response.status, response.headers["x-request-id"], prediction_of(response.json)
            assert actual == (200, str(n), prediction_of(single[n]))
            assert response.json["model_version"] == single[n]["model_version"]
        assert len({response.json["model_version"] for response in responses}) == 2
        log = rows_in_log(tmp_path / "log.db", {response.json["prediction_id"] for response in responses})
        for n, response in enumerate(responses):
            row = log[response.json["prediction_id"]]
            assert (row["request_id"], row["model_version"]) == (str(n), response.json["model_version"])
            is_champion = version_of(packaged) == row["model_version"]
            assert row["arm"] == row["role"] == ("champion" if is_champion else "challenger")


def test_service_that_starts_during_an_experiment_is_ready_when_its_challenger_is_loaded(
    packaged: demo.Packaged, challenger: demo.Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    releases = ServedReleases(tmp_path)
    releases.promote(packaged)
    number = releases.start_experiment(challenger, "canary", 30)
    loading, may_continue = threading.Event(), threading.Event()
    load = manager.load_model

    async def load_challenger_late(artifact: Any, *rest: Any) -> Any:
        if artifact.digest == challenger.digest:
            loading.set()
            await asyncio.to_thread(may_continue.wait, 20)
        return await load(artifact, *rest)

    monkeypatch.setattr(manager, "load_model", load_challenger_late)
    settings = ServiceSettings(release=releases.store.manifest, log=releases.log)
    with conftest.running(create_app(settings)) as client:
        try:
            assert loading.wait(20)
            assert client.get("/health/ready").status_code == 503
            assert metrics(client)["skline_ready"] == 0
        finally:
            may_continue.set()
        conftest.wait_until_loaded(client)
        assert client.get("/health/ready").status_code == 200
        assert client.get("/info").json()["release"] == number
        assert metrics(client)["skline_ready"] == 1
