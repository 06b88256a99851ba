"""/metrics and /monitor with the results of `skline monitor`: as they are, damaged, huge, missing, and slow."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from skline import api_keys, paths
from skline.serving.app import create_app
from skline.serving.observability import monitor_state
from skline.serving.observability.monitor_state import MAX_BYTES, MonitorStateCollector, parse_state
from skline.serving.security.headers import CSP_REPORT
from skline.serving.settings import SecuritySettings, ServiceSettings
from tests.conftest import running, wait_until_loaded
from tests.fixtures import demo
from tests.fixtures.service import metric, metric_by_label

STATE = (
    "# HELP skline_monitor_state 1 for the state\n# TYPE skline_monitor_state gauge\n"
    'skline_monitor_state{part="all",state="ok"} 1.0\nskline_monitor_state{part="a \\"b\\"\\\\",state="ok"} 0.0\n'
    "# HELP skline_monitor_posts_total Posts\n# TYPE skline_monitor_posts_total counter\n"
    "skline_monitor_posts_total 3.0\n"
)
FAILURES = 'skline_store_failures_total{store="monitoring"}'
DAMAGED = {
    "truncated": STATE[:-1],
    "no text": "\xff\xfe".encode("latin-1").decode("latin-1") + STATE,
    "no metrics": "{broken\n",
    "a metric of another name": STATE + "# TYPE up gauge\nup 1.0\n",
    "a metric of the service": STATE + "skline_ready 0\n",
    "a sample twice": STATE + 'skline_monitor_state{part="all",state="ok"} 0.0\n',
    "a time": "# TYPE skline_monitor_rows gauge\nskline_monitor_rows 1.0 12345\n",
    "not finite": "# TYPE skline_monitor_rows gauge\nskline_monitor_rows NaN\n",
    "a histogram": "# TYPE skline_monitor_rows histogram\nskline_monitor_rows_count 1\n",
    "an unclosed label": '# TYPE skline_monitor_rows gauge\nskline_monitor_rows{a="b 1\n',
    "too many bytes": STATE + "# x" * (MAX_BYTES // 3) + "\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("monitor")


@pytest.fixture(scope="module")
def client(folder: Path, packaged: demo.Packaged) -> Iterator[httpx.Client]:
    settings = ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest, monitor_folder=folder)
    with running(create_app(settings)) as client:
        wait_until_loaded(client)
        yield client


@pytest.fixture
def textfile(folder: Path) -> Iterator[Path]:
    path = folder / paths.MONITOR_STATE.name
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def page(folder: Path) -> Iterator[Path]:
    path = folder / paths.MONITOR_PAGE.name
    yield path
    path.unlink(missing_ok=True)


def test_newest_state_is_exported_and_follows_the_file(client: httpx.Client, textfile: Path) -> None:
    assert metric(client, "skline_monitoring_exported") == 0
    textfile.write_text(STATE)
    text = client.get("/metrics").text
    assert STATE in text
    assert "\nskline_monitoring_exported 1.0\n" in text
    textfile.write_text(STATE.replace('state="ok"} 1.0', 'state="ok"} 0.0'))
    assert metric(client, 'skline_monitor_state{part="all",state="ok"}') == 0
    textfile.unlink()
    assert "skline_monitor_" not in client.get("/metrics").text
    assert metric(client, FAILURES) == 0


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt install prometheus")
def test_promtool_accepts_the_metrics_with_those_of_monitoring(client: httpx.Client, textfile: Path) -> None:
    textfile.write_text(STATE)
    text = client.get("/metrics").text
    assert "skline_monitor_state" in text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_state_is_left_out_and_counted_once(client: httpx.Client, textfile: Path, damage: str) -> None:
    before = metric(client, FAILURES)
    textfile.write_text(DAMAGED[damage], encoding="latin-1")
    for _ in range(2):
        text = client.get("/metrics").text
        assert "skline_monitor_" not in text
        assert "\nskline_ready 1.0\n" in text
    assert metric(client, FAILURES) == before + 1
    textfile.write_text(STATE)
    assert metric(client, "skline_monitoring_exported") == 1


def test_folder_and_pipe_in_place_of_the_file_are_failures(folder: Path) -> None:
    for make in (os.mkdir, os.mkfifo):
        path = folder / make.__name__
        make(path)
        state = MonitorStateCollector(path)
        state.read()
        assert (state.failures, list(state.collect())) == (1, [])


def test_file_that_is_slow_to_read_does_not_delay_scrapes_or_start_more_threads(
    client: httpx.Client, textfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    textfile.write_text(STATE)
    assert metric(client, "skline_monitoring_exported") == 1
    release, reads = threading.Event(), []

    def slow(content: bytes) -> object:
        reads.append(len(content))
        release.wait(30)
        return parse_state(content)

    monkeypatch.setattr(monitor_state, "parse_state", slow)
    monkeypatch.setattr(monitor_state, "WAIT_SECONDS", 0.05)
    textfile.write_text(STATE + STATE.replace("monitor_", "monitor_other_"))
    for _ in range(3):
        assert STATE in client.get("/metrics").text
    assert len(reads) == 1
    release.set()
    for _ in range(100):
        if "skline_monitor_other_state" in client.get("/metrics").text:
            break
        time.sleep(0.02)
    else:
        raise AssertionError("the new state is not exported")
    assert metric_by_label(client, "skline_monitor_other_state")


def test_page_is_shown_with_a_policy_without_scripts_and_linked(client: httpx.Client, page: Path) -> None:
    response = client.get("/monitor")
    assert response.status_code == 404
    assert "run `skline monitor`" in response.json()["detail"][0]["msg"]
    assert 'href="monitor"' not in client.get("/").text
    page.write_text("<!doctype html><p>ok")
    response = client.get("/monitor")
    assert (response.status_code, response.text) == (200, "<!doctype html><p>ok")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"] == CSP_REPORT
    assert "script-src" not in CSP_REPORT
    assert response.headers["cache-control"] == "no-store"
    assert client.get("/monitor", headers={"If-None-Match": response.headers["etag"]}).status_code == 304
    assert client.head("/monitor").content == b""
    assert 'href="monitor"' in client.get("/").text


def test_page_that_is_too_large_is_not_sent(client: httpx.Client, page: Path) -> None:
    with page.open("wb") as file:
        file.truncate(2**30)
    response = client.get("/monitor")
    assert response.status_code == 503
    assert "more than" in response.json()["detail"][0]["msg"]


def test_page_needs_a_key_of_scope_admin(packaged: demo.Packaged, folder: Path, tmp_path: Path, page: Path) -> None:
    page.write_text("<!doctype html>")
    keys = {scope: api_keys.add(tmp_path / "keys.json", scope, [scope])[1] for scope in ("predict", "admin")}
    security = SecuritySettings(key_file=tmp_path / "keys.json")
    settings = ServiceSettings(
        artifact=packaged.folder, artifact_digest=packaged.digest, monitor_folder=folder, security=security
    )
    with running(create_app(settings)) as client:
        headers = ({}, *({"X-API-Key": keys[scope]} for scope in ("predict", "admin")))
        assert [client.get("/monitor", headers=each).status_code for each in headers] == [401, 403, 200]


def test_state_that_could_not_be_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.prom"
    path.write_text(STATE)
    state = MonitorStateCollector(path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
        state.read()
    assert (state.failures, state.is_exported) == (1, False)
    state.read()
    assert (state.failures, state.is_exported) == (1, True)


def test_folder_that_cannot_be_searched_leaves_the_pages(packaged: demo.Packaged, tmp_path: Path) -> None:
    """Its name is too long for the file system, which fails as a folder without permission does, also for root."""
    settings = ServiceSettings(
        artifact=packaged.folder, artifact_digest=packaged.digest, monitor_folder=tmp_path / ("a" * 300)
    )
    with running(create_app(settings)) as client:
        wait_until_loaded(client)
        assert [client.get(path).status_code for path in ("/", "/monitor", "/metrics")] == [200, 404, 200]
