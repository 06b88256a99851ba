"""Limit the memory that all request bodies of a process hold at one time.

A body that arrives in one piece, as small ones do, is not counted: it is in memory before the application sees it.
Of other bodies each part is counted from its arrival until the response is sent, so that requests which wait for a slot
are included.
"""

from typing import Any

from skline.serving import errors

#: Key of a request's reservation in its ASGI state.
STATE_KEY = "body_reservation"


class BodyBudget:
    """The memory budget for request bodies; used from one event loop only.

    Attributes
    ----------
    limit, used : int
        Bytes of the budget, and bytes that are reserved.
    rejected : int
        Requests whose body exceeded the budget.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = self.rejected = 0

    def open_reservation(self, state: dict[str, Any]) -> "Reservation":
        """Create an empty reservation and keep it in the request's state."""
        reservation = state[STATE_KEY] = Reservation(self)
        return reservation


class Reservation:
    """The bytes that the body of one request has reserved."""

    __slots__ = ("_budget", "size")

    def __init__(self, budget: BodyBudget) -> None:
        self._budget, self.size = budget, 0

    def reserve(self, size: int) -> None:
        """Reserve `size` more bytes.

        Raises
        ------
        RequestError
            503 with Retry-After if the budget is exhausted. Bytes reserved earlier are released when the request ends.
        """
        budget = self._budget
        if budget.used + size > budget.limit:
            budget.rejected += 1
            raise errors.body_memory_exhausted(
                f"the bodies of all requests together take {budget.limit} bytes already; retry"
            )
        budget.used += size
        self.size += size

    def release(self) -> None:
        """Return all reserved bytes to the budget."""
        self._budget.used -= self.size
        self.size = 0


def release(state: dict[str, Any]) -> None:
    """Release the reservation in a request's state, if there is one."""
    reservation: Reservation | None = state.get(STATE_KEY)
    if reservation is not None:
        reservation.release()
