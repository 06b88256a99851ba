"""Settings of this package: sections to be nested in the service's settings class.

`SKLINE_LIMITS__RATE=100/second` sets `limits.rate`; a file `skline_limits__rate` in the directory that
SKLINE_SECRETS_DIR names does the same, which is how secrets are mounted into containers.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from serving.security.rate import parse
from skline.keys import KEY_FILE

ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+(?<!/)")
Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Section(BaseModel):
    """A part of the settings: unknown names are errors, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SecuritySettings(Section):
    """Who may call, and what a browser may do with the answers."""

    key_file: Path = Field(default=KEY_FILE, description="Hashed API keys; without a file no key is asked for")
    api_keys: SecretStr | None = Field(default=None, description="Content of a key file, beside the one on disk")
    no_auth: bool = Field(default=False, description="Ask nobody for a key, wherever the service listens")
    tls: bool = Field(default=False, description="Callers come by HTTPS only, so tell browsers to insist on it (HSTS)")
    docs: bool | None = Field(default=None, description="Show /docs and /openapi.json; None: in development only")
    open_metrics: bool = Field(default=False, description="Give /metrics without a key of scope admin")
    trusted_proxies: str = Field(
        default="", description="Addresses, with commas, whose X-Forwarded-For and -Proto are believed"
    )


class LimitSettings(Section):
    """How much one caller, and all of them together, may ask for."""

    rate: str | None = Field(
        default="1000/second", description='Requests of one key, or of one address where no key is asked for, or "off"'
    )
    store: SecretStr | None = Field(default=None, description="redis:// URL to share the count between replicas")
    concurrent: Positive = Field(default=64, description="Requests that are worked on at a time")
    waiting: Annotated[int, Field(ge=0)] = Field(default=256, description="Requests that may wait; more get a 503")
    wait_seconds: Seconds = Field(default=2.0, description="A request that waits longer gets a 503")
    request_seconds: Seconds = Field(default=30.0, description="A request that takes longer gets a 503")
    head_seconds: Seconds = Field(default=10.0, description="A connection whose request's head takes longer is closed")
    connections: Positive = Field(
        default=4096, description="Open at a time; for one more the one that stalls is closed"
    )

    @field_validator("rate")
    @classmethod
    def _rate_is_a_rate(cls, rate: str | None) -> str | None:
        if rate == "off":
            return None
        if rate is not None:
            parse(rate)
        return rate

    @field_validator("store")
    @classmethod
    def _store_is_redis(cls, store: SecretStr | None) -> SecretStr | None:
        if store is not None and not store.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must be a redis://, rediss:// or unix:// URL")
        return store


class CorsSettings(Section):
    """Which other sites' pages may call from a browser. None, unless told."""

    origins: tuple[str, ...] = Field(default=(), description='Such as ["https://app.example.org"], or ["*"]')
    credentials: bool = Field(default=False, description="Browsers may send cookies and client certificates along")

    @model_validator(mode="after")
    def _origins_are_origins(self) -> Self:
        for origin in self.origins:
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise ValueError("an origin is scheme, host and port: https://app.example.org, without a path")
        return self


class LoggingSettings(Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = Field(default="auto", description="auto: text on a terminal, else JSON")
    requests: Literal["off", "errors", "all"] = Field(
        default="errors", description="One line a request: none, those answered 500 or more, or all"
    )


class LayeredSettings(BaseSettings):
    """Base of the service's settings: arguments, then environment, then a directory of secret files."""

    model_config = SettingsConfigDict(
        env_prefix="SKLINE_", env_nested_delimiter="__", frozen=True, hide_input_in_errors=True
    )

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
        folder = os.environ.get("SKLINE_SECRETS_DIR")
        if folder is None:
            return (init_settings, env_settings)
        files = NestedSecretsSettingsSource(
            file_secret_settings,
            secrets_dir=folder,
            secrets_dir_missing="error",
            secrets_prefix="SKLINE_",
            secrets_nested_delimiter="__",
        )
        return (init_settings, env_settings, files)
