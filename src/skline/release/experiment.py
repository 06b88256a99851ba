"""Experiments, and the assignment of entities to arms: by a hash that is the same in every process at all times."""

import datetime as dt
import hashlib
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from skline.canary_limits import Guards

#: Shares of traffic are counted in ten-thousandths.
BUCKETS = 10_000
#: Two-sided error probability of an A/B test, over all of its looks.
ALPHA = 0.05
#: An entity's predictions count for a week, so that each entity has every day of the week.
DEFAULT_WINDOW_SECONDS = 7 * 86_400
#: Labels may come one day after the end of the window.
DEFAULT_LABEL_SECONDS = 86_400
Kind = Literal["canary", "ab", "shadow"]
Kpi = Literal["label", "correct", "brier", "absolute_error", "squared_error"]


class RampStep(BaseModel):
    """One step of a canary's ramp."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after_seconds: Annotated[int, Field(ge=0)] = Field(description="From the experiment's start")
    weight: Annotated[int, Field(ge=0, le=BUCKETS)]


class Design(BaseModel):
    """The design of an A/B test, fixed before its first row. With several looks O'Brien-Fleming boundaries hold.

    An entity is closed `window_seconds` and `label_seconds` after its first prediction: predictions after the window
    do not count, nor do labels that arrive later. A look uses closed entities alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kpi: Kpi = Field(description="What is averaged over an entity's labelled predictions")
    better: Literal["higher", "lower"]
    units: Annotated[int, Field(ge=100)] = Field(description="Labelled entities to collect, both arms together")
    looks: Annotated[int, Field(ge=1, le=20)] = Field(default=1, description="Analyses, the last one included")
    window_seconds: Annotated[int, Field(ge=1)] = Field(
        default=DEFAULT_WINDOW_SECONDS, description="From an entity's first prediction in the test"
    )
    label_seconds: Annotated[int, Field(ge=0)] = Field(
        default=DEFAULT_LABEL_SECONDS, description="Time for labels after an entity's window"
    )

    @model_validator(mode="before")
    @classmethod
    def _read_earlier_fields(cls, fields: Any) -> Any:
        """Read designs of earlier versions, which journals hold: `boundary` and `alpha` could be chosen."""
        if not isinstance(fields, dict):
            return fields
        fields = dict(fields)
        boundary, alpha = fields.pop("boundary", "obrien-fleming"), fields.pop("alpha", ALPHA)
        if boundary not in ("fixed", "obrien-fleming") or alpha != ALPHA:
            raise ValueError(f"boundary {boundary!r} with alpha {alpha} is not supported any more")
        return fields


class Experiment(BaseModel):
    """A challenger next to the champion: on a share of the traffic (canary, ab), or without returning its results."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,64}$")]
    kind: Kind
    salt: str
    started_at: AwareDatetime
    steps: tuple[RampStep, ...] = Field(default=(), description="A canary's ramp; without steps the arm's weight holds")
    guards: Guards = Guards()
    design: Design | None = None

    @model_validator(mode="after")
    def _parts_fit_kind(self) -> Self:
        if (self.kind == "ab") != (self.design is not None):
            raise ValueError("an A/B test needs a design, and other experiments must not have one")
        if self.steps and self.kind != "canary":
            raise ValueError(f"an experiment of kind {self.kind} must not have steps: only a canary has a ramp")
        if any(
            later.after_seconds <= step.after_seconds or later.weight <= step.weight
            for step, later in pairwise(self.steps)
        ):
            raise ValueError("a ramp's steps must rise, in time and in weight")
        return self

    def weight_at(self, moment: dt.datetime, weight: int) -> int:
        """Return the challenger's share of traffic at a moment, of 10,000; `weight` is that of its arm."""
        seconds = (moment - self.started_at).total_seconds()
        reached = [step.weight for step in self.steps if step.after_seconds <= seconds]
        return (reached or [self.steps[0].weight])[-1] if self.steps else weight


def entity_key(salt: str, experiment: str, entity: object) -> int:
    """Return a hash of an entity, 64 bits; 12 and "12" are the same entity.

    Another experiment, or another salt, hashes the same entity independently.
    """
    text = f"{salt}:{experiment}:{entity}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())


def bucket(salt: str, experiment: str, entity: object) -> int:
    """Return the bucket of an entity, of 10,000.

    The challenger has the buckets below its weight, so the entities of a share of 10 % are among those of 20 %.
    """
    return entity_key(salt, experiment, entity) % BUCKETS
