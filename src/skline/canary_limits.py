"""Limits at which a canary is aborted: part of params.yaml and of every release manifest.

It is a module of its own so that the service reads a manifest without importing the schema of params.yaml.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


class Guards(BaseModel):
    """When a canary is aborted automatically.

    A canary is aborted when a rate of the challenger exceeds the champion's by more than the limit, with statistical
    confidence (see `skline.release.guards`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_rows: Annotated[int, Field(ge=20)] = Field(default=200, description="Rows that each arm needs before a check")
    errors: Share = Field(default=0.02, description="Share of rows that failed")
    fallbacks: Share = Field(default=0.05, description="Share of rows that a fallback answered, for any reason")
    slow: Share = Field(default=0.05, description="Share of rows that took longer than slow_ms")
    slow_ms: Annotated[float, Field(gt=0)] = 50
    score_shift: Share = Field(default=0.2, description="Distance between the distribution functions of the scores")
