"""Tests of TimeFeatures, TextFeatures and minutes_of_day: values, missing values, and equality to the last bit."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.features import PARTS, TextFeatures, TimeFeatures, difference, minutes_of_day, ratio, time_part
from skline.features.text import char_ngrams

STAMPS = st.lists(st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)), min_size=1, max_size=20)
PART_OF = {
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
def test_time_parts_match_the_calendar(stamps: list[dt.datetime]) -> None:
    array = np.array(stamps, dtype="datetime64[us]")
    for part in PARTS:
        assert time_part(array, part).tolist() == [PART_OF[part](stamp) for stamp in stamps], part


@pytest.mark.parametrize("encoding", ["ordinal", "cyclic"])
@given(stamps=STAMPS)
def test_one_datetime_gets_the_same_bits_alone_and_in_a_batch(encoding: str, stamps: list[dt.datetime]) -> None:
    frame = pd.DataFrame({"t": np.array(stamps, dtype="datetime64[us]")})
    features = TimeFeatures(PARTS, encoding).fit(frame)  # type: ignore[arg-type]
    many = features.transform(frame)
    one = np.vstack([features.transform(frame.iloc[[i]]) for i in range(len(frame))])
    assert many.tobytes() == one.tobytes()
    assert many.shape[1] == len(features.get_feature_names_out())


def test_missing_datetime_and_time_of_day_give_nan() -> None:
    frame = pd.DataFrame({"t": pd.to_datetime(["2020-01-01", None])})
    assert np.isnan(TimeFeatures(PARTS, "cyclic").fit_transform(frame)[1]).all()
    assert np.isnan(minutes_of_day([[np.nan]])).all()


def test_december_is_close_to_january_in_cyclic_encoding() -> None:
    frame = pd.DataFrame({"t": pd.to_datetime(["2020-12-15", "2020-01-15", "2020-07-15"])})
    december, january, july = TimeFeatures(("month",), "cyclic").fit_transform(frame)
    assert np.linalg.norm(december - january) < np.linalg.norm(december - july) / 3


@pytest.mark.parametrize("params", [{"parts": ("weak",)}, {"encoding": "circular"}])
def test_rejects_unknown_part_and_encoding(params: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="weak|circular"):
        TimeFeatures(**params).fit(pd.DataFrame({"t": pd.to_datetime(["2020-12-15"])}))  # type: ignore[arg-type]


def test_times_of_day_become_minutes_since_midnight() -> None:
    assert minutes_of_day([[0, 515, 1530, 2400]]).tolist() == [[0, 315, 930, 1440]]


TEXTS = st.lists(
    st.none() | st.text(max_size=12) | st.sampled_from(["red house", "Red Houses", "  ", "東京"]), min_size=1
)


@given(TEXTS)
def test_one_text_gets_the_same_bits_alone_and_in_a_batch(texts: list[str | None]) -> None:
    frame = pd.DataFrame({"t": pd.array(texts, dtype="str")})
    features = TextFeatures(n_components=3, random_state=0).fit(frame)
    many = features.transform(frame)
    one = np.vstack([features.transform(frame.iloc[[i]]) for i in range(len(frame))])
    assert many.tobytes() == one.tobytes()
    assert many.shape[1] == len(features.get_feature_names_out())
    assert np.isnan(many).all(axis=1).tolist() == [text is None or not many.shape[1] for text in texts]


def test_similar_texts_are_close_and_unseen_ngrams_give_zero() -> None:
    train = pd.DataFrame({"t": ["red house", "red houses", "a small house", "blue car", "blue cars", "fast blue car"]})
    features = TextFeatures(n_components=2, random_state=0).fit(train)
    house, houses, car, unseen, missing = features.transform(
        pd.DataFrame({"t": ["House", "HOUSES", "car", "xyz", None]})
    )
    assert house @ houses > 0.9 * np.linalg.norm(house) * np.linalg.norm(houses)
    assert abs(house @ car) < 0.1 * np.linalg.norm(house) * np.linalg.norm(car)
    assert unseen.tolist() == [0.0, 0.0]
    assert np.isnan(missing).all()


def test_text_features_equal_truncated_svd_of_tf_idf() -> None:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = ["late and broken", "works", "works always", "broken again", "never late", "late late late"]
    features = TextFeatures(n_components=3, random_state=0).fit(pd.DataFrame({"t": texts}))
    counts = TfidfVectorizer(analyzer=char_ngrams).fit_transform(texts)
    expected = TruncatedSVD(3, random_state=0).fit(counts).transform(counts)
    np.testing.assert_allclose(features.transform(pd.DataFrame({"t": texts})), expected, atol=1e-12)


def test_column_without_words_gives_no_features() -> None:
    empty = pd.DataFrame({"t": pd.array([None, " ", ""], dtype="str"), "u": ["some", "words", "here"]})
    features = TextFeatures(n_components=2, random_state=0).fit(empty)
    assert features.get_feature_names_out().tolist() == ["u_0", "u_1"]
    with pytest.raises(ValueError, match="fitted on 2 columns, got 1"):
        features.transform(empty[["u"]])


def test_ratio_and_difference_of_two_columns() -> None:
    values = [[6, 3], [1, 0], [0, 0], [np.nan, 2], [2, np.nan], [-1, 4]]
    np.testing.assert_equal(ratio(values), [[2], [np.nan], [np.nan], [np.nan], [np.nan], [-0.25]])
    np.testing.assert_equal(difference(values), [[3], [1], [0], [np.nan], [np.nan], [-5]])
    with pytest.raises(ValueError, match="takes two columns"):
        ratio([[1, 2, 3]])
