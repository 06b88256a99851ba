"""Time features read what the calendar says, alike for one row and for many."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.features import PARTS, TextFeatures, TimeFeatures, minutes_of_day, time_part
from skline.text import fragments

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


TEXTS = st.lists(
    st.none() | st.text(max_size=12) | st.sampled_from(["red house", "Red Houses", "  ", "東京"]), min_size=1
)


@given(TEXTS)
def test_one_text_gets_the_bits_it_gets_among_many(texts: list[str | None]) -> None:
    frame = pd.DataFrame({"t": pd.array(texts, dtype="str")})
    features = TextFeatures(n_components=3, random_state=0).fit(frame)
    many = features.transform(frame)
    one = np.vstack([features.transform(frame.iloc[[i]]) for i in range(len(frame))])
    assert many.tobytes() == one.tobytes()
    assert many.shape[1] == len(features.get_feature_names_out())
    assert np.isnan(many).all(axis=1).tolist() == [text is None or not many.shape[1] for text in texts]


def test_texts_alike_lie_near_and_what_was_never_seen_is_zero() -> None:
    seen = pd.DataFrame({"t": ["red house", "red houses", "a small house", "blue car", "blue cars", "fast blue car"]})
    features = TextFeatures(n_components=2, random_state=0).fit(seen)
    house, houses, car, never, missing = features.transform(
        pd.DataFrame({"t": ["House", "HOUSES", "car", "xyz", None]})
    )
    assert house @ houses > 0.9 * np.linalg.norm(house) * np.linalg.norm(houses)
    assert abs(house @ car) < 0.1 * np.linalg.norm(house) * np.linalg.norm(car)
    assert never.tolist() == [0.0, 0.0]
    assert np.isnan(missing).all()


def test_text_features_are_those_of_a_truncated_svd_of_tf_idf() -> None:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = ["late and broken", "works", "works always", "broken again", "never late", "late late late"]
    features = TextFeatures(n_components=3, random_state=0).fit(pd.DataFrame({"t": texts}))
    counts = TfidfVectorizer(analyzer=fragments).fit_transform(texts)
    expected = TruncatedSVD(3, random_state=0).fit(counts).transform(counts)
    np.testing.assert_allclose(features.transform(pd.DataFrame({"t": texts})), expected, atol=1e-12)


def test_a_column_without_words_gives_nothing() -> None:
    empty = pd.DataFrame({"t": pd.array([None, " ", ""], dtype="str"), "u": ["some", "words", "here"]})
    features = TextFeatures(n_components=2, random_state=0).fit(empty)
    assert features.get_feature_names_out().tolist() == ["u_0", "u_1"]
    with pytest.raises(ValueError, match="fitted on 2 columns, got 1"):
        features.transform(empty[["u"]])
