"""What is said about the newest row of a table, from which cuts that move are measured."""

import datetime as dt
from typing import Any

import pandas as pd

from skline.clock import naive_utc
from skline.contract.spec import Contract
from skline.settings.monitor import format_duration
from skline.split_rule import Split
from skline.stages.table_partition import Frames


def describe_rule(frames: Frames, contract: Contract, settings: Split, window: dt.timedelta | None = None) -> str:
    """Return which settings decide the parts, and the newest row if the cuts are measured from it."""
    if settings.kind != "time":
        return "change split.seed or the shares in params.yaml"
    what = "the cut dates" if window is None else f"the cut dates or source.window ({format_duration(window)})"
    newest = newest_row(frames, contract, settings) if settings.moves else None
    if newest is None:
        return f"change {what} in params.yaml"
    return (
        f"change {what} in params.yaml, or correct {newest}, from which "
        f"validation_from: {settings.validation_from} and test_from: {settings.test_from} are measured"
    )


def newest_row(frames: Frames, contract: Contract, settings: Split) -> str | None:
    """Name the row that cuts which move are measured from: the newest one that is not of the live part.

    If all rows are of the live part, it is the newest of them; None if no row has a time.
    """
    time, ids = contract.by_role("time").name, [column.name for column in contract.with_role("id")]
    live = None if settings.live_from is None else pd.Timestamp(settings.live_from)
    best: tuple[bool, Any] | None = None
    text, first_row = None, 0
    for rows in frames([time, *ids]):
        times = rows[time].reset_index(drop=True)
        before = times if live is None else times[times < live]
        for is_before, found in ((True, before), (False, times)):
            if found.notna().any() and (best is None or (is_before, found.max()) > best):
                position: Any = found.idxmax()
                row = rows.iloc[position]
                keys = "".join(f", {name} {row[name]!r}" for name in ids)
                best = is_before, found.max()
                text = f"the newest row ({time} {row[time]}{keys}, row {first_row + position} counted from 0)"
        first_row += len(rows)
    return text


def describe_future(frames: Frames, contract: Contract, settings: Split, now: dt.datetime) -> str | None:
    """Say that the newest row, from which cuts are measured, is of the future; None if it is not, or cuts are dates.

    Parameters
    ----------
    frames : function
        Returns the batches of the validated rows.
    contract : Contract
    settings : Split
    now : datetime
        UTC. A day more is allowed, because tables may have local times.
    """
    if not settings.moves or settings.live_from is not None:
        return None
    latest = pd.Timestamp(naive_utc(now)) + pd.Timedelta(days=1)
    time = contract.by_role("time").name
    n_later = sum(int((rows[time] > latest).sum()) for rows in frames([time]))
    if not n_later:
        return None
    return (
        f"{newest_row(frames, contract, settings)} is of the future, one of {n_later:,}: the cuts are measured "
        "from it, and do not move until then. Correct the table, or use dates as cuts"
    )
