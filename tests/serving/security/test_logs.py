"""Log lines are JSON, know their request, and tell neither secrets nor values."""

import json
import logging
import logging.config
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from serving.security.logs import JsonLines, RequestLog, TextLines, configuration
from serving.security.settings import LoggingSettings
from serving.security.tracing import CURRENT, begin
from skline import keys

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave logging and the current trace as other tests expect them."""
    names = ["", "skline", "skline.requests", "uvicorn", "uvicorn.error", "uvicorn.access"]
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    CURRENT.set(None)
    yield
    CURRENT.set(None)
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers[:], logger.level, logger.propagate = handlers, level, propagate


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def record(message: str, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("skline.test", logging.INFO, "here.py", 1, message, None, None)
    made.__dict__.update(more)
    return made


@given(st.text(), st.dictionaries(st.text(max_size=5), st.integers() | st.text() | st.floats() | st.none(), max_size=3))
def test_any_message_is_one_line_of_json(message: str, fields: dict[str, Any]) -> None:
    line = JsonLines().format(record(message, fields=fields))
    assert "\n" not in line
    assert "message" in json.loads(line)
    assert "\n" not in TextLines().format(record(message, fields=fields))


def test_a_line_knows_its_request_and_trace(capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(configuration(LoggingSettings(format="json")))
    logging.getLogger("skline.serving").info("outside")
    begin(b"abc-1", PARENT)
    logging.getLogger("skline.serving").warning("inside %d", 1, extra={"fields": {"queue": 3}})
    logging.getLogger("uvicorn.error").info("uvicorn too")
    outside, inside, uvicorn = written(capsys)
    assert "request_id" not in outside
    assert inside.keys() >= {"time", "level", "logger", "message", "span_id"}
    assert (inside["request_id"], inside["message"], inside["queue"]) == ("abc-1", "inside 1", 3)
    assert inside["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (uvicorn["logger"], uvicorn["level"]) == ("uvicorn.error", "info")


def test_secrets_are_masked_in_messages_and_fields(tmp_path: Path) -> None:
    key, token = keys.add(tmp_path / "k", "a", ["predict"])
    told = record(
        f"got {token} and Authorization: Bearer {token[20:]} or basic dXNlcjpodW50ZXIy",
        fields={"store": "redis://user:hunter2@redis:6379/0", "key": token},
    )
    for form in (JsonLines(), TextLines()):
        line = form.format(told)
        assert token[20:] not in line
        assert "hunter2" not in line
        assert "dXNlcjpodW50ZXIy" not in line
        assert key.id in line
        assert "redis:6379/0" in line


def test_an_exception_is_told_without_the_values_it_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(configuration(LoggingSettings(format="json")))
    try:
        try:
            TypeAdapter(int).validate_python("the patient's name")
        except ValueError as error:
            raise RuntimeError("could not read the patient's name") from error
    except RuntimeError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    text = capsys.readouterr().err
    assert "patient" not in text
    told = json.loads(text)["exception"]
    assert (told["type"], told["because_of"]) == ("RuntimeError", ["ValidationError"])
    assert told["at"][-1].endswith("test_an_exception_is_told_without_the_values_it_quotes")


@pytest.mark.parametrize(("requests", "statuses"), [("off", []), ("errors", [500, 503]), ("all", [200, 422, 500, 503])])
def test_one_line_a_request_as_told(capsys: pytest.CaptureFixture[str], requests: Any, statuses: list[int]) -> None:
    settings = LoggingSettings(format="json", requests=requests, level="warning")
    logging.config.dictConfig(configuration(settings))
    request_log = RequestLog(settings)
    for status in (200, 422, 500, 503):
        request_log.write(begin(b"r", b""), "POST", "/predict", status, 0.0012345, "0123456789ab")
    lines = written(capsys)
    assert [line["status"] for line in lines] == statuses
    for line in lines:
        assert (line["route"], line["milliseconds"], line["caller"], line["request_id"]) == (
            "/predict", 1.234, "0123456789ab", "r",
        )  # fmt: skip
