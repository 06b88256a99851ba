"""The client: parsing of wrk's output, and the requests that it sends."""

import collections
import http.server
import json
import shutil
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load import wrk
from benchmarks.load.latency import Histogram, percentile, remove_correction
from benchmarks.load.processes import ServerFailed


def corrected(seen: Histogram, interval: int) -> Histogram:
    """Apply wrk's correction to real latencies."""
    counts = collections.Counter(seen)
    for latency in sorted(seen):
        if latency >= 2 * interval:
            for added in range(latency - interval, interval, -interval):
                counts[added] += seen[latency]
    return dict(counts)


@given(
    seen=st.dictionaries(st.integers(1, 5_000), st.integers(1, 50), min_size=1, max_size=40),
    connections=st.integers(1, 64),
    microseconds=st.integers(10_000, 1_000_000),
)
def test_removes_latencies_that_the_correction_added(seen: Histogram, connections: int, microseconds: int) -> None:
    requests = sum(seen.values())
    interval = microseconds // max(requests // connections, 1)
    assert remove_correction(corrected(seen, interval), requests, microseconds, connections) == seen


def test_percentiles_are_real_latencies() -> None:
    seen = {1_000: 98, 2_000: 1, 900_000: 1}
    assert [percentile(seen, share) for share in (0.5, 0.98, 0.99, 1.0)] == [1.0, 1.0, 2.0, 900.0]


def output(**changes: object) -> str:
    raw = {"requests": 100, "microseconds": 2_000_000, "statuses": 10, "broken": 3, "latencies": [[500, 99], [700, 1]]}
    return f"Running 2s test\nfigures {json.dumps(raw | changes)}\n"


def test_rate_counts_good_responses_only() -> None:
    assert wrk.parse(output(), connections=1) == wrk.Figures(rate=45.0, p50_ms=0.5, p99_ms=0.5, failed=13)


def test_reports_server_without_good_response_as_failed() -> None:
    for text in (output(statuses=100), output(requests=0, statuses=0, latencies=[])):
        with pytest.raises(ServerFailed, match="no good response"):
            wrk.parse(text, connections=64)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_sends_bodies_in_turn_and_counts_rejected_requests(tmp_path):
    received: collections.Counter[bytes] = collections.Counter()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received[body] += self.headers["X-Key"] == "k" and self.headers["Content-Type"] == "application/json"
            self.send_response(422 if body == b'{"row": 2}' else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    bodies = tmp_path / "rows.jsonl"
    bodies.write_text("".join(f'{{"row": {index}}}\n' for index in range(4)))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        figures = wrk.drive(server.server_address[1], "/predict", bodies, 1, 1, {"X-Key": "k"})
        server.shutdown()
    assert received.keys() == {f'{{"row": {index}}}'.encode() for index in range(4)}
    assert max(received.values()) - min(received.values()) <= 1
    assert abs(figures.failed - received[b'{"row": 2}']) <= 1
    assert figures.rate > 0
