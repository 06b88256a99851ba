"""Eight clients that each send the largest body allowed neither delay other requests nor take more memory than stated.

The bodies are those that take the most: of tensors with more elements than the model has columns, of quotes and commas
alone, of rows and labels that are all invalid, and of valid rows.
"""

import contextlib
import http.client
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.fixtures import demo
from tests.fixtures.memory import peak_mib, resident_mib
from tests.fixtures.raw_http import RawConnection, build_request
from tests.fixtures.server import process

pytestmark = pytest.mark.slow

CLIENTS = 8
LIMIT = 16 * 2**20 - 1024
#: The bound that docs/security.md states: MiB by which the process grows, with 64 clients, whatever they send.
GROWTH_MIB = 400
#: Milliseconds; and those of an idle service on a machine that is idle itself.
LIMIT_MS, IDLE_MS = 100, 15
#: The JSON parser reads a text of 16 MiB in one call of 30 to 60 ms, and a response takes several turns.
LIMITS_MS = {"escapes": 300, "wide characters": 300}
#: Measurements of a kind of body, of which the best counts: other work on the machine disturbs some, a service that
#: stops is slow in all.
ROUNDS = 3
#: Seconds between the starts of two probes, and of measuring an idle service.
PROBE_SECONDS, IDLE_SECONDS = 0.01, 3

COLUMNS = demo.contract().inputs
ROW = {column.name: column.example for column in COLUMNS}
V2 = "/v2/models/demo/infer"


class Body(NamedTuple):
    """A body, with its route and what its headers say of it."""

    path: str
    content: bytes
    headers: dict[str, str]


