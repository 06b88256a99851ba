"""Counts of requests from a server that speaks Prometheus' API: a real one is asked in the drill of the alerts."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from skline.errors import SklineError
from skline.monitoring.job import Job
from skline.monitoring.operations import describe_operations, operations_checks
from skline.monitoring.prometheus import RequestCounts, query, read_counts
from skline.monitoring.run import run
from skline.settings.monitor import Monitor, Operations
from tests.fixtures.server import free_port
from tests.skline.monitoring.conftest import DAY, END

Respond = Callable[[str], tuple[int, bytes]]


@contextmanager
def server(respond: Respond) -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """Run a server that responds to each query as `respond` says; yield its address and the parameters of requests."""
    requests: list[dict[str, list[str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(parse_qs(urlsplit(self.path).query))
            status, body = respond(requests[-1]["query"][0])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", requests
        running.shutdown()


def result(value: float | None) -> tuple[int, bytes]:
    vector = [] if value is None else [{"metric": {}, "value": [0, str(value)]}]
    return 200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": vector}}).encode()


def test_counts_are_those_of_the_window_and_none_without_values() -> None:
    def respond(expression: str) -> tuple[int, bytes]:
        if "5.." in expression:
            return result(12.5)
        return result(None if "log_rows" in expression else 1000.25)

    with server(respond) as (address, requests):
        counts = read_counts(address + "/", "scorer", END - 7 * DAY, END)
    assert counts == RequestCounts(1000.25, 12.5, 1000.25, None, None)
    assert {float(each["time"][0]) for each in requests} == {END.timestamp()}
    assert all('{job="scorer",' in each["query"][0] and "[604800s]" in each["query"][0] for each in requests)


def test_value_that_is_no_number_counts_as_none() -> None:
    with server(lambda _: result(float("nan"))) as (address, _):
        counts = read_counts(address, "scorer", END - DAY, END)
    assert counts == RequestCounts(None, None, None, None, None)
    assert describe_operations({}, {}, 0, {}, counts).requests is None


@pytest.mark.parametrize(
    ("response", "message"),
    [
        ((503, b"busy"), "responded with status 503"),
        ((200, b"<html>"), "sent no result of a query; is this its address"),
        ((200, b'{"data": {"result": [{"value": [0, "x"]}]}}'), "sent no result of a query"),
        ((200, b"[" * 10**6), "sent no result of a query"),
    ],
)
def test_response_that_is_none_of_prometheus_is_an_error(response: tuple[int, bytes], message: str) -> None:
    with server(lambda _: response) as (address, _), pytest.raises(SklineError, match=message):
        query(address, "up", END)


def test_server_that_is_away_is_a_problem_and_the_report_is_written(
    fill: Callable[..., None], job: Job, tmp_path: Path
) -> None:
    fill(END, 8, 60)
    limits = Operations(prometheus=f"http://127.0.0.1:{free_port()}")
    found = run(dataclasses.replace(job, settings=Monitor(operations=limits)), tmp_path, END + DAY)
    [problem] = found.problems
    assert (problem.part, problem.subject) == ("operations", "prometheus")
    assert "cannot be reached" in problem.message
    undecided = {check.subject for check in found.checks if check.part == "operations" and check.raised is None}
    assert undecided == {"server errors", "dropped log rows"}


@pytest.mark.parametrize(("errors", "raised"), [(None, False), (9.0, False), (40.0, True)])
def test_share_of_errors_is_raised_if_its_whole_interval_is_beyond_the_limit(
    errors: float | None, raised: bool
) -> None:
    limits = Operations(prometheus="http://localhost:9090")
    figures = describe_operations({}, {}, 0, {}, RequestCounts(1000.0, errors, None, 800.0, None))
    checks = {check.subject: check for check in operations_checks(figures, limits, 0, 300)}
    assert checks["server errors"].raised is raised
    assert checks["dropped log rows"].raised is False
    assert "client errors" not in checks, "it has no limit"
    if raised:
        assert checks["server errors"].message == "4.0 % are server errors, beyond 1.0 %"


def test_without_requests_the_checks_are_undecided() -> None:
    limits = Operations(prometheus="http://localhost:9090", client_errors=0.2)
    figures = describe_operations({}, {}, 0, {}, RequestCounts(0.0, None, None, None, None))
    shares = [check for check in operations_checks(figures, limits, 0, 300) if check.subject != "fallbacks"]
    assert [check.raised for check in shares] == [None, None, None]


@pytest.mark.parametrize("address", ["localhost:9090", "ftp://host", "https://user:secret@host", "file:///etc/passwd"])
def test_address_is_http_without_a_password(address: str) -> None:
    with pytest.raises(ValidationError):
        Operations(prometheus=address)
