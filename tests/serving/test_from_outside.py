"""A crowd that asks a service at the same moment: everybody gets the answer to his own row, whatever others send."""

import json
import os
import re
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import make_pipeline

from tests import demo
from tests.serving.releases import World
from tests.serving.test_drain import process
from tests.serving.wire import Answer, Line, at_once, request

Server = "subprocess.Popen[str]"


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
    command = [sys.executable, "-m", "skline.cli", "key", "new", "--file", str(file), "--name", name, "--scopes", scopes]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=demo.ROOT).stdout
    found = re.search(r"skl_\w{40,}", told)
    assert found, told
    return found[0]


@contextmanager
def service(folder: Path, packaged: demo.Packaged, **settings: str) -> Iterator[tuple[Any, httpx.Client]]:
    own = {"LOG__DATABASE": str(folder / "log.db"), "LOG__PARTITIONS": str(folder / "days")} | settings
    with process(packaged, **own) as (running, client):
        yield running, client


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="module")
def plain(folder: Path, packaged: demo.Packaged) -> Iterator[tuple[Any, httpx.Client]]:
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


def crowd_check(running: Any, client: httpx.Client, database: Path, count: int, start: int = 0) -> None:
    asked = rows(count, start)
    alone = [client.post("/predict", json=row).json() for row in asked]
    batch = client.post("/predict/batch", json=asked).json()["predictions"]
    before = metrics(client)
    traces = [f"{n:032x}" for n in range(1, count + 1)]
    sent = [
        request(row, x_request_id=f"crowd-{start}-{n}", traceparent=f"00-{traces[n]}-b7ad6b7169203331-01")
        for n, row in enumerate(asked)
    ]
    answers = at_once(client.base_url, running, sent)
    for n, answer in enumerate(answers):
        assert answer.status == 200
        assert answer.headers["x-request-id"] == f"crowd-{start}-{n}"
        assert answer.headers["traceresponse"].split("-")[1] == traces[n]
        assert said(answer.json) == said(alone[n]) == said(batch[n])
    assert grown(client, before, "skline_request_seconds_count")
    classes = Counter(json.dumps(a.json["prediction"]) for a in answers)
    assert grown(client, before, "skline_predictions_total") == classes
    miss = sum(r["distance"] is None for r in asked)
    assert grown(client, before, "skline_input_missing_total") == ({"distance": miss} if miss else {})
    requests = grown(client, before, "skline_request_seconds_count")
    assert sum(v for k, v in requests.items() if "/predict " in k) == count
    ids = {a.json["prediction_id"]: n for n, a in enumerate(answers)}
    assert len(ids) == count
    log = logged(database, set(ids))
    for id_, n in ids.items():
        assert log[id_]["request_id"] == f"crowd-{start}-{n}"
        assert json.loads(log[id_]["inputs"]) == asked[n]
        assert said({k: json.loads(log[id_][k]) for k in ("prediction", "probabilities")}) == said(alone[n]), (
            log[id_]["probabilities"], alone[n])


def test_crowd_plan(plain: Any, folder: Path) -> None:
    for count, start in ((300, 0), (4, 1000), (3, 1100), (5, 1200), (700, 2000)):
        crowd_check(*plain, folder / "log.db", count, start)


def test_crowd_unplanned(unplanned: demo.Packaged, tmp_path: Path) -> None:
    with service(tmp_path, unplanned) as (running, client):
        info = client.get("/info").json()
        print(info["scoring"])
        assert info["scoring"]["path"] == "pipeline"
        for count, start in ((300, 0), (4, 1000), (600, 2000)):
            crowd_check(running, client, tmp_path / "log.db", count, start)


