"""Each change of the states is posted to the webhook once: after failures, kills, and by two monitors at a time."""

import dataclasses
import datetime as dt
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skline.errors import SklineError
from skline.monitoring.checks import Part, State
from skline.monitoring.job import Job
from skline.monitoring.notification import News, is_due, message_text, notify
from skline.monitoring.result import WindowResult
from skline.monitoring.run import TEXTFILE, run
from skline.monitoring.state import FILE_NAME, MonitorState, Notification, monitor_lock, read_state
from skline.settings.monitor import Webhook
from tests.deploy.exported import NOW, window_result
from tests.fixtures.server import free_port
from tests.fixtures.webhook import Receiver, webhook
from tests.skline.monitoring.conftest import DAY, END

HOUR = dt.timedelta(hours=1)
SETTINGS = Webhook(variable="HOOK", timeout_seconds=5, attempts=1, cooldown=HOUR)
#: A monitor in a process of its own, from the result of its window on.
MONITOR = """
import sys
from pathlib import Path
from skline.monitoring.notification import News, notify
from skline.monitoring.result import WindowResult
from skline.monitoring.state import monitor_lock, read_state
from skline.settings.monitor import Webhook
folder, result = Path(sys.argv[1]), WindowResult.model_validate_json(sys.argv[2])
with monitor_lock(folder):
    settings = Webhook(variable="HOOK", timeout_seconds=20)
    notify(folder, read_state(folder), "7d", News.of_result(result), "Demo", settings, result.written_at)
"""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with webhook() as running:
        monkeypatch.setenv("HOOK", running.url)
        yield running


def result_of(state: State, **parts: State) -> WindowResult:
    states: dict[Part, State] = {"drift": "ok", "performance": "ok"} | parts  # type: ignore[dict-item]
    return window_result().model_copy(update={"state": state, "states": states})


def tell(folder: Path, result: WindowResult, now: dt.datetime = NOW) -> MonitorState:
    with monitor_lock(folder):
        state, length = read_state(folder), result.window.length
        return notify(folder, state, length, News.of_result(result), "Demo", SETTINGS, now)


OK = result_of("ok")
WARNING = result_of("warning", drift="warning")
ALARM = result_of("alarm", drift="alarm")


def test_changes_are_told_once_with_recovery(receiver: Receiver, tmp_path: Path) -> None:
    for hour, result in enumerate([OK, OK, WARNING, WARNING, ALARM, ALARM, OK, OK]):
        tell(tmp_path, result, NOW + hour * HOUR)
    headlines = [text.splitlines()[0] for text in receiver.texts]
    assert headlines == ["Demo: warning (was ok)", "Demo: alarm (was warning)", "Demo: recovered (was alarm)"]
    assert "• drift: warning → alarm" in receiver.texts[1]
    assert len(set(receiver.ids)) == 3
    assert all(text.endswith(f"message {key[:8]}") for text, key in zip(receiver.texts, receiver.ids, strict=True))


def test_other_part_is_posted_too(receiver: Receiver, tmp_path: Path) -> None:
    tell(tmp_path, ALARM)
    tell(tmp_path, result_of("alarm", drift="alarm", performance="alarm"))
    assert receiver.texts[1].startswith("Demo: still alarm, and its parts have changed")
    assert "• performance: ok → alarm" in receiver.texts[1]
    assert "drift:" not in receiver.texts[1]


def test_cooldown_joins_changes_and_does_not_delay_an_alarm(receiver: Receiver, tmp_path: Path) -> None:
    for minute, result in enumerate([WARNING, OK, WARNING, OK, ALARM, OK, ALARM, OK]):
        tell(tmp_path, result, NOW + minute * dt.timedelta(minutes=1))
    assert [text.splitlines()[0] for text in receiver.texts] == ["Demo: warning (was ok)", "Demo: alarm (was warning)"]
    tell(tmp_path, OK, NOW + 2 * HOUR)
    assert receiver.texts[2].startswith("Demo: recovered (was alarm)")


def test_windows_of_another_length_are_told_separately(receiver: Receiver, tmp_path: Path) -> None:
    tell(tmp_path, ALARM)
    day = OK.model_copy(update={"window": OK.window.model_copy(update={"length": "1d"})})
    tell(tmp_path, day, NOW + 2 * HOUR)
    assert len(receiver.texts) == 1


def test_data_cannot_write_to_everybody() -> None:
    result = OK.model_copy(update={"sentence": "<!channel> & co"})
    assert "&lt;!channel&gt; &amp; co" in message_text("Demo", News.of_result(result), {}, "0" * 32)


