"""Predictions in a band of scores and a random sample are reviewed; the result of a review is a label."""

import random
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.errors import SklineError
from skline.serving.prediction.review import Reason, ReviewSampler
from skline.serving.settings import ReviewSettings
from tests.fixtures import demo
from tests.fixtures.service import service_with_log

DAY = 86_400_000_000


@given(st.floats(0, 1), st.floats(0, 0.5), st.floats(0.5, 1))
def test_predictions_in_the_band_are_reviewed_up_to_the_daily_capacity(score: float, low: float, high: float) -> None:
    sampler = ReviewSampler(ReviewSettings(low=low, high=high, per_day=2))
    expected = Reason.BAND if low <= score <= high else Reason.NONE
    assert [sampler.decide(score, 5 * DAY + hour) for hour in range(3)] == [expected, expected, Reason.NONE]
    assert sampler.beyond_capacity == (expected is Reason.BAND)
    assert sampler.decide(score, 6 * DAY) == expected


def test_sample_is_drawn_from_all_scores_and_takes_no_capacity() -> None:
    sampler = ReviewSampler(ReviewSettings(low=0.4, high=0.6, per_day=1, sample=0.2), random.Random(1))  # noqa: S311
    reasons = [sampler.decide(index / 1000, 0) for index in range(1000)]
    sampled = [index for index, reason in enumerate(reasons) if reason is Reason.SAMPLE]
    assert reasons.count(Reason.BAND) == 1
    assert 150 < len(sampled) < 250
    assert 0.4 < sum(sampled) / len(sampled) / 1000 < 0.6


@pytest.mark.parametrize(("low", "high", "word"), [(0.5, None, "both"), (None, 0.5, "both"), (0.7, 0.3, "exchange")])
def test_incomplete_or_empty_band_is_rejected(low: float | None, high: float | None, word: str) -> None:
    with pytest.raises(SklineError, match=word):
        ReviewSampler(ReviewSettings(low=low, high=high))


def pending_reviews(client: httpx.Client, count: int) -> list[dict[str, Any]]:
    """Return the pending reviews once there are `count`: the log is written shortly after the response."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        pending: list[dict[str, Any]] = client.get("/review").json()
        if len(pending) == count:
            return pending
        time.sleep(0.02)
    raise AssertionError(f"{len(pending)} predictions wait for review, not {count}")


def test_review_goes_from_the_prediction_over_the_pending_list_to_a_label(
    packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    with service_with_log(packaged, tmp_path, review=ReviewSettings(low=0, high=1, per_day=3)) as client:
        single = client.post("/predict", json=example).json()
        batch = client.post("/predict/batch", json=[example] * 3).json()["predictions"]
        assert [response["review"] for response in (single, *batch)] == [True, True, True, False]
        pending = pending_reviews(client, 3)
        assert [entry["prediction_id"] for entry in pending] == [a["prediction_id"] for a in (single, *batch[:2])]
        assert pending[0]["inputs"] == example
        assert pending[0]["probabilities"] == single["probabilities"]
        assert {entry["reason"] for entry in pending} == {"band"}
        reviewed = client.post(f"/review/{single['prediction_id']}", json={"label": True})
        assert (reviewed.status_code, reviewed.json()) == (
            200,
            {"new": 1, "duplicates": 0, "rejected": [], "unknown": 0},
        )
        assert client.post(f"/review/{single['prediction_id']}", json={"label": True}).json()["duplicates"] == 1
        assert [entry["prediction_id"] for entry in pending_reviews(client, 2)] == [
            a["prediction_id"] for a in batch[:2]
        ]
        rejected = client.post(f"/review/{single['prediction_id']}", json={"label": "late"})
        assert (rejected.status_code, rejected.json()["detail"][0]["loc"]) == (422, ["body", "label"])


def test_responses_have_no_review_field_if_review_is_off(client: httpx.Client, example: dict[str, Any]) -> None:
    assert "review" not in client.post("/predict", json=example).json()
