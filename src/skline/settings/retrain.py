"""The section `retrain` of params.yaml: when `skline retrain` trains a new model."""

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field

from skline.settings.base import SettingsSection, Share
from skline.settings.monitor import Duration

Count = Annotated[int, Field(ge=1)]


class Retrain(SettingsSection):
    """Reasons to train again, and what a training requires. A reason that is null or false is off."""

    performance: bool = Field(
        default=True,
        description="Reason: the whole interval of a metric is beyond its limit in monitor.persist of the last "
        "monitor.of_windows windows",
    )
    concept: bool = Field(default=True, description="Reason: concept drift is an alarm of the newest window")
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
    auto_promote: Literal["never", "full"] = Field(
        default="never", description="full: promote a new version that passed every gate, none of them undecided"
    )
    cooldown: Duration = Field(default=dt.timedelta(days=1), description="Time between two trainings")
