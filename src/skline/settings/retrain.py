"""The section `retrain` of params.yaml: when `skline retrain` trains a new model."""

import datetime as dt
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from skline.settings.base import SettingsSection, Share
from skline.settings.monitor import Duration

Count = Annotated[int, Field(ge=1)]
Percent = Annotated[float, Field(ge=0.01, le=99.99)]


class Canary(SettingsSection):
    """The canary of a new version, with `auto_promote: canary`; its guards are `release.guards`."""

    percents: Annotated[tuple[Percent, ...], Field(min_length=1)] = Field(
        default=(10, 50), description="Shares of the traffic, in percent, which must rise"
    )
    every: Duration = Field(
        default=dt.timedelta(days=1), description="Time at each share; after the last one the version is promoted"
    )

    @property
    def duration(self) -> dt.timedelta:
        """The time from the start of the canary to its planned end."""
        return self.every * len(self.percents)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if list(self.percents) != sorted(set(self.percents)):
            raise ValueError(f"the shares of a canary must rise: {', '.join(f'{each:g}' for each in self.percents)}")
        return self


class Retrain(SettingsSection):
    """Reasons to train again, and what a training requires. A reason that is null or false is off."""

    performance: bool = Field(
        default=True,
        description="Reason: the whole interval of a metric is beyond its limit in monitor.persist of the last "
        "monitor.of_windows windows",
    )
    concept: bool = Field(default=True, description="Reason: concept drift is an alarm of the newest window")
    recovery: Duration | None = Field(
        default=dt.timedelta(days=56),
        description="Reason: the version in service is worse on its test part than one that served before, because it "
        "had few rows of after a change; for this long after it was released, null: off",
    )
    drift: Share | None = Field(
        default=None,
        description="Reason: drift, weighted by the importance of the columns, reaches this in as many windows",
    )
    max_age: Duration | None = Field(
        default=None, description="Reason: the model in service is older than this, such as 90d"
    )
    new_labels: Count | None = Field(
        default=None, description="Reason: this many labels have matured since the last training"
    )
    min_labels: Count = Field(default=500, description="Matured labels since the last training that a new one requires")
    action: Literal["fit", "recalibrate"] = Field(
        default="fit",
        description="fit: train a new model on all rows; recalibrate: keep the fit, and set calibration and threshold "
        "on the newest labels",
    )
    auto_promote: Literal["never", "canary", "full"] = Field(
        default="never",
        description="What happens with a new version that passed every gate, none of them undecided. canary: it gets a "
        "share of the traffic, and is promoted at the end unless a guard is breached; full: it is promoted at once",
    )
    canary: Canary = Canary()
    cooldown: Duration = Field(default=dt.timedelta(days=1), description="Time between two trainings")
