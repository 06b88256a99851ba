"""Who is answered by the challenger: a stable hash of the entity, the same in every process and on every day."""

import datetime as dt
import hashlib
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from skline.settings import Guards

#: Traffic is divided in ten-thousandths.
BUCKETS = 10_000
Kind = Literal["canary", "ab", "shadow"]
Kpi = Literal["label", "correct", "brier", "absolute_error", "squared_error"]


class Step(BaseModel):
    """One step of a ramp."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after_seconds: Annotated[int, Field(ge=0)] = Field(description="From the experiment's start")
    weight: Annotated[int, Field(ge=0, le=BUCKETS)]


class Design(BaseModel):
    """What an A/B test is to find out, fixed before its first row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kpi: Kpi = Field(description="What is averaged over an entity's labelled predictions")
    better: Literal["higher", "lower"]
    units: Annotated[int, Field(ge=100)] = Field(description="Entities to be labelled, both arms together")
    boundary: Literal["fixed", "obrien-fleming", "pocock"] = "fixed"
    looks: Annotated[int, Field(ge=1, le=20)] = 1
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = Field(default=0.05, description="Two-sided")

    @model_validator(mode="after")
    def _looks_fit(self) -> Self:
        if (self.boundary == "fixed") != (self.looks == 1):
            raise ValueError(
                f"boundary {self.boundary!r} with {self.looks} looks: fixed has one, the others two or more"
            )
        return self


class Experiment(BaseModel):
    """A challenger beside the champion: on a share of traffic (canary, ab) or unseen (shadow)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,64}$")]
    kind: Kind
    salt: str
    started_at: dt.datetime
    steps: tuple[Step, ...] = Field(default=(), description="A canary's ramp; without steps the arm's weight holds")
    guards: Guards = Guards()
    design: Design | None = None

    @model_validator(mode="after")
    def _parts_fit_kind(self) -> Self:
        if (self.kind == "ab") != (self.design is not None):
            raise ValueError("an A/B test needs a design, and nothing else may have one")
        if self.steps and self.kind != "canary":
            raise ValueError(f"steps belong to a canary, not to {self.kind}")
        if any(later.after_seconds <= step.after_seconds or later.weight <= step.weight
               for step, later in pairwise(self.steps)):  # fmt: skip
            raise ValueError("a ramp's steps must rise, in time and in weight")
        return self

    def weight_at(self, moment: dt.datetime, weight: int) -> int:
        """The challenger's share of traffic at a moment, of 10,000; `weight` is what its arm says."""
        seconds = (moment - self.started_at).total_seconds()
        reached = [step.weight for step in self.steps if step.after_seconds <= seconds]
        return (reached or [self.steps[0].weight])[-1] if self.steps else weight


def bucket(salt: str, experiment: str, entity: object) -> int:
    """Put an entity into one of 10,000 buckets: 12 and "12" are the same entity.

    The challenger has the buckets below its weight, so that who is in at 10 % stays in at 20 %. Another experiment,
    or another salt, divides the same entities anew.
    """
    text = f"{salt}:{experiment}:{entity}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) % BUCKETS
