"""The service's settings, from environment variables that begin with SKLINE_ and from secret files.

`SKLINE_LIMITS__RATE=100/second` sets `limits.rate`; a file `skline_limits__rate` in the directory that
SKLINE_SECRETS_DIR names does the same, which is how secrets are mounted into containers.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from skline import paths
from skline.api_keys import KEY_FILE
from skline.artifact import read_digest
from skline.logs.settings import LogSettings
from skline.secret_files import secret_file_sources

ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+(?<!/)")
#: A path prefix that can stand in links: no other host (`//host`), no segment of dots, nothing to escape.
PATH_PREFIX = re.compile(r"(?:/(?!\.+(?:/|$))[A-Za-z0-9._~-]+)+", re.ASCII)
Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
#: A path, or the address of an object.
Address = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, Path) else value)]
#: Pause after a batch of several rows in which its callers may send their next requests, so that those form one batch
#: again. It is short enough to be the right value for every service, and never delays a caller who is alone.
BATCH_WAIT_SECONDS = 0.002

UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RATE = re.compile(rf"\s*(\d{{1,12}})\s*(?:/|per)\s*(\d{{1,6}})?\s*({'|'.join(UNITS)})s?\s*", re.IGNORECASE | re.ASCII)


class Rate(NamedTuple):
    """A number of requests in a number of seconds."""

    amount: int
    seconds: int


def parse_rate(text: str) -> Rate:
    """Parse a rate as the package `limits` does: 100/second, 6000/minute, 100 per 5 minutes.

    Raises
    ------
    ValueError
        If the text has another form, or one of its numbers is 0.
    """
    match = _RATE.fullmatch(text)
    rate = match and Rate(int(match[1]), int(match[2] or 1) * UNITS[match[3].lower()])
    if not rate or 0 in rate:
        raise ValueError("write a rate as 100/second, 6000/minute or 100 per 5 minutes")
    return rate


class ServiceSection(BaseModel):
    """Base of the settings' sections: unknown names are errors, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FallbackSettings(ServiceSection):
    """The fallbacks that predict, in their order, when the model fails; if all of them fail, the response is a 503.

    A request that breaks the contract, or that the model rejects by a rule of its own, is not a failure.
    """

    chain: tuple[Literal["previous", "fixed", "rule"], ...] = Field(
        default=("previous",),
        description="previous: the model of the last release; fixed: the value of `answer`; rule: the function `rule`",
    )
    answer: dict[str, Any] | None = Field(
        default=None, description='Prediction of "fixed": {"prediction": …, "probabilities": {class: …}}'
    )
    rule: str | None = Field(
        default=None, description='Function of "rule" as module:function; takes a row, returns a value like `answer`'
    )


class ReviewSettings(ServiceSection):
    """Which predictions are sent to people for review."""

    low: float | None = Field(default=None, description="Scores from `low` …")
    high: float | None = Field(default=None, description="… to `high` are sent to review; set both or neither")
    per_day: int = Field(
        default=100, ge=0, description="Most reviews per day (UTC), without those of the random sample"
    )
    sample: float = Field(
        default=0.0, ge=0, le=1, description="Share of all predictions sent to review at random, whatever their score"
    )


class SecuritySettings(ServiceSection):
    """API keys, and what browsers and proxies may do."""

    key_file: Path = Field(
        default=KEY_FILE, description="Hashed API keys; if there is no such file, no key is required"
    )
    api_keys: SecretStr | None = Field(
        default=None, description="Content of a key file; its keys are valid in addition to those of `key_file`"
    )
    no_auth: bool = Field(default=False, description="Require no API key, on any address")
    tls: bool = Field(
        default=False, description="Clients connect by HTTPS only, so responses require it of browsers (HSTS)"
    )
    docs: bool | None = Field(
        default=None, description="Serve /docs and /openapi.json without a key; None: in development only"
    )
    open_metrics: bool = Field(default=False, description="Serve /metrics without a key of scope admin")
    trusted_proxies: str = Field(
        default="", description="Comma-separated addresses whose X-Forwarded-For, -Proto and -Prefix are trusted"
    )


