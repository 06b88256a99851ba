"""A repeated message is logged once per interval."""

import logging

import pytest

from skline.throttled_logger import INTERVAL_SECONDS, ThrottledLogger


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
