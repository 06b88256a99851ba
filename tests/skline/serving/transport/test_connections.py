"""The state of a connection from sweep to sweep, and which one is closed at the limit; drills: `test_slow_clients`."""

from types import SimpleNamespace
from typing import Any

import pytest

from skline.serving.settings import LimitSettings
from skline.serving.transport.connections import (
    ACTIVE_SECONDS,
    SWEEP_SECONDS,
    ConnectionLimiter,
    ConnectionState,
    Phase,
)

FIRST, SECOND = object(), object()


def test_first_request_does_not_make_a_connection_active() -> None:
    state = ConnectionState(Phase.HEAD, None, 0).next(Phase.IDLE, FIRST, 1)
    assert not state.is_active(1)
    assert state.next(Phase.IDLE, SECOND, 2).is_active(2)


@pytest.mark.parametrize("phase", [Phase.BODY, Phase.HEAD, Phase.WRITING, Phase.IDLE])
def test_connection_without_further_requests_becomes_inactive_in_every_phase(phase: Phase) -> None:
    state = ConnectionState(Phase.IDLE, FIRST, 0).next(Phase.BODY, SECOND, 1)
    for now in (2, 3):
        state = state.next(phase, SECOND, now)
        assert state.is_active(now)
    assert not state.next(Phase.IDLE, SECOND, 1 + ACTIVE_SECONDS).is_active(1 + ACTIVE_SECONDS)


def test_processing_extends_activity() -> None:
    state = ConnectionState(Phase.IDLE, FIRST, 0).next(Phase.PROCESSING, SECOND, 1)
    for now in range(2, 30):
        state = state.next(Phase.PROCESSING, SECOND, now)
    state = state.next(Phase.IDLE, SECOND, 30)
    assert state.is_active(30)
    assert not state.is_active(29 + ACTIVE_SECONDS)


def test_since_is_when_the_phase_of_a_request_was_first_seen() -> None:
    state = ConnectionState(Phase.IDLE, FIRST, 0)
    for now in (1, 2):
        state = state.next(Phase.IDLE, FIRST, now)
        assert state.since == 0
    assert state.next(Phase.HEAD, FIRST, 3).since == 3
    assert state.next(Phase.IDLE, SECOND, 4).since == 4


class FakeConnection:
    """A connection whose phase is set by the test."""

    timeout_keep_alive_task: Any = None

    def __init__(self) -> None:
        self.cycle: Any = None
        self.aborted = False
        self.transport: Any = SimpleNamespace(get_write_buffer_size=lambda: 0, abort=self._abort)

    def _abort(self) -> None:
        self.aborted = True

    def request(self, *, processing: bool = False) -> None:
        self.cycle = SimpleNamespace(response_complete=not processing, more_body=False)


@pytest.fixture
def full() -> tuple[ConnectionLimiter, list[FakeConnection]]:
    """A limiter at its limit of four."""
    limiter, connections = ConnectionLimiter(LimitSettings(connections=4)), [FakeConnection() for _ in range(4)]
    for connection in connections:
        limiter.add(connection)
    return limiter, connections


def make_active(limiter: ConnectionLimiter, connections: list[FakeConnection]) -> None:
    for now in (0, 1):
        for connection in connections:
            connection.request()
        limiter.sweep(now * SWEEP_SECONDS)


def closed_for_one_more(limiter: ConnectionLimiter, connections: list[FakeConnection]) -> list[int]:
    """Add a connection; return the positions of those that are closed, len(connections) for the added one."""
    added = FakeConnection()
    limiter.add(added)
    assert limiter.closed["connection_limit"] == 1
    return [index for index, connection in enumerate([*connections, added]) if connection.aborted]


def test_oldest_inactive_connection_is_closed_at_the_limit(
    full: tuple[ConnectionLimiter, list[FakeConnection]],
) -> None:
    limiter, connections = full
    make_active(limiter, connections[:2])
    assert closed_for_one_more(limiter, connections) == [2]


def test_active_connection_is_closed_if_none_is_inactive(full: tuple[ConnectionLimiter, list[FakeConnection]]) -> None:
    limiter, connections = full
    make_active(limiter, connections[1:])
    connections[0].request(processing=True)
    assert closed_for_one_more(limiter, connections) == [1]


def test_connection_in_processing_is_never_closed(full: tuple[ConnectionLimiter, list[FakeConnection]]) -> None:
    limiter, connections = full
    for connection in connections:
        connection.request(processing=True)
    assert closed_for_one_more(limiter, connections) == [4]
