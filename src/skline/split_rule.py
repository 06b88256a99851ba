"""The rule that assigns rows to parts: the section `split` of params.yaml, and its copy in every artifact.

It is a module of its own so that the service reads an artifact without importing the schema of params.yaml.
"""

import datetime as dt
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
#: A date, or a datetime in UTC. JSON Schema's format `date-time` would demand an offset, which it has not.
Cut = Annotated[dt.datetime | dt.date, WithJsonSchema({"type": "string", "title": "Cut"})]
#: Version of the hash in `skline.partition`; another version assigns rows to other parts.
HASH_VERSION = 1


class Split(BaseModel):
    """How the rows are divided into the parts train, validation, test and live.

    With `random` and `group` a row's part follows from a hash of the row, and shares are those that are expected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["random", "group", "time"] = Field(
        default="random", description="random: rows; group: all rows of a group together; time: by the cut dates"
    )
    seed: int = Field(default=17, description="Key of the hash that assigns rows to parts; unused with kind: time")
    validation: Share = Field(default=0.15, description="Expected share of rows (random) or groups (group)")
    test: Share = Field(default=0.2, description="Expected share of rows (random) or groups (group)")
    live: Share = Field(default=0.0, description="Share that is kept out of training and evaluation, for replay")
    validation_from: Cut | None = Field(default=None, description="kind: time: first date of the validation part")
    test_from: Cut | None = Field(default=None, description="kind: time: first date of the test part")
    live_from: Cut | None = Field(default=None, description="kind: time: first date of the live part, if there is one")

    @model_validator(mode="after")
    def _check_cuts(self) -> Self:
        cuts = [self.validation_from, self.test_from, self.live_from]
        if self.kind == "time":
            if self.validation_from is None or self.test_from is None:
                raise ValueError("a time split needs validation_from and test_from")
            dates = [str(cut) for cut in cuts if cut is not None]
            if dates != sorted(set(dates)):
                raise ValueError(f"cut dates must rise: {', '.join(dates)}")
        elif any(cut is not None for cut in cuts):
            raise ValueError(f"cut dates belong to kind: time, not to kind: {self.kind}")
        elif self.validation + self.test + self.live >= 1:
            raise ValueError("validation + test + live must leave rows to train on")
        return self


class PartitionRule(BaseModel):
    """What an artifact stores of the split of its table: with a table's contract it gives the part of every row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hash_version: int = HASH_VERSION
    split: Split
