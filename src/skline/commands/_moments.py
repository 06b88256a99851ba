"""Options that are a moment or a duration."""

import argparse
import datetime as dt

from skline import clock
from skline.errors import SklineError

#: Logs and releases have no earlier moment, and periods before a later one can be computed.
EARLIEST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def parse_moment(text: str) -> dt.datetime:
    """Parse a moment since 1970, ISO 8601; without a zone it is UTC.

    Raises
    ------
    ArgumentTypeError
        If it is none.
    """
    try:
        moment = clock.to_utc(dt.datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no date or time; write it as 2026-11-01T00:00") from None
    if moment < EARLIEST:
        raise argparse.ArgumentTypeError(f"{text!r} is before 1970")
    return moment


def parse_duration_option(text: str) -> dt.timedelta:
    """Parse a number of seconds, minutes, hours or days, such as 90s, 30m, 12h or 7d.

    Raises
    ------
    ArgumentTypeError
        If it is none, or not positive.
    """
    from skline.settings.monitor import parse_duration

    try:
        duration: dt.timedelta = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return duration


def require_past(asof: dt.datetime | None) -> None:
    """Reject an --asof in the future: a snapshot of the labels until then would be the last one until then.

    Raises
    ------
    SklineError
        If it is in the future.
    """
    if asof is not None and asof > clock.now():
        raise SklineError(f"--asof {asof:%Y-%m-%d %H:%M} is in the future; give an earlier moment (UTC)")
