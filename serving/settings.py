"""The service's settings, from environment variables that begin with SKLINE_."""

from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from serving.fallback_settings import FallbackSettings
from skline.artifact import read_digest


class ServiceSettings(BaseSettings):
    """What the service is told by its surroundings."""

    model_config = SettingsConfigDict(env_prefix="SKLINE_", env_nested_delimiter="__", frozen=True)

    artifact: Path = Field(default=Path("artifact"), description="Directory of the artifact")
    artifact_digest: str | None = Field(default=None, description="Sha256 of its manifest, from outside of it")
    artifact_digest_file: Path = Field(default=Path("artifact.sha256"), description="Where it is read otherwise")
    max_body_bytes: int = Field(default=16 * 2**20, gt=0, description="A larger request body gets a 413")
    max_batch_rows: int = Field(default=10_000, gt=0, description="A longer batch gets a 413")

    batch_wait: float = Field(
        default=0.0, ge=0, le=0.002, description="Seconds a row waits for company where the pipeline itself answers"
    )
    batch_limit: int = Field(default=256, gt=0, description="Rows the pipeline is asked for at once, then")
    batch_queue: int = Field(default=4096, gt=0, description="Rows that may wait, then; more get a 503")

    watch_seconds: float = Field(
        default=2.0, ge=0, description="How often the digest file is looked at for a new artifact; 0: never"
    )
    drain_seconds: float = Field(
        default=0.0, ge=0, le=300, description="How long a process that was told to end goes on, no longer ready"
    )
    fallback: FallbackSettings = Field(default=FallbackSettings(), description="Who answers when the model fails")

    def batching(self) -> dict[str, Any]:
        """Return the settings of the micro-batching."""
        return {"wait": self.batch_wait, "largest_batch": self.batch_limit, "queue": self.batch_queue}

    def expected_digest(self) -> str:
        """Return the digest the artifact must have; ArtifactRefused if none was given."""
        return self.artifact_digest or read_digest(self.artifact_digest_file)
