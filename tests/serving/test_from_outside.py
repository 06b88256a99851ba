"""A crowd that asks a service at the same moment: everybody gets the answer to his own row, whatever others send."""

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

from serving import models
from serving.app import create_app
from serving.settings import ServiceSettings
from skline.settings import Guards
from skline.stages.train import train
from tests import conftest, demo
from tests.serving.releases import World, version_of
from tests.serving.test_drain import process
from tests.serving.wire import H2C, Answer, Line, at_once, held, request
from tests.world.pipeline import build_pipeline

Running = Any
Service = tuple[Any, httpx.Client]


def rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Rows that differ from one another: missing and unseen values among them."""
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


def said(answer: Any) -> tuple[Any, Any]:
    """What a model says of a row, to the last bit: repr and back are exact."""
    return answer["prediction"], answer["probabilities"]


def metrics(client: httpx.Client) -> Counter[str]:
    """Every sample of /metrics by its name and labels."""
    text = client.get("/metrics").text
    return Counter({m[1]: float(m[2]) for m in re.finditer(r"^([^#\s].*) (\S+)$", text, re.MULTILINE)})


def grown(client: httpx.Client, before: Counter[str], name: str) -> dict[str, float]:
    """What samples of a name have grown by, by their labels' values."""
    now = metrics(client)
    found = {}
    for sample, value in now.items():
        if sample.startswith(name + "{") and value != before[sample]:
            found[" ".join(re.findall(r'"([^"]*)"', sample))] = value - before[sample]
    return found


def logged(database: Path, ids: set[str], seconds: float = 10) -> dict[str, dict[str, Any]]:
    """The log's rows by their ids; waits until it has all of `ids`. Fails if one is there twice."""
    end = time.monotonic() + seconds
    while True:
        found: list[dict[str, Any]] = []
        if database.exists():
            with closing(sqlite3.connect(database)) as connection:
                connection.row_factory = sqlite3.Row
                if connection.execute("select 1 from sqlite_master where name = 'predictions'").fetchall():
                    found = [dict(row) for row in connection.execute("select * from predictions")]
        by_id = {row["prediction_id"]: row for row in found}
        assert len(by_id) == len(found)
        if ids <= by_id.keys():
            return by_id
        assert time.monotonic() < end, f"{len(ids - by_id.keys())} of {len(ids)} are not in the log"
        time.sleep(0.05)


def new_key(file: Path, name: str, scopes: str) -> str:
    command = [
        sys.executable,
        "-m",
        "skline.cli",
        "key",
        "new",
        "--file",
        str(file),
        "--name",
        name,
        "--scopes",
        scopes,
    ]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=demo.ROOT).stdout
    found = re.search(r"skl_\w{40,}", told)
    assert found, told
    return found[0]


@contextmanager
def service(folder: Path, packaged: demo.Packaged, **settings: str) -> Iterator[Service]:
    own = {"LOG__DATABASE": str(folder / "log.db"), "LOG__PARTITIONS": str(folder / "days")} | settings
    with process(packaged, **own) as (running, client):
        assert running.stderr is not None
        told = running.stderr
        # A pipe that nobody empties would hold up whoever writes into it.
        reader = threading.Thread(target=lambda: (folder / "stderr").write_text(told.read()))
        reader.start()
        try:
            yield running, client
        finally:
            running.kill()
            reader.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="module")
def plain(folder: Path, packaged: demo.Packaged) -> Iterator[Service]:
    with service(folder, packaged) as running:
        yield running


