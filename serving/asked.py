"""A request that came whole, as it is handed to whoever answers it."""

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from serving.responses import Json
from serving.security.guard import Visit


class Asked:
    """A request whose head and body are there, and the way back.

    Attributes
    ----------
    scope : dict
        ASGI's, of which `headers`, `client` and `server` are set.
    body : bytes
    visit : Visit
        What the guard knows of it, once the guard has seen it.
    came : float
        `time.perf_counter()` when its last byte was read.
    answered : bool
    """

    __slots__ = ("_reply", "answered", "body", "came", "scope", "visit")

    visit: Visit

    def __init__(self, scope: Mapping[str, Any], body: bytes, reply: Callable[[Json], None]) -> None:
        self.scope, self.body, self._reply = scope, body, reply
        self.came = perf_counter()
        self.answered = False

    def answer(self, response: Json) -> None:
        """Send the answer; a request has one."""
        self.answered = True
        self._reply(response)
