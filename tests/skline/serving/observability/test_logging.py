"""Log lines are JSON with the request's ids, and contain neither secrets nor values of rows."""

import json
import logging
import logging.config
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from skline import api_keys
from skline.serving.observability.logging import AccessLog, JsonFormatter, TextFormatter, log_config
from skline.serving.observability.tracing import CURRENT_TRACE, start_trace
from skline.serving.security.scopes import PROBES
from skline.serving.settings import LoggingSettings

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """Restore logging and the current trace for other tests."""
    names = ["", "skline", "skline.requests", "uvicorn", "uvicorn.error", "uvicorn.access"]
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.handlers[:], logger.filters[:], logger.level, logger.propagate) for logger in loggers]
    CURRENT_TRACE.set(None)
    yield
    CURRENT_TRACE.set(None)
    for logger, (handlers, filters, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers[:], logger.filters[:] = handlers, filters
        logger.level, logger.propagate = level, propagate


def logged_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def record(message: str, **attributes: Any) -> logging.LogRecord:
    new = logging.LogRecord("skline.test", logging.INFO, "here.py", 1, message, None, None)
    new.__dict__.update(attributes)
    return new


@given(st.text(), st.dictionaries(st.text(max_size=5), st.integers() | st.text() | st.floats() | st.none(), max_size=3))
def test_any_message_is_one_line_of_json(message: str, fields: dict[str, Any]) -> None:
    line = JsonFormatter().format(record(message, fields=fields))
    assert "\n" not in line
    assert "message" in json.loads(line)
    assert "\n" not in TextFormatter().format(record(message, fields=fields))


def test_line_has_request_id_and_trace(capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(log_config(LoggingSettings(format="json")))
    logging.getLogger("skline.serving").info("outside")
    start_trace(b"abc-1", PARENT)
    logging.getLogger("skline.serving").warning("inside %d", 1, extra={"fields": {"queue": 3}})
    logging.getLogger("uvicorn.error").info("uvicorn too")
    outside, inside, uvicorn = logged_lines(capsys)
    assert "request_id" not in outside
    assert inside.keys() >= {"time", "level", "logger", "message", "span_id"}
    assert (inside["request_id"], inside["message"], inside["queue"]) == ("abc-1", "inside 1", 3)
    assert inside["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (uvicorn["logger"], uvicorn["level"]) == ("uvicorn.error", "info")


def test_secrets_are_redacted_in_messages_and_fields(tmp_path: Path) -> None:
    key, token = api_keys.add(tmp_path / "k", "a", ["predict"])
    with_secrets = record(
        f"got {token} and Authorization: Bearer {token[20:]} or basic dXNlcjpodW50ZXIy",
        fields={"store": "redis://user:hunter2@redis:6379/0", "key": token},
    )
    for formatter in (JsonFormatter(), TextFormatter()):
        line = formatter.format(with_secrets)
        assert token[20:] not in line
        assert "hunter2" not in line
        assert "dXNlcjpodW50ZXIy" not in line
        assert key.id in line
        assert "redis:6379/0" in line


def test_repeated_warnings_of_uvicorn_are_logged_once(capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(log_config(LoggingSettings(format="json")))
    uvicorn = logging.getLogger("uvicorn.error")
    for _ in range(1000):
        uvicorn.warning("Invalid HTTP request received.")
        uvicorn.error("100 %% of %s", "requests fail")
    messages = [line["message"] for line in logged_lines(capsys)]
    assert messages == ["Invalid HTTP request received.", *["100 % of requests fail"] * 1000]


@pytest.mark.parametrize("character", ["\n", "\r", "\x1b", "\x00", "\x9b", "\u2028"], ids=ascii)
def test_control_characters_of_a_caller_are_escaped_in_text(character: str) -> None:
    line = TextFormatter().format(record(f"bad{character}[2Jpath", fields={"route": f"/{character}x"}))
    assert character not in line
    assert ascii(character)[1:-1] in line


def test_exception_is_logged_without_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(log_config(LoggingSettings(format="json")))
    try:
        try:
            TypeAdapter(int).validate_python("the patient's name")
        except ValueError as error:
            raise RuntimeError("could not read the patient's name") from error
    except RuntimeError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    text = capsys.readouterr().err
    assert "patient" not in text
    exception = json.loads(text)["exception"]
    assert (exception["type"], exception["causes"]) == ("RuntimeError", ["ValidationError"])
    assert exception["stack"][-1].endswith("test_exception_is_logged_without_its_message")


@pytest.mark.parametrize(("requests", "statuses"), [("off", []), ("errors", [500, 503]), ("all", [200, 422, 500, 503])])
def test_access_log_has_the_requests_of_its_setting(
    capsys: pytest.CaptureFixture[str], requests: Any, statuses: list[int]
) -> None:
    settings = LoggingSettings(format="json", requests=requests, level="warning")
    logging.config.dictConfig(log_config(settings))
    access_log = AccessLog(settings, PROBES)
    for status in (200, 422, 500, 503):
        access_log.write(start_trace(b"r", b""), "POST", "/predict", status, 0.0012345, "0123456789ab")
    lines = logged_lines(capsys)
    assert [line["status"] for line in lines] == statuses
    for path in ("/health", "/health/ready", "/v2/health/ready"):
        access_log.write(start_trace(b"r", b""), "GET", path, 503, 0.001, "anybody")
    probes = logged_lines(capsys)
    assert [line["level"] for line in probes] == (["info"] * 3 if requests == "all" else [])
    for line in lines:
        assert (line["route"], line["milliseconds"], line["caller"], line["request_id"]) == (
            "/predict", 1.234, "0123456789ab", "r",
        )  # fmt: skip


def test_format_is_text_on_a_terminal_and_json_elsewhere_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def formatter(**settings: str) -> object:
        return log_config(LoggingSettings.model_validate(settings))["formatters"]["lines"]["()"]

    reader, writer = os.pipe()
    controller, terminal = os.openpty()
    with os.fdopen(writer, "w") as pipe, os.fdopen(terminal, "w") as screen:
        for stream, expected in ((pipe, JsonFormatter), (screen, TextFormatter)):
            monkeypatch.setattr(sys, "stderr", stream)
            assert formatter() is expected
            assert (formatter(format="json"), formatter(format="text")) == (JsonFormatter, TextFormatter)
        monkeypatch.undo()
    os.close(reader)
    os.close(controller)
