"""The labels of the log that have matured in a period: what a new training learns from.

A labelled prediction matures when it is as old as `monitor.label_horizon` and its valid label has arrived, so that
labels that arrive early and labels that arrive late are equally represented. A label that corrects an earlier one
matures when it arrives: its row then belongs to a later period too, and supersedes the earlier row.
"""

import datetime as dt
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from skline.logs.read import join_labels, read_labels, read_predictions, require_log
from skline.logs.records import COMPARE_REQUEST_ID
from skline.logs.settings import LogSettings

#: Labels of the last minute may still be on their way to the database, with an earlier time: they are left for later.
SETTLING = dt.timedelta(minutes=1)


class Matured(NamedTuple):
    """What a period adds.

    Attributes
    ----------
    rows : Table
        The labelled predictions that matured in the period, as `read_labelled` returns them, in the order of time.
    predictions : Table
        All predictions from the oldest of the rows on that reached the label horizon by the end of the period, with
        their label or null, in the order of time.
    """

    rows: pa.Table
    predictions: pa.Table


def labels_complete_until(asof: dt.datetime) -> dt.datetime:
    """Return the time up to which all labels are in the log at a moment, in whole seconds."""
    return (asof - SETTLING).replace(microsecond=0)


def read_matured(log: LogSettings, horizon: dt.timedelta, since: dt.datetime | None, until: dt.datetime) -> Matured:
    """Read what matured at since < time ≤ until, with the labels that had arrived by then.

    Predictions of shadow scoring and of `skline compare` are left out. Predictions of all time are read, because a
    label may arrive at any time.

    Parameters
    ----------
    log : LogSettings
    horizon : timedelta
        Age from which on a prediction has its label, if it ever gets one.
    since, until : datetime
        UTC; without `since`, from the beginning of the log.

    Raises
    ------
    SklineError
        If there is no log, or it cannot be read.
    """
    require_log(log)
    predictions = read_predictions(log, until=until - horizon + dt.timedelta(microseconds=1))
    return select_matured(predictions, read_labels(log), horizon, since, until)


def count_maturing(log: LogSettings, horizon: dt.timedelta, until: dt.datetime) -> int:
    """Return the number of labelled predictions that have not reached the label horizon at a moment."""
    predictions = read_predictions(log, until - horizon + dt.timedelta(microseconds=1), until)
    labels = read_labels(log)
    labels = labels.filter(pc.less_equal(labels["time"], _time(until)))
    return int(pc.sum(pc.is_valid(join_labels(_returned_to_users(predictions), labels)["label"])).as_py() or 0)


def select_matured(
    predictions: pa.Table, labels: pa.Table, horizon: dt.timedelta, since: dt.datetime | None, until: dt.datetime
) -> Matured:
    """Select what matured at since < time ≤ until; the tables are those of the log up to then, or longer."""
    labels = labels.filter(pc.less_equal(labels["time"], _time(until)))
    predictions = _returned_to_users(predictions.filter(pc.less_equal(predictions["time"], _time(until - horizon))))
    joined = join_labels(predictions, labels)
    reached = pc.add(joined["time"], pa.scalar(horizon, pa.duration("us")))
    is_row = pc.is_valid(joined["label"])
    if since is not None:
        is_new = pc.greater(reached, _time(since))
        has_new_label = pc.fill_null(pc.greater(joined["labelled_at"], _time(since)), False)
        is_row = pc.and_(is_row, pc.or_(is_new, has_new_label))
    rows = joined.filter(is_row)
    if not rows.num_rows:
        return Matured(rows, rows)
    return Matured(rows, joined.filter(pc.greater_equal(joined["time"], pc.min(rows["time"]))))


def _time(moment: dt.datetime) -> pa.Scalar:
    return pa.scalar(moment, pa.timestamp("us", tz="UTC"))


def _returned_to_users(predictions: pa.Table) -> pa.Table:
    """Return the predictions that were returned to users: neither shadow scoring nor `skline compare`."""
    is_compared = pc.fill_null(pc.starts_with(predictions["request_id"], COMPARE_REQUEST_ID), False)
    is_shadow = pc.fill_null(pc.equal(predictions["role"], "shadow"), False)
    return predictions.filter(pc.invert(pc.or_(is_compared, is_shadow)))
