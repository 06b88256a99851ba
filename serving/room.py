"""Memory for request bodies: how much all of them may take at a time.

A body that comes in one piece, as small ones do, is not counted: it is in memory when it is first seen. Of others
each part is, from when it comes until its request is answered, so that it covers what waits for its turn.
"""

from typing import Any

from serving.security import refusals

#: Under this name the state of a request has its share.
STATE = "body_share"


class Share:
    """What the body of one request takes."""

    __slots__ = ("_room", "size")

    def __init__(self, room: "Room") -> None:
        self._room, self.size = room, 0

    def take(self, size: int) -> None:
        """Take more.

        Raises
        ------
        Refused
            503 with Retry-After if there is no room for it. What was taken is given back when the request ends.
        """
        room = self._room
        if room.held + size > room.most:
            room.turned_away += 1
            words = f"the bodies of all requests together take {room.most} bytes already; ask again soon"
            raise refusals.no_room(words)
        room.held += size
        self.size += size

    def leave(self) -> None:
        """Give back what was taken."""
        self._room.held -= self.size
        self.size = 0


class Room:
    """The memory that all bodies share; for one event loop.

    Attributes
    ----------
    most, held : int
        Bytes that there are, and that are taken.
    turned_away : int
        Requests whose body found no room.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = self.turned_away = 0

    def share(self, state: dict[str, Any]) -> Share:
        """Begin a share, to be found in the state of its request."""
        share = state[STATE] = Share(self)
        return share


def leave(state: dict[str, Any]) -> None:
    """End the share of a request, if it has one."""
    share: Share | None = state.get(STATE)
    if share is not None:
        share.leave()
