"""Which predictions are sent to people: those in a band of scores, and a random sample of all.

The sample is drawn whatever the score is. Without it, what is learnt from review would be true of the band alone.
"""

import random
from enum import IntEnum

from serving.settings import ReviewSettings
from skline.errors import SklineError


class Reason(IntEnum):
    """Why a prediction is reviewed, as the log keeps it."""

    NONE = 0
    BAND = 1
    SAMPLE = 2


class Review:
    """Decides about one prediction after the other.

    Raises
    ------
    SklineError
        If the band has only one bound, or ends before it begins.
    """

    def __init__(self, settings: ReviewSettings, draw: random.Random | None = None) -> None:
        low, high = settings.low, settings.high
        if (low is None) != (high is None):
            raise SklineError(f"review: low is {low} and high is {high}; set both, or neither")
        if low is not None and high is not None and low > high:
            raise SklineError(f"review: the band from {low} to {high} is empty; exchange low and high")
        self._band = None if low is None or high is None else (low, high)
        self._per_day, self._sample = settings.per_day, settings.sample
        self._draw = draw or random.SystemRandom()
        self._day = -1
        self._left = 0
        self.active = self._band is not None or self._sample > 0
        #: Predictions in the band for which the day's capacity was used up.
        self.beyond_capacity = 0

    def of(self, score: float, now_us: int) -> Reason:
        """Say whether a prediction is reviewed, and why.

        Parameters
        ----------
        score : float
            The probability of the second of two classes, of the class among more, or the predicted number.
        now_us : int
            Microseconds since 1970.
        """
        if self._sample and self._draw.random() < self._sample:
            return Reason.SAMPLE
        if self._band is None or not self._band[0] <= score <= self._band[1]:
            return Reason.NONE
        day = now_us // 86_400_000_000
        if day > self._day or day < self._day - 1:  # a clock that is put back over midnight begins no new day
            self._day, self._left = day, self._per_day
        if not self._left:
            self.beyond_capacity += 1
            return Reason.NONE
        self._left -= 1
        return Reason.BAND
