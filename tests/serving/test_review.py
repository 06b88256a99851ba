"""Predictions in the band and a random sample go to people; what these find is a label."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.app import create_app
from serving.review import Reason, Review
from serving.settings import ReviewSettings, ServiceSettings
from skline.errors import SklineError
from skline.logs.settings import LogSettings
from tests import demo
from tests.conftest import running, wait_until_loaded

DAY = 86_400_000_000


@given(st.floats(0, 1), st.floats(0, 0.5), st.floats(0.5, 1))
def test_the_band_decides_as_long_as_there_is_capacity(score: float, low: float, high: float) -> None:
    review = Review(ReviewSettings(low=low, high=high, per_day=2))
    expected = Reason.BAND if low <= score <= high else Reason.NONE
    assert [review.of(score, 5 * DAY + hour) for hour in range(3)] == [expected, expected, Reason.NONE]
    assert review.beyond_capacity == (expected is Reason.BAND)
    assert review.of(score, 6 * DAY) == expected


def test_the_sample_is_drawn_from_all_scores_and_takes_no_capacity() -> None:
    review = Review(ReviewSettings(low=0.4, high=0.6, per_day=1, sample=0.2), random.Random(1))  # noqa: S311
    reasons = [review.of(index / 1000, 0) for index in range(1000)]
    drawn = [index for index, reason in enumerate(reasons) if reason is Reason.SAMPLE]
    assert reasons.count(Reason.BAND) == 1
    assert 150 < len(drawn) < 250
    assert 0.4 < sum(drawn) / len(drawn) / 1000 < 0.6


@pytest.mark.parametrize(("low", "high", "word"), [(0.5, None, "both"), (None, 0.5, "both"), (0.7, 0.3, "exchange")])
def test_half_a_band_is_none(low: float | None, high: float | None, word: str) -> None:
    with pytest.raises(SklineError, match=word):
        Review(ReviewSettings(low=low, high=high))


@contextmanager
def service(packaged: demo.Packaged, folder: Path, **settings: Any) -> Iterator[httpx.Client]:
    """A service with a log of its own."""
    log = LogSettings(database=str(folder / "log.db"), partitions=folder / "days", batch_ms=10)
    made = ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest, log=log, **settings)
    with running(create_app(made)) as client:
        wait_until_loaded(client)
        yield client


def listed(client: httpx.Client, count: int) -> list[dict[str, Any]]:
    """The list, once it has so many entries: the log is written a moment after the answer."""
    for _ in range(200):
        found: list[dict[str, Any]] = client.get("/review").json()
        if len(found) == count:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{len(found)} predictions wait, not {count}")


def test_from_the_answer_to_the_list_to_the_label(
    packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    with service(packaged, tmp_path, review=ReviewSettings(low=0, high=1, per_day=3)) as client:
        one = client.post("/predict", json=example).json()
        batch = client.post("/predict/batch", json=[example] * 3).json()["predictions"]
        assert [answer["review"] for answer in (one, *batch)] == [True, True, True, False]
        waiting = listed(client, 3)
        assert [entry["prediction_id"] for entry in waiting] == [a["prediction_id"] for a in (one, *batch[:2])]
        assert waiting[0]["inputs"] == example
        assert waiting[0]["probabilities"] == one["probabilities"]
        assert {entry["reason"] for entry in waiting} == {"band"}
        found = client.post(f"/review/{one['prediction_id']}", json={"label": True})
        assert (found.status_code, found.json()) == (200, {"new": 1, "known": 0, "refused": []})
        assert client.post(f"/review/{one['prediction_id']}", json={"label": True}).json()["known"] == 1
        assert [entry["prediction_id"] for entry in listed(client, 2)] == [a["prediction_id"] for a in batch[:2]]
        wrong = client.post(f"/review/{one['prediction_id']}", json={"label": "late"})
        assert (wrong.status_code, wrong.json()["detail"][0]["loc"]) == (422, ["body", "label"])


def test_without_review_no_answer_speaks_of_it(client: httpx.Client, example: dict[str, Any]) -> None:
    assert "review" not in client.post("/predict", json=example).json()