class Own(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer that nobody can plan: it hands the table on."""

    def fit(self, X: Any, y: Any = None) -> "Own":
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:
        return X.copy()


@pytest.fixture(scope="module")
def unplanned(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    part = demo.parts()["train"]
    inputs = [c.name for c in demo.contract().inputs]
    fitted = make_pipeline(Own(), demo.pipeline())
    fitted.fit(part[inputs], part[demo.contract().target.name])
    return demo.package(tmp_path_factory.mktemp("unplanned") / "artifact", fitted)


def ask_as_a_crowd(running: Running, client: httpx.Client, database: Path, count: int, start: int = 0) -> set[str]:
    """Have each ask for a row of his own at one moment; check his answer, the log and the metrics."""
    asked = rows(count, start)
    alone = [said(client.post("/predict", json=row).json()) for row in asked]
    batch = [said(one) for one in client.post("/predict/batch", json=asked).json()["predictions"]]
    before = metrics(client)
    sent = [
        request(row, x_request_id=f"{start}-{n}", traceparent=f"00-{n + 1:032x}-b7ad6b7169203331-01")
        for n, row in enumerate(asked)
    ]
    answers = at_once(client.base_url, running, sent)
    for n, answer in enumerate(answers):
        assert (answer.status, answer.headers["x-request-id"]) == (200, f"{start}-{n}")
        assert answer.headers["traceresponse"].split("-")[1] == f"{n + 1:032x}"
        assert said(answer.json) == alone[n] == batch[n]
    assert grown(client, before, "skline_predictions_total") == Counter(
        json.dumps(a.json["prediction"]) for a in answers
    )
    missing = sum(row["distance"] is None for row in asked)
    assert grown(client, before, "skline_input_missing_total") == ({"distance": missing} if missing else {})
    timed = grown(client, before, "skline_request_seconds_count")
    assert [n for labels, n in timed.items() if labels.endswith(" /predict 200")] == [count]
    ids = {answer.json["prediction_id"]: n for n, answer in enumerate(answers)}
    assert len(ids) == count
    log = logged(database, set(ids))
    for prediction, n in ids.items():
        row = log[prediction]
        assert (row["request_id"], json.loads(row["inputs"])) == (f"{start}-{n}", asked[n])
        assert (json.loads(row["prediction"]), json.loads(row["probabilities"])) == alone[n]
    return set(ids)


def test_each_of_a_crowd_gets_the_answer_to_his_own_row(plain: Service, folder: Path) -> None:
    for count, start in ((3, 0), (4, 100), (300, 1000)):
        ask_as_a_crowd(*plain, folder / "log.db", count, start)


@pytest.mark.slow
def test_also_where_the_pipeline_itself_is_asked(unplanned: demo.Packaged, tmp_path: Path) -> None:
    with service(tmp_path, unplanned) as (running, client):
        assert client.get("/info").json()["scoring"]["path"] == "pipeline"
        ask_as_a_crowd(running, client, tmp_path / "log.db", 60)


@pytest.mark.slow
def test_what_a_log_in_sync_mode_has_acknowledged_is_there_after_a_kill(
    packaged: demo.Packaged, tmp_path: Path
) -> None:
    with service(tmp_path, packaged, LOG__MODE="sync") as (running, client), ExitStack() as stack:
        acknowledged = ask_as_a_crowd(running, client, tmp_path / "log.db", 200)
        lines = [stack.enter_context(Line(client.base_url)) for _ in range(200)]
        for line, row in zip(lines, rows(200, 300), strict=True):
            line.send(request(row))
        acknowledged |= {line.answer().json["prediction_id"] for line in lines[:40]}
        running.kill()
        running.wait()
        for line in lines[40:]:
            with suppress(OSError):
                acknowledged.add(line.answer().json["prediction_id"])
        logged(tmp_path / "log.db", acknowledged, 0)


def in_chunks(row: object, **headers: str) -> bytes:
    """Write a request down whose body comes in chunks of seven bytes."""
    body = json.dumps(row).encode()
    parts = [body[i : i + 7] for i in range(0, len(body), 7)]
    whole = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])
    head, _, _ = request(b"", **headers).partition(b"content-length")
    rest = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return head + f"transfer-encoding: chunked\r\n{rest}\r\n".encode() + whole


def test_callers_of_every_kind_amid_one_another(packaged: demo.Packaged, tmp_path: Path) -> None:
    """Good ones, odd ones, wrong ones and those who may not: each is told what he is told alone, and counted."""
    keys = tmp_path / "keys.json"
    good, label, admin = (new_key(keys, name, name) for name in ("predict", "label", "predict,admin"))
    site = "https://a.example"
    with service(tmp_path, packaged, SECURITY__KEY_FILE=str(keys), CORS__ORIGINS=f'["{site}"]') as (running, client):
        client.headers["x-api-key"] = admin
        asked = rows(20)
        alone = [said(client.post("/predict", json=row).json()) for row in asked]
        before = metrics(client)
        kinds: dict[str, tuple[int, Any]] = {
            "plain": (200, lambda row, **h: request(row, x_api_key=good, **h)),
            "site": (200, lambda row, **h: request(row, authorization=f"Bearer {good}", origin=site, **h)),
            "explained": (200, lambda row, **h: request(row, "/predict?explain=true", x_api_key=good, **h)),
            "closing": (200, lambda row, **h: request(row, x_api_key=good, connection="close", **h)),
            "old": (200, lambda row, **h: request(row, version="1.0", x_api_key=good, **h)),
            "chunks": (200, lambda row, **h: in_chunks(row, x_api_key=good, **h)),
            "expecting": (200, lambda row, **h: request(row, x_api_key=good, expect="100-continue", **h)),
            "keyless": (401, request),
            "wrong": (401, lambda row, **h: request(row, x_api_key=good[:-1], origin=site, **h)),
            "label": (403, lambda row, **h: request(row, x_api_key=label, **h)),
            "broken": (422, lambda row, **h: request(row | {"carrier": "long"}, x_api_key=good, **h)),
            "cut": (422, lambda row, **h: request(json.dumps(row)[:-3].encode(), x_api_key=good, **h)),
            "batch": (200, lambda row, **h: request([row, row], "/predict/batch", x_api_key=good, **h)),
            "mlflow": (
                200,
                lambda row, **h: request({"dataframe_records": [row]}, "/invocations", x_api_key=good, **h),
            ),
        }
        told = [(n, kind) for n in range(len(asked)) for kind in kinds]
        sent = [kinds[kind][1](asked[n], x_request_id=f"{kind}-{n}") for n, kind in told]
        ids: dict[str, str] = {}
        for (n, kind), answer in zip(told, at_once(client.base_url, running, sent), strict=True):
            assert (answer.status, answer.headers["x-request-id"]) == (kinds[kind][0], f"{kind}-{n}")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers.get("access-control-allow-origin") == (site if kind in ("site", "wrong") else None)
            assert (answer.headers.get("connection") == "close") == (kind in ("closing", "old"))
            if answer.status != 200:
                continue
            if kind == "mlflow":
                assert answer.json["predictions"] == [alone[n][0]]
                ids[answer.json["prediction_ids"][0]] = f"{kind}-{n}"
                continue
            for one in answer.json["predictions"] if kind == "batch" else [answer.json]:
                assert said(one) == alone[n]
                ids[one["prediction_id"]] = f"{kind}-{n}"
        assert grown(client, before, "skline_refusals_total") == {"unauthorized": 40, "forbidden": 20}
        assert sum(grown(client, before, "skline_predictions_total").values()) == len(ids) == 20 * 10
        timed = grown(client, before, "skline_request_seconds_count")
        assert {labels.removeprefix("plan "): n for labels, n in timed.items() if "predict" in labels} == {
            "/predict 200": 140, "/predict 401": 40, "/predict 403": 20, "/predict 422": 40, "/predict/batch 200": 20,
        }  # fmt: skip
        log = logged(tmp_path / "log.db", set(ids))
        assert all(log[prediction]["request_id"] == request_id for prediction, request_id in ids.items())


def test_requests_one_after_the_other_on_a_line_are_answered_in_their_order(plain: Service) -> None:
    _, client = plain
    asked = rows(60, 5000)
    alone = [said(client.post("/predict", json=row).json()) for row in asked]
    sent: list[tuple[bytes, int, int | None]] = []
    for n, row in enumerate(asked):
        sent.append((request(row, x_request_id=str(len(sent))), 200, n))
        if n % 3 == 1:
            sent.append((request(b"{}", x_request_id=str(len(sent))), 422, None))
        if n % 5 == 1:
            sent.append((request(b"", "/health/live", method="GET", x_request_id=str(len(sent))), 200, None))
        if n % 7 == 1:
            sent.append((request(row, "/predict?explain=true", x_request_id=str(len(sent))), 200, n))
    with Line(client.base_url) as line:
        line.send(b"".join(data for data, _, _ in sent) + request(asked[0], connection="close") + request(asked[1]))
        for index, (_, status, row_asked) in enumerate(sent):
            answer = line.answer()
            assert (answer.status, answer.headers["x-request-id"]) == (status, str(index))
            assert row_asked is None or said(answer.json) == alone[row_asked]
        assert said(line.answer().json) == alone[0]
        assert line.ended()


def test_requests_that_are_cut_at_any_byte_are_the_same_requests(plain: Service) -> None:
    running, client = plain
    asked = rows(2, 6000)
    alone = [said(client.post("/predict", json=row).json()) for row in asked]
    whole = b"".join(request(row, x_request_id=str(n)) for n, row in enumerate(asked))
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(client.base_url)) for _ in range(1, len(whole))]
        for cut, line in enumerate(lines, 1):
            line.send(whole[:cut])
        assert client.post("/predict", json=asked[0]).status_code == 200  # the first parts have been read
        with held(running):
            for cut, line in enumerate(lines, 1):
                line.send(whole[cut:])
        for line in lines:
            for n in range(2):
                answer = line.answer()
                assert (answer.status, answer.headers["x-request-id"], said(answer.json)) == (200, str(n), alone[n])


def test_who_asks_for_another_protocol_is_answered_in_this_one(plain: Service) -> None:
    """As Java's client does with its first request, whose body may come after its head."""
    _, client = plain
    row = rows(1)[0]
    alone = said(client.post("/predict", json=row).json())
    whole = request(row, x_request_id="first", **H2C)
    for cut in (0, 30, whole.index(b"\r\n\r\n") + 4, len(whole) - 5):
        with Line(client.base_url) as line:
            line.send(whole[:cut])
            assert client.get("/health/live").status_code == 200  # the first part has been read
            line.send(whole[cut:] + whole + request(row, connection="close, upgrade", upgrade="websocket"))
            assert [said(line.answer().json) for _ in range(3)] == [alone] * 3
            assert line.ended()


def test_who_leaves_before_the_answer_takes_nothing_from_those_who_stay(plain: Service, folder: Path) -> None:
    running, client = plain
    asked = rows(100, 7000)
    alone = [said(client.post("/predict", json=row).json()) for row in asked]
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(client.base_url)) for _ in asked]
        for line in lines:
            line.send(request(b"", "/health/live", method="GET"))
        assert {line.answer().status for line in lines} == {200}
        with held(running):
            for n, line in enumerate(lines):
                line.send(request(asked[n], x_request_id=f"stays-{n}"))
                if n % 4 == 1:
                    line.close()
                elif n % 4 == 2:
                    line.reset()
                elif n % 4 == 3:
                    line.finish()
        ids = set()
        for n, line in enumerate(lines):
            if n % 4 in (0, 3):  # who has only said that nothing more comes is answered too
                answer = line.answer()
                assert (answer.headers["x-request-id"], said(answer.json)) == (f"stays-{n}", alone[n])
                ids.add(answer.json["prediction_id"])
    logged(folder / "log.db", ids)


