"""Derive the contract's columns from the source's: the label, the ids and the times.

If the table already has the contract's columns, `READS` is empty and `prepare` returns its argument.
"""

import pandas as pd

#: Columns of the source that `prepare` needs in addition to the contract's, with their types.
READS: dict[str, type] = {"year": int, "day": int, "flight": int, "time_hour": str, "arr_delay": float}

#: Each row that `prepare` returns depends on that row alone, so that it may get the table in batches of rows.
ROW_WISE = True

#: A flight is late if it arrives more than this many minutes after its scheduled arrival.
LATE_AFTER_MINUTES = 15


def prepare(source: pd.DataFrame) -> pd.DataFrame:
    """Derive the contract's columns from the source's.

    Parameters
    ----------
    source : DataFrame
        The columns that the contract or `READS` names, typed; missing values are NaN or NaT.

    Returns
    -------
    DataFrame with at least the columns of `Labelled`; the label is missing if the flight never arrived.
    """
    hour = source["time_hour"]
    return source.assign(
        flight_date=pd.to_datetime(source[["year", "month", "day"]]),
        departed_at=pd.to_datetime(hour, utc=True).dt.tz_localize(None),
        flight_id=source["carrier"] + source["flight"].astype(str) + " " + hour,
        late=(source["arr_delay"] > LATE_AFTER_MINUTES).astype(float).where(source["arr_delay"].notna()),
    )


def prepare_feedback(rows: pd.DataFrame) -> pd.DataFrame:
    """Derive the contract's columns that logged predictions lack, for `skline retrain`.

    Parameters
    ----------
    rows : DataFrame
        The inputs and the label of predictions, and columns `log.…` about them.

    Returns
    -------
    DataFrame with the same rows and columns, and the time and month of the departure; the id is the prediction's.
    """
    local = rows["flight_date"] + pd.to_timedelta(rows["sched_dep_time"] // 100, unit="h")
    moment = local.dt.tz_localize("America/New_York", ambiguous="NaT", nonexistent="shift_forward")
    return rows.assign(departed_at=moment.dt.tz_convert("UTC").dt.tz_localize(None), month=rows["flight_date"].dt.month)
