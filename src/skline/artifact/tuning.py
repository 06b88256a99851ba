"""The record of the tuning, models/tuning.json: calibration, operating threshold, prediction interval."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Interval(BaseModel):
    """The prediction interval of a regressor: `level` of true values lie within `half_width` of the prediction."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: float
    half_width: float
    rows: int


class Calibration(BaseModel):
    """The calibration of probabilities; Brier scores are of validation rows that were not used to fit it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["off", "sigmoid", "isotonic"]
    reason: str
    brier_off: float | None = None
    brier_sigmoid: float | None = None
    brier_isotonic: float | None = None


class Threshold(BaseModel):
    """The probability from which the second class is predicted; `score` is the value of the objective."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    objective: str
    score: float | None = None


class Tuning(BaseModel):
    """Calibration, threshold and interval, set on `rows` rows of the validation part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    calibration: Calibration | None = None
    threshold: Threshold | None = None
    interval: Interval | None = None
