"""Rejected requests of a window, which the service counts by minute, rule and column."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from contextlib import closing

from skline.logs.records import to_us
from skline.logs.rejections import ALL, RejectedCount
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.monitoring.checks import Check, is_beyond
from skline.monitoring.data_results import Quality, RejectedRule
from skline.monitoring.estimates import Estimate, wilson


def read_rejections(settings: LogSettings, since: dt.datetime, until: dt.datetime) -> list[RejectedRule]:
    """Return the rejected requests of the minutes that begin in since ≤ time < until, the most rows first.

    The entry of the rule ALL counts all requests.
    """
    requests: Counter[tuple[str, str]] = Counter()
    rows: Counter[tuple[str, str]] = Counter()
    with closing(open_store(settings)) as store:
        for chunk in store.read("skline_rejected_requests", to_us(since), to_us(until)):
            for stored in chunk:
                count = RejectedCount(*stored)  # type: ignore[arg-type]
                key = (count.rule, count.column_name)
                requests[key] += count.requests
                rows[key] += count.row_count
    return [
        RejectedRule(rule=rule, column=column, requests=requests[rule, column], rows=number)
        for (rule, column), number in sorted(rows.items(), key=lambda item: (-item[1], item[0]))
    ]


def describe_rejections(quality: Quality, rejections: Sequence[RejectedRule]) -> Quality:
    """Return the quality with the rejected requests, and their share of the rows.

    Rows of one request are rejected together: the interval is that of as many independent rows as there would be
    requests, if all had the mean size of the rejected ones (Kish 1965; the design effect of whole clusters).
    """
    everything = next((each for each in rejections if each.rule == ALL), None)
    requests, rejected = (0, 0) if everything is None else (everything.requests, everything.rows)
    total, size = quality.rows + rejected, max(rejected / requests, 1.0) if requests else 1.0
    return quality.model_copy(
        update={
            "rejected": wilson(rejected / total, total / size) if total else Estimate(),
            "rejected_requests": requests,
            "rejected_rows": rejected,
            "rejections": tuple(each for each in rejections if each.rule != ALL),
        }
    )


def rejected_check(quality: Quality, limit: float, min_rows: int) -> Check:
    """Return the check of the share of rejected rows; it names what most of them break."""
    total = quality.rows + quality.rejected_rows
    raised = is_beyond(quality.rejected, maximum=limit) if total >= min_rows else None
    message = ""
    if raised:
        message = f"{100 * (quality.rejected.value or 0.0):.1f} % of the rows were rejected"
        if quality.rejections:
            first = quality.rejections[0]
            message += f", most of them by the rule {first.rule} in the column {first.column}"
    return Check.of(
        quality.rejected, part="quality", rule="rejected", subject="requests", raised=raised, limit=limit, rows=total,
        message=message,
    )  # fmt: skip
