"""Limits at which a canary is aborted: part of params.yaml and of every release manifest.

It is a module of its own so that the service reads a manifest without importing the schema of params.yaml.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


class Guards(BaseModel):
    """When a canary is aborted automatically.

    A canary is aborted when a rate of the challenger exceeds the champion's by more than the limit, with statistical
    confidence (see `skline.release.guards`). A rate is the mean over entities of the share of their observations; a
    request for one row is an observation, and so are the rows of one entity in a batch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_rows: Annotated[int, Field(ge=20)] = Field(
        default=200, description="Observations that each arm needs before a check"
    )
    errors: Share = Field(default=0.02, description="Share that failed")
    fallbacks: Share = Field(default=0.05, description="Share that another model or a fallback answered")
    slow: Share = Field(default=0.05, description="Share that took longer than slow_ms, of rows requested alone")
    slow_ms: Annotated[float, Field(gt=0)] = Field(default=50, description="A row that takes longer is slow")
    score_shift: Share = Field(default=0.2, description="Distance between the distribution functions of the scores")