class LimitSettings(ServiceSection):
    """Limits for one caller, and for all of them together."""

    rate: str | None = Field(
        default="1000/second",
        description='Requests per API key, or per address where no key is required, or "off"',
    )
    store: SecretStr | None = Field(default=None, description="redis:// URL that shares the count between replicas")
    concurrent: Positive = Field(default=64, description="Requests processed at a time")
    waiting: Annotated[int, Field(ge=0)] = Field(default=256, description="Requests that may wait; more get a 503")
    wait_seconds: Seconds = Field(default=2.0, description="A request that waits longer gets a 503")
    request_seconds: Seconds = Field(default=30.0, description="A request that takes longer gets a 503")
    head_seconds: Seconds = Field(
        default=10.0, description="A connection is closed if a request's head takes longer to arrive"
    )
    keep_alive_seconds: Annotated[int, Field(gt=0, le=3600)] = Field(
        default=75,
        description="A connection without requests is closed after this time; it is longer than proxies keep theirs, "
        "60 s, because a request that meets the end of its connection is lost",
    )
    connections: Positive = Field(
        default=4096, description="Open connections; beyond that a new one replaces the oldest inactive one"
    )

    @field_validator("rate")
    @classmethod
    def _validate_rate(cls, rate: str | None) -> str | None:
        if rate == "off":
            return None
        if rate is not None:
            parse_rate(rate)
        return rate

    @field_validator("store")
    @classmethod
    def _validate_store(cls, store: SecretStr | None) -> SecretStr | None:
        if store is not None and not store.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must be a redis://, rediss:// or unix:// URL")
        return store


class CorsSettings(ServiceSection):
    """Other sites whose pages may call the service from a browser; none by default."""

    origins: tuple[str, ...] = Field(default=(), description='Such as ["https://app.example.org"], or ["*"]')
    credentials: bool = Field(default=False, description="Browsers may send cookies and client certificates along")

    @model_validator(mode="after")
    def _validate_origins(self) -> Self:
        for origin in self.origins:
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise ValueError("an origin is scheme, host and port: https://app.example.org, without a path")
        return self


