"""The service's settings, from environment variables that begin with SKLINE_."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from skline.artifact import read_digest


class ServiceSettings(BaseSettings):
    """What the service is told by its surroundings."""

    model_config = SettingsConfigDict(env_prefix="SKLINE_", frozen=True)

    artifact: Path = Field(default=Path("artifact"), description="Directory of the artifact")
    artifact_digest: str | None = Field(default=None, description="Sha256 of its manifest, from outside of it")
    artifact_digest_file: Path = Field(default=Path("artifact.sha256"), description="Where it is read otherwise")
    max_body_bytes: int = Field(default=16 * 2**20, gt=0, description="A larger request body gets a 413")
    max_batch_rows: int = Field(default=10_000, gt=0, description="A longer batch gets a 413")

    def expected_digest(self) -> str:
        """Return the digest the artifact must have; ArtifactRefused if none was given."""
        return self.artifact_digest or read_digest(self.artifact_digest_file)
