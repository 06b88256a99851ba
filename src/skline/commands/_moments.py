"""Parse options whose value is a moment in time."""

import argparse
import datetime as dt


def parse_moment(text: str) -> dt.datetime:
    """Parse a moment, ISO 8601; without a zone it is UTC."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date or time; write it as 2026-11-01T00:00") from None
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
