"""What was set, and why: models/tuning.json."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Interval(BaseModel):
    """How far from a regressor's prediction the truth lies in `level` of all cases: at most `half_width`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: float
    half_width: float
    rows: int


class Calibration(BaseModel):
    """Whether probabilities are calibrated; Brier scores are of validation rows that the calibration had not seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["off", "sigmoid", "isotonic"]
    reason: str
    brier_off: float | None = None
    brier_sigmoid: float | None = None
    brier_isotonic: float | None = None


class Threshold(BaseModel):
    """From which probability of the second class the answer is this class; `score` is what the objective made best."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    objective: str
    score: float | None = None


class Tuning(BaseModel):
    """All of it; `rows` of the validation part were looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    calibration: Calibration | None = None
    threshold: Threshold | None = None
    interval: Interval | None = None
