"""Decide which predictions people review: those in a band of scores, and a random sample of all.

The sample is drawn independently of the score; without it, results of reviews would hold for the band only.
"""

import random
from enum import IntEnum

from skline.errors import SklineError
from skline.logs.records import REVIEW_SAMPLE
from skline.serving.settings import ReviewSettings

DAY_US = 86_400_000_000


class Reason(IntEnum):
    """Why a prediction is reviewed, as the log stores it."""

    NONE = 0
    BAND = 1
    SAMPLE = REVIEW_SAMPLE


class ReviewSampler:
    """Decides about predictions one after the other.

    Attributes
    ----------
    active : bool
        Whether the settings send any prediction to review.
    beyond_capacity : int
        Predictions in the band that were not reviewed because the day's capacity was used up.

    Raises
    ------
    SklineError
        If the band has only one bound, or is empty.
    """

    def __init__(self, settings: ReviewSettings, random_source: random.Random | None = None) -> None:
        low, high = settings.low, settings.high
        if (low is None) != (high is None):
            raise SklineError(f"review: low is {low} and high is {high}; set both, or neither")
        if low is not None and high is not None and low > high:
            raise SklineError(f"review: the band from {low} to {high} is empty; exchange low and high")
        self._band = None if low is None or high is None else (low, high)
        self._per_day, self._sample = settings.per_day, settings.sample
        self._random = random_source or random.SystemRandom()
        self._day = -1
        self._left_today = 0
        self.active = self._band is not None or self._sample > 0
        self.beyond_capacity = 0

    def decide(self, score: float, now_us: int) -> Reason:
        """Decide whether a prediction is reviewed, and why.

        Parameters
        ----------
        score : float
            The probability of the second of two classes, the largest of more, or the predicted number.
        now_us : int
            Microseconds since 1970.
        """
        if self._sample and self._random.random() < self._sample:
            return Reason.SAMPLE
        if self._band is None or not self._band[0] <= score <= self._band[1]:
            return Reason.NONE
        day = now_us // DAY_US
        if day > self._day or day < self._day - 1:  # a clock set back over midnight does not start a new day
            self._day, self._left_today = day, self._per_day
        if not self._left_today:
            self.beyond_capacity += 1
            return Reason.NONE
        self._left_today -= 1
        return Reason.BAND
