"""Time features read what the calendar says, alike for one row and for many."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.features import PARTS, TimeFeatures, minutes_of_day, time_part

STAMPS = st.lists(st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)), min_size=1, max_size=20)
MEANING = {
    "year": lambda t: t.year,
    "month": lambda t: t.month,
    "day": lambda t: t.day,
    "weekday": lambda t: t.weekday(),
    "day_of_year": lambda t: t.timetuple().tm_yday,
    "hour": lambda t: t.hour,
    "minute": lambda t: t.minute,
    "days": lambda t: t.toordinal() - dt.date(1970, 1, 1).toordinal(),
}


@given(STAMPS)
def test_parts_are_the_calendars(stamps: list[dt.datetime]) -> None:
    array = np.array(stamps, dtype="datetime64[us]")
    for part in PARTS:
        assert time_part(array, part).tolist() == [MEANING[part](stamp) for stamp in stamps], part


@pytest.mark.parametrize("encoding", ["ordinal", "cyclic"])
@given(stamps=STAMPS)
def test_one_row_gets_the_bits_it_gets_among_many(encoding: str, stamps: list[dt.datetime]) -> None:
    frame = pd.DataFrame({"t": np.array(stamps, dtype="datetime64[us]")})
    features = TimeFeatures(PARTS, encoding).fit(frame)  # type: ignore[arg-type]
    many = features.transform(frame)
    one = np.vstack([features.transform(frame.iloc[[i]]) for i in range(len(frame))])
    assert many.tobytes() == one.tobytes()
    assert many.shape[1] == len(features.get_feature_names_out())


def test_missing_stays_missing() -> None:
    frame = pd.DataFrame({"t": pd.to_datetime(["2020-01-01", None])})
    assert np.isnan(TimeFeatures(PARTS, "cyclic").fit_transform(frame)[1]).all()
    assert np.isnan(minutes_of_day([[np.nan]])).all()


def test_december_lies_beside_january() -> None:
    frame = pd.DataFrame({"t": pd.to_datetime(["2020-12-15", "2020-01-15", "2020-07-15"])})
    december, january, july = TimeFeatures(("month",), "cyclic").fit_transform(frame)
    assert np.linalg.norm(december - january) < np.linalg.norm(december - july) / 3


@pytest.mark.parametrize("faults", [{"parts": ("weak",)}, {"encoding": "circular"}])
def test_unknown_parameters_are_refused(faults: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="weak|circular"):
        TimeFeatures(**faults).fit(pd.DataFrame({"t": pd.to_datetime(["2020-12-15"])}))  # type: ignore[arg-type]


def test_clock_readings_become_minutes() -> None:
    assert minutes_of_day([[0, 515, 1530, 2400]]).tolist() == [[0, 315, 930, 1440]]
