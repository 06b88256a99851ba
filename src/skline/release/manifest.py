"""The release manifest: the artifacts that are served, and their shares of the traffic.

`skline promote` writes it, the service reads it. It holds the artifacts' digests: write access to this file decides
which code the service loads.
"""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from skline.artifact import InvalidArtifact
from skline.errors import SklineError
from skline.files import atomic_write, fsync
from skline.release.experiment import BUCKETS, Experiment

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Arm(BaseModel):
    """One model of a release. A `live` arm serves its share of the traffic; a `shadow` arm is only logged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str = Field(description="The registered version, as NAME/NUMBER")
    artifact: str = Field(description="Path of the artifact, relative to the manifest's folder")
    sha256: Sha256 = Field(description="The artifact's digest")
    weight: Annotated[int, Field(ge=0, le=BUCKETS)] = Field(default=0, description="Share of traffic, of 10,000")
    mode: Literal["live", "shadow"] = "live"

    @field_validator("artifact")
    @classmethod
    def _is_path(cls, artifact: str) -> str:
        if "://" in artifact:
            raise ValueError(f"{artifact!r} is a URI; the service does not fetch artifacts, use a path")
        return artifact

    @property
    def number(self) -> str:
        """The number of the registered version."""
        return self.version.rpartition("/")[2]

    def folder(self, releases: Path) -> Path:
        """Return the folder of the artifact; `releases` is that of the manifest.

        Raises
        ------
        InvalidArtifact
            If there is no such folder.
        """
        folder = releases / self.artifact
        if not folder.is_dir():
            raise InvalidArtifact(
                f"{folder} is missing: it is the artifact of {self.version}, which a release serves; "
                f"`uv run skline promote {self.number}` fetches it from the registry"
            )
        return folder


class Flags(BaseModel):
    """Features that requests may use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    explain: bool = Field(default=True, description="Explanations of predictions")
    review: bool = Field(default=True, description="Predictions sent to human review")
    challenger: bool = Field(default=True, description="The challenger, live or as a shadow")


class Release(BaseModel):
    """One state of what is served: a champion, and perhaps a challenger with its experiment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    number: Annotated[int, Field(ge=1)]
    published_at: AwareDatetime
    experiment: Experiment | None = None
    arms: tuple[Arm, ...] = Field(min_length=1)
    flags: Flags = Flags()

    @model_validator(mode="after")
    def _arms_add_up(self) -> Self:
        names = [arm.name for arm in self.arms]
        if names not in (["champion"], ["champion", "challenger"]):
            raise ValueError(f"the arms must be 'champion' and at most one 'challenger', not {names}")
        if self.champion.mode != "live":
            raise ValueError("the champion must be live")
        total = sum(arm.weight for arm in self.arms if arm.mode == "live")
        if total != BUCKETS:
            raise ValueError(f"weights of the live arms must sum to {BUCKETS}, not {total}")
        if (self.experiment is None) != (self.challenger is None):
            raise ValueError("a challenger needs an experiment, and an experiment a challenger")
        if (
            self.experiment
            and self.challenger
            and (self.experiment.kind == "shadow") != (self.challenger.mode == "shadow")
        ):
            raise ValueError(f"a {self.experiment.kind} cannot have a challenger in mode {self.challenger.mode}")
        return self

    @property
    def champion(self) -> Arm:
        """The arm that serves every request that no other arm serves."""
        return self.arms[0]

    @property
    def challenger(self) -> Arm | None:
        """The arm that an experiment compares with the champion; None without an experiment."""
        return self.arms[1] if len(self.arms) > 1 else None


def read_manifest(path: Path) -> Release | None:
    """Read a manifest; None if the file does not exist.

    Raises
    ------
    SklineError
        If it cannot be read, or is not a valid manifest.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SklineError(f"{path} cannot be read: {error.strerror}") from error
    return parse_manifest(content, str(path))


def parse_manifest(content: bytes, origin: str) -> Release:
    """Parse a manifest; `origin` is its place, for the error.

    Raises
    ------
    SklineError
        If it is not valid.
    """
    try:
        return Release.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "release"
        raise SklineError(f"{origin} is not a valid release manifest: {where}: {first['msg']}") from None


def publish_manifest(path: Path, release: Release, record: Callable[[], None] = lambda: None) -> None:
    """Put a release in force: write its manifest under another name, record it, and rename the manifest to `path`.

    While the manifest has its other name, the release is not published (`is_pending`), also if the process was killed.

    Parameters
    ----------
    path : Path
    release : Release
    record : callable
        Records the release, once its manifest is on the disk. If it raises SklineError, nothing is published.
    """
    pending = _pending_path(path, release.number)
    with atomic_write(pending, stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644) as temporary:
        temporary.write_text(release.model_dump_json(indent=2) + "\n", encoding="utf-8")
    try:
        record()
    except SklineError:
        pending.unlink()
        raise
    pending.replace(path)
    fsync(path.parent)


def is_pending(path: Path, number: int) -> bool:
    """Return whether a release has not been put in force as the manifest at `path`, although it may be recorded."""
    return _pending_path(path, number).exists()


def _pending_path(path: Path, number: int) -> Path:
    return path.with_name(f".{path.stem}.{number}{path.suffix}")
