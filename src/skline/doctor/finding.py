"""What a check finds."""

from typing import Literal, NamedTuple

Level = Literal["ok", "look", "broken"]


class Finding(NamedTuple):
    """One thing found: `broken` stops the line, the service or an update; `look` wants a person's eye.

    `what` names the thing, `remedy` says what to do, empty where there is nothing to do; `details` are further lines.
    """

    level: Level
    what: str
    remedy: str = ""
    details: tuple[str, ...] = ()


def several(names: list[str], most: int = 5) -> str:
    """List names, the first few of many."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
