"""The time of look-ups."""

import datetime as dt

from skline.clock import now


def utc_now() -> dt.datetime:
    """Return the time, UTC without a zone, as the contract's columns hold times."""
    return now().replace(tzinfo=None)


def naive_utc(moment: dt.datetime | None) -> dt.datetime | None:
    """Convert a time to UTC without a zone; one without a zone is in UTC."""
    if moment is None or moment.tzinfo is None:
        return moment
    return moment.astimezone(dt.UTC).replace(tzinfo=None)