def test_message_that_was_not_taken_is_posted_by_the_next_run(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.responses = [500]
    assert tell(tmp_path, ALARM).webhook_failures == 1
    assert "was not delivered, the next run posts it: 127.0.0.1 responded with status 500" in caplog.text
    assert tell(tmp_path, ALARM).webhook_failures == 1
    assert tell(tmp_path, ALARM).webhook_failures == 1
    assert len(receiver.texts) == 2


def test_message_of_unknown_fate_is_counted_and_not_posted_again(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.responses = [502]
    assert tell(tmp_path, ALARM).webhook_failures == 1
    assert "is not posted again" in caplog.text
    tell(tmp_path, ALARM)
    assert len(receiver.texts) == 1


@pytest.mark.parametrize("url", ["", "SECRET", "http://127.0.0.1:{port}/SECRET"])
def test_failure_is_logged_without_the_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    monkeypatch.setenv("HOOK", url.format(port=free_port()))
    caplog.set_level(logging.DEBUG)
    assert tell(tmp_path, ALARM).webhook_failures == 1
    assert len(caplog.messages) == 1
    assert "SECRET" not in caplog.text + (tmp_path / FILE_NAME).read_text()


def start(folder: Path, result: WindowResult) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", MONITOR, str(folder), result.model_dump_json()])


def test_killed_monitor_does_not_make_the_next_one_post_again(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.responses = ["hang"]
    with start(tmp_path, ALARM) as process:
        assert receiver.received.wait(20)
        os.kill(process.pid, signal.SIGKILL)
    assert tell(tmp_path, ALARM).webhook_failures == 1
    assert "may have been delivered or not, because the monitor was stopped" in caplog.text
    assert tell(tmp_path, ALARM).webhook_failures == 1
    assert len(receiver.texts) == 1
    tell(tmp_path, OK, NOW + 2 * HOUR)
    assert receiver.texts[1].startswith("Demo: recovered (was alarm)")


def test_two_monitors_at_once_post_once(receiver: Receiver, tmp_path: Path) -> None:
    with start(tmp_path, ALARM) as first, start(tmp_path, ALARM) as second:
        assert (first.wait(20), second.wait(20)) == (0, 0)
    assert len(receiver.texts) == 1


@pytest.mark.parametrize("version", [1, 2])
def test_state_of_an_earlier_version_is_read(receiver: Receiver, tmp_path: Path, version: int) -> None:
    (tmp_path / FILE_NAME).write_text(json.dumps({"version": version, "windows": []}))
    tell(tmp_path, ALARM)
    assert json.loads((tmp_path / FILE_NAME).read_text())["version"] == 3
    assert len(receiver.texts) == 1


def test_nothing_is_due_after_a_clock_was_set_back_but_a_new_alarm() -> None:
    told = Notification(states={"all": "ok"}, told_at=NOW)
    assert not is_due(told, {"all": "warning"}, NOW - HOUR, HOUR)
    assert is_due(told, {"all": "alarm"}, NOW - HOUR, HOUR)


def test_run_tells_about_the_newest_window_and_exports_failures(
    receiver: Receiver, fill: Callable[..., None], job: Job, tmp_path: Path
) -> None:
    fill(END, 9, 60, lambda row: row | {"carrier": None})
    told = dataclasses.replace(job, settings=job.settings.model_copy(update={"webhook": SETTINGS}))
    receiver.responses = [500]
    for each in (told, told, dataclasses.replace(told, end=END - DAY)):
        result = run(each, tmp_path, END + DAY)
        assert result.state == "alarm"
    assert len(receiver.texts) == 2
    assert result.window.name not in receiver.texts[1]
    assert "skline_monitor_webhook_failures_total 1.0" in (tmp_path / TEXTFILE).read_text()


def test_failure_of_monitoring_is_posted_once_with_its_end(receiver: Receiver, job: Job, tmp_path: Path) -> None:
    told = dataclasses.replace(job, settings=job.settings.model_copy(update={"webhook": SETTINGS}))
    for each in (dataclasses.replace(told, posts_changes=False), told, told):
        with pytest.raises(SklineError, match="there is no prediction log"):
            run(each, tmp_path, NOW)
    tell(job.log.folder, ALARM)
    headlines = [text.splitlines()[0].partition(": ")[2] for text in receiver.texts]
    assert headlines == ["monitoring failed (was ok)", "alarm (was failed)"]
    assert "there is no prediction log" in receiver.texts[0]


def test_unexpected_error_is_posted_without_its_message() -> None:
    assert "secret" not in News.of_failure(ValueError("secret"), "demo@1").sentence
