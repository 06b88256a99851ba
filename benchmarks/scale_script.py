"""What the stages ingest, validate and split do to the flights, as one pandas script with the table in memory.

`python benchmarks/scale_script.py FLIGHTS.csv FOLDER`; benchmarks/scale.py runs it.
"""

import sys
from pathlib import Path

import pandas as pd

TEXT = ["carrier", "origin", "dest", "time_hour"]
NUMBERS = ["year", "month", "day", "flight", "distance", "sched_dep_time", "sched_arr_time", "arr_delay"]
COLUMNS = [
    "flight_date", "carrier", "origin", "dest", "distance", "sched_dep_time", "sched_arr_time", "late", "flight_id",
    "departed_at", "month",
]  # fmt: skip
CUTS = ["2013-08-01", "2013-09-01", "2013-11-01"]


def derive(path: str) -> pd.DataFrame:
    """Read the table and derive its columns."""
    flights = pd.read_csv(path, usecols=TEXT + NUMBERS, dtype=dict.fromkeys(TEXT, "str"), keep_default_na=True)
    hour = flights["time_hour"]
    flights = flights.assign(
        flight_date=pd.to_datetime(flights[["year", "month", "day"]]).astype("datetime64[us]"),
        departed_at=pd.to_datetime(hour, utc=True).dt.tz_localize(None).astype("datetime64[us]"),
        flight_id=flights["carrier"] + flights["flight"].astype("str") + " " + hour,
        late=(flights["arr_delay"] > 15).astype(float).where(flights["arr_delay"].notna()),
    )
    return flights[COLUMNS]


def is_valid(rows: pd.DataFrame) -> pd.Series:
    """Whether each row keeps the rules of the contract."""
    clock = rows["sched_dep_time"].between(0, 2400) & rows["sched_arr_time"].between(0, 2400)
    distance = rows["distance"].isna() | ((rows["distance"] > 0) & (rows["distance"] <= 12_500))
    text = (
        rows["carrier"].isin(matching(rows["carrier"], "[A-Z0-9]{2}"))
        & rows["dest"].isin(matching(rows["dest"], "[A-Z]{3}"))
        & rows["origin"].isin(["EWR", "JFK", "LGA"])
    )
    dates = (rows["flight_date"] >= "2013-01-01") & rows["month"].between(1, 12) & rows["departed_at"].notna()
    return clock & distance & text & dates & ~rows["flight_id"].duplicated(keep=False) & rows["flight_id"].notna()


def matching(values: pd.Series, pattern: str) -> list[str]:
    """Return the distinct values that match a pattern."""
    distinct = pd.Series(values.dropna().unique(), dtype="str")
    return distinct[distinct.str.fullmatch(pattern)].tolist()


def main() -> None:
    """Write raw, validated, quarantined and unlabelled rows, and the parts."""
    path, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(exist_ok=True)
    rest = folder / "tables"
    rest.mkdir(exist_ok=True)
    raw = derive(path)
    raw.to_parquet(rest / "raw.parquet", index=False)
    labelled = raw["late"].notna()
    valid = is_valid(raw[labelled])
    raw[~labelled].to_parquet(rest / "unlabelled.parquet", index=False)
    raw[labelled][~valid].to_parquet(rest / "quarantine.parquet", index=False)
    validated = raw[labelled][valid].astype({"late": "bool"})
    validated.to_parquet(rest / "validated.parquet", index=False)
    part = pd.Series(0, index=validated.index)
    for cut in CUTS:
        part += validated["departed_at"] >= cut
    for number, name in enumerate(("train", "validation", "test", "live")):
        validated[part == number].to_parquet(folder / f"{name}.parquet", index=False)


if __name__ == "__main__":
    main()