def test_of_two_callers_each_has_the_rate_and_no_row_more(packaged: demo.Packaged, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    callers, admin = [new_key(keys, name, "predict") for name in ("a", "b")], new_key(keys, "c", "admin")
    settings = {"SECURITY__KEY_FILE": str(keys), "LIMITS__RATE": "30/day", "REVIEW__LOW": "0", "REVIEW__HIGH": "1"}
    with service(tmp_path, packaged, REVIEW__PER_DAY="50", **settings) as (running, client):
        client.headers["x-api-key"] = admin
        before = metrics(client)
        sent = [request(row, x_api_key=callers[n % 2], x_request_id=str(n)) for n, row in enumerate(rows(200))]
        answers = at_once(client.base_url, running, sent)
        assert [answer.headers["x-request-id"] for answer in answers] == [str(n) for n in range(200)]
        for caller in (0, 1):
            assert Counter(answer.status for answer in answers[caller::2]) == {200: 30, 429: 70}
        assert all(0 < int(answer.headers["retry-after"]) <= 86_400 for answer in answers if answer.status == 429)
        assert grown(client, before, "skline_refusals_total") == {"rate": 140}
        taken = [answer.json for answer in answers if answer.status == 200]
        assert len(logged(tmp_path / "log.db", {one["prediction_id"] for one in taken})) == 60
        # Of 60 in the band, people have time for 50.
        assert sum(one["review"] for one in taken) == 50
        assert grown(client, before, "skline_review_beyond_capacity_total") == {"review": 10}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["async", "sync"])