def test_crowd_sync(packaged: demo.Packaged, tmp_path: Path) -> None:
    with service(tmp_path, packaged, LOG__MODE="sync") as (running, client):
        for count, start in ((300, 0), (4, 1000), (600, 2000)):
            crowd_check(running, client, tmp_path / "log.db", count, start)
        sent = [request(row, x_request_id=f"k{n}") for n, row in enumerate(rows(300))]
        got = []
        lines = [Line(client.base_url) for _ in sent]
        for line, data in zip(lines, sent):
            line.send(data)
        for line in lines[:60]:
            got.append(line.answer())
        running.kill()
        running.wait()
        for line in lines[60:]:
            try:
                got.append(line.answer())
            except (ConnectionError, OSError):
                pass
        for line in lines:
            line.close()
        print(len(got))
        logged(tmp_path / "log.db", {a.json["prediction_id"] for a in got}, 0)


def test_mix(packaged: demo.Packaged, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    good, label, admin = (new_key(keys, n, s) for n, s in (("a", "predict"), ("b", "label"), ("c", "predict,admin")))
    with service(
        tmp_path, packaged, SECURITY__KEY_FILE=str(keys), CORS__ORIGINS='["https://a.example"]'
    ) as (running, client):
        client.headers["x-api-key"] = admin
        asked = rows(40)
        alone = [said(client.post("/predict", json=row).json()) for row in asked]
        before = metrics(client)
        sent: list[bytes] = []
        expect: list[tuple[int, Any]] = []
        for n, row in enumerate(asked):
            body = json.dumps(row).encode()
            chunked = b"".join(b"%x\r\n%s\r\n" % (len(body[i : i + 7]), body[i : i + 7]) for i in range(0, len(body), 7)) + b"0\r\n\r\n"
            chunk_head = f"POST /predict HTTP/1.1\r\nhost: a\r\nx-request-id: m{n}-C\r\ncontent-type: application/json\r\nx-api-key: {good}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
            for kind, data, status in [
                ("g", request(row, x_api_key=good, x_request_id=f"m{n}-g"), 200),
                ("b", request(row, authorization=f"Bearer {good}", x_request_id=f"m{n}-b", origin="https://a.example"), 200),
                ("e", request(row, "/predict?explain=true", x_api_key=good, x_request_id=f"m{n}-e"), 200),
                ("n", request(row, x_request_id=f"m{n}-n"), 401),
                ("w", request(row, x_api_key=good[:-1] + ("A" if good[-1] != "A" else "B"), x_request_id=f"m{n}-w", origin="https://a.example"), 401),
                ("l", request(row, x_api_key=label, x_request_id=f"m{n}-l"), 403),
                ("c", request(row, x_api_key=good, x_request_id=f"m{n}-c", connection="close"), 200),
                ("0", request(row, version="1.0", x_api_key=good, x_request_id=f"m{n}-0"), 200),
                ("C", chunk_head + chunked, 200),
                ("v", request(row | {"carrier": "toolong"}, x_api_key=good, x_request_id=f"m{n}-v"), 422),
                ("j", request(body[:-3], x_api_key=good, x_request_id=f"m{n}-j"), 422),
                ("E", request(row, x_api_key=good, x_request_id=f"m{n}-E", expect="100-continue"), 200),
                ("G", request(b"", x_api_key=good, x_request_id=f"m{n}-G", method="GET"), 405),
                ("B", request([row, row], "/predict/batch", x_api_key=good, x_request_id=f"m{n}-B"), 200),
                ("I", request({"dataframe_records": [row]}, "/invocations", x_api_key=good, x_request_id=f"m{n}-I"), 200),
            ]:
                sent.append(data)
                expect.append((status, (n, kind)))
        answers = at_once(client.base_url, running, sent)
        rowcount = 0
        ids = {}
        for answer, (status, (n, kind)) in zip(answers, expect, strict=True):
            if answer.status == 100:
                print("100 seen")
                continue
            rid = f"m{n}-{kind}"
            if answer.status == 503:
                print("503", rid, answer.body); continue
            assert answer.status == status, (rid, answer)
            assert answer.headers["x-request-id"] == rid
            assert answer.headers["x-content-type-options"] == "nosniff"
            if kind in "bw":
                assert answer.headers.get("access-control-allow-origin") == "https://a.example", (rid, answer)
            if kind in "gbec0CE":
                assert said(answer.json) == alone[n], rid
                ids[answer.json["prediction_id"]] = rid
            if kind == "B":
                assert [said(a) for a in answer.json["predictions"]] == [alone[n]] * 2
                ids |= {a["prediction_id"]: rid for a in answer.json["predictions"]}
            if kind == "I":
                assert answer.json["predictions"] == [alone[n][0]]
                ids[answer.json["prediction_ids"][0]] = rid
            if kind in "c0":
                assert answer.headers.get("connection") == "close", answer
        print({k: v for k, v in Counter((a.status, e[1][1]) for a, e in zip(answers, expect)).items()})
        print(grown(client, before, "skline_request_seconds_count"))
        print(grown(client, before, "skline_refusals_total"))
        print(grown(client, before, "skline_predictions_total"))
        log = logged(tmp_path / "log.db", set(ids))
        assert all(log[i]["request_id"] == r for i, r in ids.items())


def test_pipelined_and_split(plain: Any, folder: Path) -> None:
    running, client = plain
    asked = rows(60, 5000)
    alone = [said(client.post("/predict", json=row).json()) for row in asked]
    with Line(client.base_url) as line:
        data = b""
        for n, row in enumerate(asked):
            data += request(row, x_request_id=f"p{n}")
            if n % 3 == 1:
                data += request(b"{}", x_request_id=f"q{n}")
            if n % 5 == 1:
                data += request(b"", "/health/live", method="GET", x_request_id=f"h{n}")
            if n % 7 == 1:
                data += request(row, "/predict?explain=true", x_request_id=f"x{n}")
        line.send(data)
        for n, row in enumerate(asked):
            a = line.answer()
            assert (a.status, a.headers["x-request-id"], said(a.json)) == (200, f"p{n}", alone[n])
            if n % 3 == 1:
                a = line.answer()
                assert (a.status, a.headers["x-request-id"]) == (422, f"q{n}")
            if n % 5 == 1:
                a = line.answer()
                assert (a.status, a.headers["x-request-id"]) == (200, f"h{n}")
            if n % 7 == 1:
                a = line.answer()
                assert (a.status, a.headers["x-request-id"], said(a.json)) == (200, f"x{n}", alone[n])
    # pipelined on many connections at the same time, cut anywhere
    one = b"".join(request(row, x_request_id=f"s{n}") for n, row in enumerate(asked[:3]))
    lines = [Line(client.base_url) for _ in range(len(one) - 1)]
    for cut, line in enumerate(lines, 1):
        line.send(one[:cut])
    with Line(client.base_url) as probe:
        probe.send(request(asked[0]))
        assert probe.answer().status == 200
    os.kill(running.pid, signal.SIGSTOP)
    for cut, line in enumerate(lines, 1):
        line.send(one[cut:])
    os.kill(running.pid, signal.SIGCONT)
    for line in lines:
        for n in range(3):
            a = line.answer()
            assert (a.status, a.headers["x-request-id"], said(a.json)) == (200, f"s{n}", alone[n])
        line.close()
    # close in the middle of pipelining
    with Line(client.base_url) as line:
        line.send(request(asked[0], x_request_id="1") + request(asked[1], x_request_id="2", connection="close") + request(asked[2], x_request_id="3"))
        assert [line.answer().headers["x-request-id"] for _ in range(2)] == ["1", "2"]
        assert line.ended()


def test_leavers(plain: Any, folder: Path) -> None:
    running, client = plain
    asked = rows(200, 7000)
    alone = [said(client.post("/predict", json=row).json()) for row in asked]
    before = metrics(client)
    lines = [Line(client.base_url) for _ in asked]
    for line in lines:
        line.send(b"GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n")
        line.answer()
    os.kill(running.pid, signal.SIGSTOP)
    for n, line in enumerate(lines):
        line.send(request(asked[n], x_request_id=f"v{n}"))
        if n % 4 == 1:
            line.close()
        if n % 4 == 2:
            line._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.close()
        if n % 4 == 3:
            line._socket.shutdown(socket.SHUT_WR)
    os.kill(running.pid, signal.SIGCONT)
    ids = {}
    lost = 0
    for n, line in enumerate(lines):
        if n % 4 in (0, 3):
            try:
                a = line.answer()
            except ConnectionError:
                lost += 1
                assert n % 4 == 3
                continue
            assert (a.status, a.headers["x-request-id"], said(a.json)) == (200, f"v{n}", alone[n])
            ids[a.json["prediction_id"]] = n
            line.close()
    print("half-closed lost", lost)
    logged(folder / "log.db", set(ids))
    print(grown(client, before, "skline_request_seconds_count"))
    after = metrics(client)
    print(after['skline_connections{state="open"}'], after['skline_queue{queue="rows"}'], after['skline_queue{queue="requests"}'])


def test_rate(packaged: demo.Packaged, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    first, second, admin = (new_key(keys, n, s) for n, s in (("a", "predict"), ("b", "predict"), ("c", "predict,admin")))
    with service(tmp_path, packaged, SECURITY__KEY_FILE=str(keys), LIMITS__RATE="30/day") as (running, client):
        client.headers["x-api-key"] = admin
        before = metrics(client)
        sent = [request(row, x_api_key=(first, second)[n % 2], x_request_id=f"r{n}") for n, row in enumerate(rows(200))]
        answers = at_once(client.base_url, running, sent)
        for n, a in enumerate(answers):
            assert a.headers["x-request-id"] == f"r{n}"
        print(Counter((n % 2, a.status) for n, a in enumerate(answers)))
        assert Counter((n % 2, a.status) for n, a in enumerate(answers)) == {(k, s): c for k in (0, 1) for s, c in ((200, 30), (429, 70))}
        limited = next(a for a in answers if a.status == 429)
        assert 0 < int(limited.headers["retry-after"]) <= 86400
        print(limited)
        assert grown(client, before, "skline_refusals_total") == {"rate": 140}
        log = logged(tmp_path / "log.db", {a.json["prediction_id"] for a in answers if a.status == 200})
        assert len(log) == 60


def test_review(packaged: demo.Packaged, tmp_path: Path) -> None:
    with service(tmp_path, packaged, REVIEW__LOW="0", REVIEW__HIGH="1", REVIEW__PER_DAY="50") as (running, client):
        asked = rows(200)
        answers = at_once(client.base_url, running, [request(row) for row in asked])
        flagged = {a.json["prediction_id"] for a in answers if a.json.get("review")}
        print(len(flagged), Counter(a.json.get("review") for a in answers))
        assert len(flagged) == 50
        assert metrics(client)['skline_review_beyond_capacity_total{queue="review"}'] == 150
        logged(tmp_path / "log.db", flagged)
        listed = client.get("/review", params={"limit": 100}).json()
        print(str(listed)[:300])


@pytest.mark.parametrize("which", ["plan", "sync", "unplanned"])
def test_sigterm(which: str, packaged: demo.Packaged, unplanned: demo.Packaged, tmp_path: Path) -> None:
    extra = {"LOG__MODE": "sync"} if which == "sync" else {}
    with service(tmp_path, unplanned if which == "unplanned" else packaged, **extra) as (running, client):
        asked = rows(50)
        alone = [said(client.post("/predict", json=row).json()) for row in asked]
        answered: dict[str, str] = {}
        faults: list[Any] = []
        start = threading.Barrier(41)

        def ask(me: int) -> None:
            with Line(client.base_url) as line:
                start.wait()
                k = 0
                while True:
                    rid = f"t{me}-{k}"
                    n = (me + k) % 50
                    try:
                        burst = 1 + me % 3
                        line.send(b"".join(request(asked[n], x_request_id=f"{rid}-{b}") for b in range(burst)))
                        for b in range(burst):
                            a = line.answer()
                            if a.status != 200 or a.headers["x-request-id"] != f"{rid}-{b}" or said(a.json) != alone[n]:
                                faults.append((rid, a))
                            else:
                                answered[a.json["prediction_id"]] = f"{rid}-{b}"
                    except (ConnectionError, TimeoutError) as error:
                        if "closed after ''" not in str(error).replace("b''", "''") and "reset" not in str(error) and "pipe" not in str(error).lower():
                            faults.append(repr(error))
                        return
                    k += 1

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(40)]
        for t in threads:
            t.start()
        start.wait()
        time.sleep(0.7)
        running.send_signal(signal.SIGTERM)
        code = running.wait(20)
        for t in threads:
            t.join(20)
            assert not t.is_alive()
        print(code, len(answered), Counter(str(f)[:150] for f in faults).most_common(5))
        assert not faults
        log = logged(tmp_path / "log.db", set(answered), 0)
        assert all(log[i]["request_id"] == r for i, r in answered.items())


def test_canary(packaged: demo.Packaged, unplanned: demo.Packaged, tmp_path: Path) -> None:
    from skline.stages.train import train
    from tests.serving.test_trials import LENIENT
    from tests.world.pipeline import build_pipeline

    fitted = train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": 3}, seed=17)
    another = demo.package(tmp_path / "another", fitted)
    world = World(tmp_path)
    world.promote(packaged)
    for kind in ("canary", "shadow"):
        if kind == "canary":
            world.begin(another, "canary", 30, guards=LENIENT)
        else:
            world.promote(packaged)
            world.begin(another, "shadow")
        (tmp_path / kind).mkdir()
        with service(tmp_path / kind, packaged, RELEASE=str(world.releases.manifest)) as (running, client):
            world.releases.manifest.exists() and print(world.releases.manifest.read_text()); i = client.get("/info").json(); print({k: v for k, v in i.items() if k != "manifest"}); assert i["experiment"]
            asked = rows(300)
            heads = [{"x-entity-id": f"e{n % 100}"} for n in range(300)]
            alone = [client.post("/predict", json=row, headers=h).json() for row, h in zip(asked, heads)]
            before = metrics(client)
            answers = at_once(
                client.base_url, running,
                [request(row, x_request_id=f"c{n}", **{"x-entity-id": f"e{n % 100}"}) for n, row in enumerate(asked)],
            )
            for n, a in enumerate(answers):
                assert (a.status, a.headers["x-request-id"]) == (200, f"c{n}"), a
                assert said(a.json) == said(alone[n])
                assert a.json["model_version"] == alone[n]["model_version"]
            print(Counter(a.json["model_version"] for a in answers))
            ids = {a.json["prediction_id"]: n for n, a in enumerate(answers)}
            if kind == "shadow":
                time.sleep(1)
            log = logged(tmp_path / kind / "log.db", set(ids) | ({i + ".shadow" for i in ids} if kind == "shadow" else set()))
            for i, n in ids.items():
                assert log[i]["request_id"] == f"c{n}"
                assert json.loads(log[i]["inputs"]) == asked[n]
            print(Counter((r["role"], r["arm"]) for r in log.values()))
            print(grown(client, before, "skline_experiment_rows_total"), grown(client, before, "skline_shadow_rows_total"))
            print(grown(client, before, "skline_request_seconds_count"))


def test_v2(plain: Any) -> None:
    running, client = plain
    asked = rows(100, 9000)
    alone = [said(client.post("/predict", json=row).json()) for row in asked]
    name = client.get("/info").json()["manifest"]["name"]
    kinds = {"distance": "INT64", "sched_dep_time": "INT64", "sched_arr_time": "INT64"}
    asked = [r if r["distance"] else r | {"distance": 1} for r in asked]
    alone = [said(client.post("/predict", json=row).json()) for row in asked]
    sent = [
        request({"id": f"i{n}", "inputs": [{"name": k, "shape": [1], "datatype": kinds.get(k, "BYTES"), "data": [v]} for k, v in row.items()]}, f"/v2/models/{name}/infer", x_request_id=f"v{n}")
        for n, row in enumerate(asked)
    ]
    for n, a in enumerate(at_once(client.base_url, running, sent)):
        assert a.status == 200, a
        assert a.json["id"] == f"i{n}"
        out = {o["name"]: o["data"] for o in a.json["outputs"]}
        assert out["probabilities"] == list(alone[n][1].values()), a
