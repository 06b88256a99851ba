"""A failure that repeats is told once in a while."""

import logging

import pytest

from serving.quiet import QUIET, Quiet


def test_a_line_is_said_once_and_counted_until_it_is_said_again(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    quiet = Quiet(logging.getLogger("skline.serving"), ticks=lambda: now)
    for _ in range(1000):
        quiet.say(logging.WARNING, "the model fails")
    quiet.say(logging.WARNING, "something else")
    now += QUIET
    quiet.say(logging.WARNING, "the model fails")
    assert caplog.messages == ["the model fails", "something else", "the model fails (999 more times since)"]
