"""The rule that assigns rows to parts: the section `split` of params.yaml, and its copy in every artifact.

It is a module of its own so that the service reads an artifact without importing the schema of params.yaml.
"""

import datetime as dt
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
#: A date, or a datetime in UTC. JSON Schema's format `date-time` would demand an offset, which it has not.
Cut = Annotated[dt.datetime | dt.date, WithJsonSchema({"type": "string", "title": "Cut"})]
#: A time before the newest row of the table, in days or hours: the cut moves when newer rows come.
MovingCut = Annotated[str, Field(pattern=r"^-[1-9][0-9]{0,4}[dh]$", title="Moving cut")]
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
    validation_from: Cut | MovingCut | None = Field(
        default=None,
        description="kind: time: first date of the validation part, or a time before the newest row, such as -28d",
    )
    test_from: Cut | MovingCut | None = Field(
        default=None,
        description="kind: time: first date of the test part, or a time before the newest row, such as -14d",
    )
    live_from: Cut | None = Field(default=None, description="kind: time: first date of the live part, if there is one")

    @property
    def moves(self) -> bool:
        """Whether the cuts are times before the newest row of the table."""
        return isinstance(self.validation_from, str)

    def resolved(self, newest: dt.datetime) -> "Split":
        """Return the rule with cuts that are dates and stay where they are.

        Parameters
        ----------
        newest : datetime
            The time of the newest row of the table that is not of the live part, UTC, without a zone.
        """
        names = ("validation_from", "test_from")
        moving = {name: value for name in names if isinstance(value := getattr(self, name), str)}
        return self.model_copy(update={name: newest - time_before(text) for name, text in moving.items()})

    @model_validator(mode="after")
    def _check_cuts(self) -> Self:
        cuts = [self.validation_from, self.test_from, self.live_from]
        if self.kind == "time":
            if self.validation_from is None or self.test_from is None:
                raise ValueError("a time split needs validation_from and test_from")
            _check_order(self.validation_from, self.test_from, self.live_from)
        elif any(cut is not None for cut in cuts):
            raise ValueError(f"cut dates belong to kind: time, not to kind: {self.kind}")
        elif self.validation + self.test + self.live >= 1:
            raise ValueError("validation + test + live must leave rows to train on")
        return self


def time_before(cut: str) -> dt.timedelta:
    """Return the time before the newest row that a moving cut such as -28d stands for."""
    number, unit = int(cut[1:-1]), cut[-1]
    return dt.timedelta(days=number) if unit == "d" else dt.timedelta(hours=number)


def _check_order(validation: Cut | str, test: Cut | str, live: Cut | None) -> None:
    """Reject cuts that do not rise; ValueError."""
    moving = [cut for cut in (validation, test) if isinstance(cut, str)]
    if len(moving) == 1:
        raise ValueError("validation_from and test_from must both be dates, or both times before the newest row")
    if moving:
        if time_before(moving[0]) <= time_before(moving[1]):
            raise ValueError(f"validation_from ({validation}) must be before test_from ({test})")
        return
    dates = [str(cut) for cut in (validation, test, live) if cut is not None]
    if dates != sorted(set(dates)):
        raise ValueError(f"cut dates must rise: {', '.join(dates)}")


class PartitionRule(BaseModel):
    """What an artifact stores of the split of its table: with a table's contract it gives the part of every row.

    Cuts that move are stored as the dates that they were for this table.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hash_version: int = HASH_VERSION
    split: Split