def filled(start: bytes, unit: bytes, end: bytes = b"", size: int = LIMIT) -> bytes:
    """Return `start`, then `unit` as often as fits into `size` bytes, then `end`."""
    return start + unit * ((size - len(start) - len(end)) // len(unit)) + end


def tensor(datatype: str, shape: list[int], tail: bytes) -> Body:
    """Return a request with one binary tensor for a column."""
    parameters = {"binary_data_size": len(tail)}
    part = {"name": COLUMNS[0].name, "datatype": datatype, "shape": shape, "parameters": parameters}
    head = json.dumps({"inputs": [part]}).encode()
    return Body(V2, head + tail, {"inference-header-content-length": str(len(head))})


def as_json(path: str, content: bytes) -> Body:
    return Body(path, content, {"content-type": "application/json"})


def as_csv(path: str, content: bytes) -> Body:
    return Body(path, content, {"content-type": "text/csv"})


def valid_rows(count: int = 10_000) -> bytes:
    return json.dumps([ROW] * count).encode()


EMPTY_ROWS = filled(b"[", b"{},", b"{}]", size=800_000)
HEADER = ",".join(ROW).encode() + b"\n"
MARKS, FIELDS = b'",', b'"%d":0,'
BODIES: dict[str, Callable[[], Body]] = {
    "bytes in a wide tensor": lambda: tensor("UINT8", [1, LIMIT - 512], bytes(LIMIT - 512)),
    "numbers in a wide tensor": lambda: tensor("FP64", [1, LIMIT // 8 - 64], bytes(LIMIT - 512)),
    "empty texts in a wide tensor": lambda: tensor("BYTES", [1, LIMIT // 4 - 128], bytes(LIMIT - 512)),
    "empty texts, more than the rows": lambda: tensor("BYTES", [10_000], bytes(LIMIT - 512)),
    "quotes and commas to a row": lambda: as_json("/predict", filled(b"", MARKS)),
    "quotes and commas to a batch": lambda: as_json("/predict/batch", filled(b"", MARKS)),
    "quotes and commas as CSV": lambda: as_csv("/predict/batch", filled(b"", MARKS)),
    "quotes and commas to /invocations": lambda: as_json("/invocations", filled(b"", MARKS)),
    "quotes and commas as CSV to /invocations": lambda: as_csv("/invocations", filled(b"", MARKS)),
    "quotes and commas to /v2": lambda: as_json(V2, filled(b"", MARKS)),
    "quotes and commas as labels": lambda: as_json("/labels", filled(b"", MARKS)),
    "quoted commas in a row": lambda: as_json("/predict", filled(b'{"carrier":"', b",", b'"}')),
    "quoted commas as CSV": lambda: as_csv("/predict/batch", filled(HEADER + b'"', b",", b'"')),
    "one line of CSV": lambda: as_csv("/predict/batch", filled(HEADER, b"a" * 100_000 + b",")),
    "wide characters in a line of CSV": lambda: as_csv("/invocations", filled(HEADER, "😀,".encode())),
    "empty rows": lambda: as_json("/predict/batch", EMPTY_ROWS),
    "empty rows as records": lambda: as_json("/invocations", b'{"dataframe_records":' + EMPTY_ROWS + b"}"),
    "ten thousand empty rows": lambda: as_json("/predict/batch", b"[" + b"{}," * 9_999 + b"{}]"),
    "fields of one row": lambda: as_json(
        "/predict/batch", b"[{" + b",".join(FIELDS[:-1] % number for number in range(260_000)) + b"}]"
    ),
    "objects in one row": lambda: as_json(
        "/predict/batch", b"[{" + b",".join(b'"%d":{}' % number for number in range(260_000)) + b"}]"
    ),
    "fields of one record": lambda: as_json(
        "/invocations", b'{"instances":[{' + b",".join(FIELDS[:-1] % number for number in range(260_000)) + b"}]}"
    ),
    "invalid inputs": lambda: as_json(V2, filled(b'{"inputs":[', b"0,", b"0]}", size=500_000)),
    "fields of an input": lambda: as_json(
        V2, b'{"inputs":[{' + b",".join(FIELDS[:-1] % number for number in range(260_000)) + b"}]}"
    ),
    "empty labels": lambda: as_json("/labels", filled(b"[", b"{},", b"{}]", size=140_000)),
    "escapes": lambda: as_json("/predict/batch", filled(b'[{"carrier":"', b"\\u00e9", b'"}]')),
    "wide characters": lambda: as_json("/predict/batch", filled(b'[{"carrier":"', "😀".encode(), b'"}]')),
    "valid rows": lambda: as_json("/predict/batch", valid_rows()),
    "valid rows as records": lambda: as_json("/invocations", b'{"dataframe_records":' + valid_rows() + b"}"),
    "valid rows as CSV": lambda: as_csv("/predict/batch", HEADER + b"\n".join([csv_line()] * 10_000)),
}


def csv_line() -> bytes:
    return ",".join(map(str, ROW.values())).encode()


#: Nobody reads the log while the service runs, and lines for hundreds of rejected requests would fill its pipe.
SETTINGS = {"LOGGING__REQUESTS": "off"}


def send(url: httpx.URL, body: Body) -> int:
    """Send a body and return the status; 0 if the service closes the connection before it has the whole body."""
    with contextlib.closing(http.client.HTTPConnection(url.host, url.port, timeout=120)) as connection:
        try:
            connection.request("POST", body.path, body.content, body.headers)
            response = connection.getresponse()
            response.read()
        except (ConnectionError, http.client.HTTPException):
            return 0
        return response.status


class Probes:
    """Requests to /health/live every PROBE_SECONDS, over one connection.

    A response that takes longer keeps later requests from being sent. They are counted as if they had been sent in time
    and had got their responses together with it; otherwise a service that stops for a second would have one slow
    response.

    Attributes
    ----------
    milliseconds : list of float
    """

    def __init__(self, url: httpx.URL) -> None:
        self.milliseconds: list[float] = []
        self._url, self._stop = url, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Probes":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def p99(self) -> float:
        """Return the 99th percentile."""
        return sorted(self.milliseconds)[math.ceil(0.99 * len(self.milliseconds)) - 1]

    def _run(self) -> None:
        request = build_request(b"", "/health/live", method="GET")
        with RawConnection(self._url, seconds=120) as connection:
            while not self._stop.wait(PROBE_SECONDS):
                sent = time.perf_counter()
                connection.send(request)
                assert connection.read_response().status == 200
                seconds = time.perf_counter() - sent
                while seconds > 0:
                    self.milliseconds.append(seconds * 1000)
                    seconds -= PROBE_SECONDS


def idle_p99(url: httpx.URL) -> float:
    """Return the 99th percentile of a service without other requests."""
    with Probes(url) as probes:
        time.sleep(IDLE_SECONDS)
    return probes.p99()


@pytest.fixture(scope="module")
def service(packaged: demo.Packaged) -> Iterator[tuple[int, httpx.Client]]:
    """Process id and client of a service with the default limits."""
    with process(packaged, **SETTINGS) as (running, client):
        for _ in range(20):
            client.post("/predict/batch", json=[ROW] * 100)
        yield running.pid, client


def send_together(threads: ThreadPoolExecutor, url: httpx.URL, bodies: list[Body]) -> list[int]:
    """Send bodies over a connection each; return the statuses."""
    requests: list[Future[int]] = [threads.submit(send, url, body) for body in bodies]
    return [request.result() for request in requests]


def check_statuses(name: str, statuses: list[int]) -> None:
    """Valid rows get a response or find the service busy; everything else is rejected."""
    allowed = {200, 503} if name.startswith("valid") else {0, 413, 422, 503}
    assert set(statuses) <= allowed, (name, statuses)


def p99_while_sending(threads: ThreadPoolExecutor, url: httpx.URL, name: str, bodies: list[Body]) -> float:
    """Return the 99th percentile of the probes, in milliseconds, while bodies are sent for a second or longer."""
    with Probes(url) as probes:
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline or len(probes.milliseconds) < 100:
            check_statuses(name, send_together(threads, url, bodies))
    return probes.p99()


@pytest.mark.alone
def test_live_probe_is_answered_within_100_ms_while_eight_large_bodies_are_sent(
    service: tuple[int, httpx.Client],
) -> None:
    """The 99th percentile of /health/live stays below 100 ms, for each kind of body but those in LIMITS_MS.

    It is asserted where the machine is idle: without large bodies it is below IDLE_MS, before and after.
    Elsewhere the test is skipped, and its reason has the measurements.
    """
    _, client = service
    results = {}
    before = idle_p99(client.base_url)
    with ThreadPoolExecutor(CLIENTS) as threads:
        for name, make in BODIES.items():
            bodies, limit = [make()] * CLIENTS, LIMITS_MS.get(name, LIMIT_MS)
            rounds: list[float] = []
            while not rounds or (min(rounds) >= limit and len(rounds) < ROUNDS):
                rounds.append(p99_while_sending(threads, client.base_url, name, bodies))
            results[name] = round(min(rounds))
            print(f"{name:45} p99 {[round(value) for value in rounds]} ms")
    after = idle_p99(client.base_url)
    measured = f"p99 idle: {before:.1f} ms before, {after:.1f} ms after; while bodies are sent: {results}"
    print(measured)
    if max(before, after) > IDLE_MS:
        pytest.skip(f"the machine is busy with other work; {measured}")
    assert [name for name, p99 in results.items() if p99 >= LIMITS_MS.get(name, LIMIT_MS)] == [], measured


def test_memory_of_64_large_bodies_stays_within_the_documented_bound(packaged: demo.Packaged) -> None:
    """Each kind is sent by 64 clients at once; the peak is that of the process, since its start."""
    peaks = {}
    with process(packaged, **SETTINGS) as (running, client), ThreadPoolExecutor(64) as threads:
        for _ in range(20):
            client.post("/predict/batch", json=[ROW] * 100)
        start = resident_mib(running.pid)
        for name, make in BODIES.items():
            check_statuses(name, send_together(threads, client.base_url, [make()] * 64))
            peaks[name] = round(peak_mib(running.pid) - start)
            print(f"{name:45} peak {peak_mib(running.pid) - start:5.0f} MiB above the {start:.0f} of the start")
        assert client.post("/predict", json=ROW).status_code == 200
    assert max(peaks.values()) < GROWTH_MIB, peaks
    docs: Any = Path(demo.ROOT, "docs/security.md").read_text()
    assert f"by less than {GROWTH_MIB} MiB" in " ".join(docs.split())