class LoggingSettings(ServiceSection):
    """The log on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least severe messages")
    format: Literal["auto", "json", "text"] = Field(default="auto", description="auto: text on a terminal, else JSON")
    requests: Literal["off", "errors", "all"] = Field(
        default="errors", description="Requests that get a line each: none, those with a status of 500 or more, or all"
    )


class ServiceSettings(BaseSettings):
    """All settings of the service. Arguments take precedence over the environment, and that over secret files."""

    model_config = SettingsConfigDict(
        env_prefix="SKLINE_", env_nested_delimiter="__", frozen=True, hide_input_in_errors=True
    )

    environment: Literal["development", "production"] = Field(
        default="development", description="Outside of development the service does not start with unsafe settings"
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on")
    root_path: str = Field(
        default="",
        description="Path prefix, such as /ml, under which a proxy serves the service; not a path of its own",
    )
    artifact: Path = Field(default=Path("artifact"), description="Directory of the artifact")
    artifact_digest: str | None = Field(
        default=None, description="Expected sha256 of the artifact's manifest, from outside of the artifact"
    )
    artifact_digest_file: Path | None = Field(
        default=None,
        description="File with the digest, if `artifact_digest` is not set. Default: next to the artifact, with the "
        "suffix .sha256",
    )
    release: Address | None = Field(
        default=None,
        description="The release manifest, a file or s3://BUCKET/PREFIX/release.json (gs://, az://); if it exists, it "
        "names what is served instead of `artifact`. Default: releases/release.json, unless an artifact or a digest "
        "is set",
    )
    release_cache: Path = Field(
        default=Path(".cache/release"),
        description="Folder for the copy of a release in object storage, with which a start succeeds while the storage "
        "is away; only the service may write to it",
    )
    watch_seconds: float = Field(
        default=1.0, ge=0, description="Seconds between two checks of the release and digest files; 0: never check"
    )
    entity_header: str = Field(
        default="X-Entity-ID",
        pattern="^[A-Za-z0-9-]+$",
        description="Request header with the id of the entity that a request is about: the log stores its keyed hash, "
        "and experiments assign it to an arm; without it, the input log.entity_column is used",
    )
    shadow_queue: int = Field(
        default=2_000, gt=0, description="Rows that may wait for the shadow model; more are dropped"
    )
    max_body_bytes: int = Field(default=16 * 2**20, gt=0, description="A larger request body gets a 413")
    all_bodies_bytes: int = Field(
        default=128 * 2**20,
        validate_default=True,
        description="Memory for all request bodies that arrive in parts, until their responses; beyond it: a 503",
    )
    max_table_bytes: int = Field(
        default=128 * 2**20,
        gt=0,
        description="An Arrow or Parquet body with more bytes, once it is decompressed and decoded, gets a 413",
    )
    max_batch_rows: int = Field(default=10_000, gt=0, description="A longer batch gets a 413")
    batch_limit: int = Field(
        default=256, gt=0, description="Rows that the pipeline scores at once, if there is no plan"
    )
    batch_queue: int = Field(
        default=4096, gt=0, description="Rows that may wait for the pipeline, if there is no plan; more get a 503"
    )
    drain_seconds: float = Field(
        default=0.0, ge=0, le=300, description="Seconds between SIGTERM, which makes the service not ready, and its end"
    )
    monitor_folder: Path = Field(
        default=paths.MONITOR,
        description="Folder of the results of `skline monitor`: /metrics exports its newest state, and /monitor shows "
        "its newest page",
    )
    lookups: dict[str, SecretStr] = Field(
        default={},
        description="Addresses of the stores of look-ups by name, as SKLINE_LOOKUPS__CUSTOMERS=redis://…; by default "
        "those of params.yaml",
    )
    fallback: FallbackSettings = Field(default=FallbackSettings(), description="What predicts when the model fails")
    review: ReviewSettings = Field(
        default=ReviewSettings(), description="Which predictions are sent to people for review"
    )
    log: LogSettings = Field(default=LogSettings(), description="What is logged of each prediction, and where")
    security: SecuritySettings = Field(default=SecuritySettings(), description="API keys, browsers and proxies")
    limits: LimitSettings = Field(default=LimitSettings(), description="Rates, concurrency, timeouts, connections")
    cors: CorsSettings = Field(default=CorsSettings(), description="Sites whose pages may call the service")
    logging: LoggingSettings = Field(default=LoggingSettings(), description="The log on standard error")

    @field_validator("root_path")
    @classmethod
    def _validate_root_path(cls, root_path: str) -> str:
        if root_path and not PATH_PREFIX.fullmatch(root_path):
            raise ValueError("write it as /ml: with a slash in front, none at the end, and no characters to escape")
        return root_path

    @field_validator("all_bodies_bytes")
    @classmethod
    def _total_at_least_one_body(cls, total: int, info: ValidationInfo) -> int:
        one = info.data.get("max_body_bytes", 0)
        if total < one:
            raise ValueError(f"{total} is less than max_body_bytes, {one}, the limit for one body; raise it")
        return total

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings passes them all
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the sources in order; .env files are left to the shell."""
        return (init_settings, env_settings, *secret_file_sources(file_secret_settings))

    def batching(self) -> dict[str, Any]:
        """Return the arguments of the micro-batcher, which scores rows where there is no plan."""
        return {"wait": BATCH_WAIT_SECONDS, "max_batch_size": self.batch_limit, "max_queued_rows": self.batch_queue}

    @property
    def release_path(self) -> Path | None:
        """Path of the release manifest, or of its copy; None if an artifact or a digest is set explicitly."""
        if self.release_address is not None:
            return self.release_cache / paths.RELEASE.name
        return Path(self.release) if self.release else (None if self._names_artifact else paths.RELEASE)

    @property
    def release_address(self) -> str | None:
        """Address of the release manifest in object storage; None if it is a file."""
        return self.release if self.release is not None and "://" in self.release else None

    @property
    def _names_artifact(self) -> bool:
        """Whether an artifact or a digest is set explicitly."""
        return bool({"artifact", "artifact_digest", "artifact_digest_file"} & self.model_fields_set)

    def expected_digest(self) -> str:
        """Return the digest that the artifact must have; InvalidArtifact if there is none."""
        file = self.artifact_digest_file or self.artifact.with_name(f"{self.artifact.name}.sha256")
        return self.artifact_digest or read_digest(file)

    @property
    def verdict_path(self) -> Path | None:
        """Path of the verdict on the newest candidate; None if an artifact or a digest is set explicitly."""
        return None if self._names_artifact else paths.VERDICT