def test_told_to_end_amid_a_crowd_it_ends_and_every_answer_given_is_in_the_log(
    mode: str, packaged: demo.Packaged, tmp_path: Path
) -> None:
    with service(tmp_path, packaged, LOG__MODE=mode) as (running, client):
        asked = rows(50)
        alone = [said(client.post("/predict", json=row).json()) for row in asked]
        answered: dict[str, str] = {}
        wrong: list[Answer] = []
        enough = threading.Event()

        def ask(me: int) -> None:
            """Ask, by up to three requests at a time, until the connection is closed."""
            with Line(client.base_url) as line, suppress(ConnectionError):
                for turn in range(1_000_000):
                    n, names = (me + turn) % 50, [f"{me}-{turn}-{k}" for k in range(1 + me % 3)]
                    line.send(b"".join(request(asked[n], x_request_id=name) for name in names))
                    for name in names:
                        answer = line.answer()
                        if (answer.status, answer.headers["x-request-id"]) != (200, name) or said(answer.json) != alone[
                            n
                        ]:
                            wrong.append(answer)
                        answered[answer.json["prediction_id"]] = name
                    if len(answered) > 500:
                        enough.set()

        threads = [threading.Thread(target=ask, args=(me,)) for me in range(24)]
        for thread in threads:
            thread.start()
        assert enough.wait(20)
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == -signal.SIGTERM
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)
        assert not wrong
        log = logged(tmp_path / "log.db", set(answered), 0)
        assert all(log[prediction]["request_id"] == name for prediction, name in answered.items())


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    fitted = train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": 3}, seed=17)
    return demo.package(tmp_path_factory.mktemp("another") / "artifact", fitted)


