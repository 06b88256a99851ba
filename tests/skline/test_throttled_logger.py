"""A repeated message is logged once per interval."""

import logging

import pytest

from skline.throttled_logger import INTERVAL_SECONDS, RepeatFilter, ThrottledLogger


def test_logs_a_repeated_message_once_per_interval_with_the_number_of_repeats(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 100.0
    throttled = ThrottledLogger(logging.getLogger("skline.serving"), clock=lambda: now)
    for _ in range(1000):
        throttled.log(logging.WARNING, "the model fails")
    throttled.log(logging.WARNING, "something else")
    now += INTERVAL_SECONDS
    throttled.log(logging.WARNING, "the model fails")
    assert caplog.messages == ["the model fails", "something else", "the model fails (repeated 999 times)"]


def test_filter_lets_a_repeated_warning_pass_once_and_errors_always() -> None:
    repeats = RepeatFilter()

    def passes(level: int, message: str, *args: object) -> bool:
        return repeats.filter(logging.LogRecord("uvicorn.error", level, "f.py", 1, message, args, None))

    assert [passes(logging.WARNING, "%d %% lost", 5) for _ in range(3)] == [True, False, False]
    assert passes(logging.WARNING, "%d %% lost", 6)
    assert [passes(logging.ERROR, "fails") for _ in range(2)] == [True, True]
