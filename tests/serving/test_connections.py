"""What is known of a connection from look to look; the connections themselves are in `test_slow_clients`."""

import pytest

from serving.connections import REGULAR_SECONDS, Phase, Seen

FIRST, SECOND = object(), object()


def test_a_first_request_is_not_one_more() -> None:
    seen = Seen(Phase.FIRST_HEAD, None, 0).next(Phase.IDLE, FIRST, 1)
    assert not seen.regular(1)
    assert seen.next(Phase.IDLE, SECOND, 2).regular(2)


@pytest.mark.parametrize("phase", [Phase.BODY, Phase.NEXT_HEAD, Phase.READER, Phase.IDLE])
def test_who_does_not_ask_once_more_in_time_is_like_all_others_whatever_else_it_does(phase: Phase) -> None:
    seen = Seen(Phase.IDLE, FIRST, 0).next(Phase.BODY, SECOND, 1)
    for now in (2, 3):
        seen = seen.next(phase, SECOND, now)
        assert seen.regular(now)
    assert not seen.next(Phase.IDLE, SECOND, 1 + REGULAR_SECONDS).regular(1 + REGULAR_SECONDS)


def test_the_time_in_which_a_request_is_worked_on_does_not_count() -> None:
    seen = Seen(Phase.IDLE, FIRST, 0).next(Phase.WORK, SECOND, 1)
    for now in range(2, 30):
        seen = seen.next(Phase.WORK, SECOND, now)
    seen = seen.next(Phase.IDLE, SECOND, 30)
    assert seen.regular(30)
    assert not seen.regular(29 + REGULAR_SECONDS)


def test_since_when_it_waits_is_when_that_was_first_seen() -> None:
    seen = Seen(Phase.IDLE, FIRST, 0)
    for now in (1, 2):
        seen = seen.next(Phase.IDLE, FIRST, now)
        assert seen.since == 0
    assert seen.next(Phase.NEXT_HEAD, FIRST, 3).since == 3
    assert seen.next(Phase.IDLE, SECOND, 4).since == 4
