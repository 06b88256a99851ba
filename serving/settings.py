"""The service's settings, from environment variables that begin with SKLINE_ and from secret files."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from serving.security.settings import (
    CorsSettings,
    LayeredSettings,
    LimitSettings,
    LoggingSettings,
    SecuritySettings,
)
from skline import paths
from skline.artifact import read_digest
from skline.logs.settings import LogSettings


class FallbackSettings(BaseModel):
    """The chain that a request goes along when the model fails on it; its end is a 503.

    A request that breaks the contract, or that the model refuses by a rule of its own, is no failure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    chain: tuple[Literal["previous", "fixed", "rule"], ...] = Field(
        default=("previous",), description="previous: the model before; fixed: `answer`; rule: the function `rule`"
    )
    answer: dict[str, Any] | None = Field(
        default=None, description='Of "fixed": {"prediction": …, "probabilities": {class: …}}'
    )
    rule: str | None = Field(default=None, description='Of "rule": module:function, row → an answer as `answer` has it')


class ReviewSettings(BaseModel):
    """Which predictions people look at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float | None = Field(default=None, description="Scores from here …")
    high: float | None = Field(default=None, description="… to here are sent to review; both or neither")
    per_day: int = Field(default=100, ge=0, description="At most so many a day (UTC), the random sample not counted")
    sample: float = Field(
        default=0.0, ge=0, le=1, description="Share of all predictions sent to review at random, whatever their score"
    )


class ServiceSettings(LayeredSettings):
    """What the service is told by its surroundings."""

    environment: Literal["development", "production"] = Field(
        default="development", description="Outside of development, what is unsafe is refused"
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on")
    artifact: Path = Field(default=Path("artifact"), description="Directory of the artifact")
    artifact_digest: str | None = Field(default=None, description="Sha256 of its manifest, from outside of it")
    artifact_digest_file: Path = Field(default=Path("artifact.sha256"), description="Where it is read otherwise")
    release: Path | None = Field(
        default=None,
        description="The release manifest; if it is there it says what is served, and `artifact` does not. "
        "Not given: releases/release.json, unless an artifact or a digest is named",
    )
    watch_seconds: float = Field(
        default=1.0, ge=0, description="How often release and digest file are looked at for something new; 0: never"
    )
    entity_header: str = Field(
        default="X-Entity-ID",
        pattern="^[A-Za-z0-9-]+$",
        description="Request header that names whom it is about, by which experiments divide; without it, "
        "the input log.entity_column does",
    )
    shadow_queue: int = Field(default=2_000, gt=0, description="Rows that may wait for a live shadow; more are dropped")
    max_body_bytes: int = Field(default=16 * 2**20, gt=0, description="A larger request body gets a 413")
    all_bodies_bytes: int = Field(
        default=128 * 2**20,
        validate_default=True,
        description="Of all bodies that come in parts, until they are answered; for one more there is a 503",
    )
    max_batch_rows: int = Field(default=10_000, gt=0, description="A longer batch gets a 413")
    batch_wait: float = Field(
        default=0.002,
        ge=0,
        le=0.002,
        description="Where the pipeline itself answers: pause in which callers of the last batch may ask again",
    )
    batch_limit: int = Field(default=256, gt=0, description="Rows the pipeline is asked for at once, then")
    batch_queue: int = Field(default=4096, gt=0, description="Rows that may wait, then; more get a 503")
    drain_seconds: float = Field(
        default=0.0, ge=0, le=300, description="How long a process that was told to end goes on, no longer ready"
    )
    fallback: FallbackSettings = Field(default=FallbackSettings(), description="Who answers when the model fails")
    review: ReviewSettings = Field(default=ReviewSettings(), description="Which predictions people look at")
    log: LogSettings = Field(default=LogSettings(), description="What is written down of every prediction")
    security: SecuritySettings = Field(default=SecuritySettings(), description="Who may call")
    limits: LimitSettings = Field(default=LimitSettings(), description="How much")
    cors: CorsSettings = Field(default=CorsSettings(), description="From which sites")
    logging: LoggingSettings = Field(default=LoggingSettings(), description="What is written to standard error")

    @field_validator("all_bodies_bytes")
    @classmethod
    def _room_for_one(cls, given: int, info: ValidationInfo) -> int:
        one = info.data.get("max_body_bytes", 0)
        if given < one:
            raise ValueError(f"{given} is less than max_body_bytes, {one}, which one body may have; raise it")
        return given

    def batching(self) -> dict[str, Any]:
        """Return the settings of the micro-batching."""
        return {"wait": self.batch_wait, "largest_batch": self.batch_limit, "queue": self.batch_queue}

    @property
    def release_path(self) -> Path | None:
        """Where the release manifest is looked for; None if an artifact was named in so many words."""
        named = {"artifact", "artifact_digest", "artifact_digest_file"} & self.model_fields_set
        return self.release or (None if named else paths.RELEASE)

    def expected_digest(self) -> str:
        """Return the digest the artifact must have; ArtifactRefused if none was given."""
        return self.artifact_digest or read_digest(self.artifact_digest_file)