@pytest.mark.slow
def test_entities_of_a_crowd_are_each_answered_by_their_own_arm(
    packaged: demo.Packaged, another: demo.Packaged, tmp_path: Path
) -> None:
    world = World(tmp_path)
    world.promote(packaged)
    world.begin(another, "canary", 30, guards=Guards(min_rows=100_000))
    with service(tmp_path, packaged, RELEASE=str(world.releases.manifest)) as (running, client):
        asked = rows(200)
        entities = [{"x-entity-id": f"e{n % 70}"} for n in range(200)]
        alone = [client.post("/predict", json=row, headers=of).json() for row, of in zip(asked, entities, strict=True)]
        sent = [request(row, x_request_id=str(n), **entities[n]) for n, row in enumerate(asked)]
        answers = at_once(client.base_url, running, sent)
        for n, answer in enumerate(answers):
            assert (answer.status, answer.headers["x-request-id"], said(answer.json)) == (200, str(n), said(alone[n]))
            assert answer.json["model_version"] == alone[n]["model_version"]
        assert len({answer.json["model_version"] for answer in answers}) == 2
        log = logged(tmp_path / "log.db", {answer.json["prediction_id"] for answer in answers})
        for n, answer in enumerate(answers):
            row = log[answer.json["prediction_id"]]
            assert (row["request_id"], row["model_version"]) == (str(n), answer.json["model_version"])
            assert (
                row["arm"]
                == row["role"]
                == ("champion" if version_of(packaged) == row["model_version"] else "challenger")
            )


def test_a_service_that_starts_amid_an_experiment_is_ready_when_its_challenger_is(
    packaged: demo.Packaged, another: demo.Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.promote(packaged)
    number = world.begin(another, "canary", 30)
    loading, go_on = threading.Event(), threading.Event()
    load = models.load_model

    async def held_up(artifact: Any, *rest: Any) -> Any:
        if artifact.digest == another.digest:
            loading.set()
            await asyncio.to_thread(go_on.wait, 20)
        return await load(artifact, *rest)

    monkeypatch.setattr(models, "load_model", held_up)
    settings = ServiceSettings(release=world.releases.manifest, log=world.log)
    with conftest.running(create_app(settings)) as client:
        try:
            assert loading.wait(20)
            assert client.get("/health/ready").status_code == 503
            assert metrics(client)["skline_ready"] == 0
        finally:
            go_on.set()
        conftest.wait_until_loaded(client)
        assert client.get("/health/ready").status_code == 200
        assert client.get("/info").json()["release"] == number
        assert metrics(client)["skline_ready"] == 1
