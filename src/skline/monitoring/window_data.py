"""What the result of a window is computed from, and what could not be computed."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from skline.entrypoint import is_out_of_space
from skline.errors import SklineError
from skline.monitoring.checks import Part
from skline.monitoring.data_results import RejectedRule
from skline.monitoring.reader import Summary
from skline.monitoring.result import Problem
from skline.monitoring.rows import LoggedRows
from skline.settings.monitor import Compare

log = logging.getLogger("skline.monitoring")

Value = TypeVar("Value")


@dataclass(frozen=True)
class WindowData:
    """What the result of a window is computed from.

    Attributes
    ----------
    counts : Summary
        Of all rows of the window.
    rows, matured, stream : LoggedRows
        Of the window; those that are older than the label horizon; the labelled ones of several windows.
    earlier : tuple of int
        Rows of the same hours of earlier seasons.
    references : dict of Compare to LoggedRows
        The rows of the log that the window is compared with.
    rejections : list of RejectedRule or None
        Rejected requests; None if they could not be read.
    """

    counts: Summary
    rows: LoggedRows
    matured: LoggedRows
    stream: LoggedRows
    earlier: tuple[int, ...] = ()
    references: Mapping[Compare, LoggedRows] = field(default_factory=dict)
    rejections: list[RejectedRule] | None = None


class Problems:
    """Collects what could not be computed."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def attempt(self, part: Part, subject: str, compute: Callable[[], Value]) -> Value | None:
        """Return what `compute` returns; on failure None, and the problem is kept.

        A library that is not installed is raised: it is missing for every window.
        """
        try:
            return compute()
        except Exception as error:
            if is_out_of_space(error) or isinstance(error, ModuleNotFoundError):
                raise
            log.warning("%s/%s could not be computed: %s", part, subject, error, exc_info=_is_unexpected(error))
            self.found.append(Problem(part=part, subject=subject, message=f"{type(error).__name__}: {error}"[:300]))
            return None


def _is_unexpected(error: Exception) -> bool:
    """Whether the message of an error does not say all that a person needs."""
    return not isinstance(error, SklineError)
