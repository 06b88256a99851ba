"""Settings of the logs: where they are stored, what they contain, and for how long."""

import re
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from skline.addresses import INVALID_HOST, has_valid_host
from skline.errors import SklineError
from skline.secret_files import secret_file_sources

Mode = Literal["async", "sync", "off"]
#: The address of a server, in which no password has a character that has to be percent-encoded. With one, libpq takes a
#: part of the password for the host, and every message about the host shows it.
_ADDRESS = re.compile(r"[a-z]+://([^@/?#\s]*@)?[^@/?#\s]*(/[^@?#\s]*)?(\?[^@#\s]*)?")


class LogSettings(BaseModel):
    """Settings of the prediction and label logs; `log` in the service's settings, SKLINE_LOG__… in the environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode = Field(
        default="async", description="sync: return predictions only after their rows are durable; off: no log"
    )
    database: str = Field(
        default="logs/predictions.db",
        repr=False,  # a URL may hold a password, which `redacted_database` leaves out
        description="Path of a SQLite file on a local disk, or postgresql://…",
    )
    queue_rows: int = Field(default=20_000, ge=1, description="Rows in the queue; further rows are dropped and counted")
    batch_rows: int = Field(default=1_000, ge=1, le=10_000, description="Maximum rows of one commit")
    batch_ms: int = Field(default=200, ge=1, le=10_000, description="Milliseconds before a smaller batch is written")
    sync_ms: int = Field(default=2_000, ge=1, description="Milliseconds that a caller waits in sync mode")
    drain_seconds: float = Field(default=10.0, ge=0, description="Seconds for writing the queued rows on shutdown")
    columns: tuple[str, ...] | None = Field(default=None, description="Inputs that are stored; all if not set")
    entity_column: str | None = Field(default=None, description="Input that is the entity; only its hash is stored")
    event_time_column: str | None = Field(default=None, description="Date or datetime input that is the event's time")
    entity_key: SecretStr | None = Field(
        default=None, description="Secret key of the entities' hash, 32 characters or more"
    )
    entity_key_file: Path | None = Field(
        default=None, description="File of the key; created in the database's directory if missing"
    )
    retention_days: int | None = Field(default=None, ge=1, description="Days that `skline log purge` keeps")
    partitions: Path = Field(default=Path("logs/predictions"), description="Directory of the sealed days")

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Reject settings that cannot work or would defeat the hashing of entities."""
        scheme, separator, _ = self.database.partition("://")
        if separator and scheme not in ("postgresql", "postgres"):
            raise ValueError(
                f"database: {scheme}:// is not supported; give the path of a SQLite file or postgresql://…"
            )
        if separator and not _ADDRESS.fullmatch(self.database):
            raise ValueError(
                "database: percent-encode @ / ? # and blanks in the user, the password and the parameters of the "
                "address (@ is %40, / is %2F); it is not shown, because it may hold a password"
            )
        if separator and not has_valid_host(self.database, several=True):
            raise ValueError(f"database: {INVALID_HOST}")
        if self.entity_column is not None and self.entity_column in (self.columns or ()):
            raise ValueError(
                f"columns names {self.entity_column!r}, which is entity_column and stored only as a hash; remove one"
            )
        if self.entity_key is not None and len(self.entity_key.get_secret_value()) < 32:
            raise ValueError("entity_key is shorter than 32 characters; create one with `openssl rand -hex 32`")
        return self

    @cached_property
    def is_postgres(self) -> bool:
        """Whether the database is a PostgreSQL server."""
        return "://" in self.database

    @cached_property
    def redacted_database(self) -> str:
        """The database without its password, for messages."""
        if not self.is_postgres:
            return self.database
        parts = urlsplit(self.database)
        host = parts.netloc.rpartition("@")[2]
        user = f"{parts.username}@" if parts.username else ""
        return urlunsplit((parts.scheme, user + host, parts.path, "", ""))

    @cached_property
    def folder(self) -> Path:
        """The local directory of the log's files."""
        return (self.partitions if self.is_postgres else Path(self.database)).parent

    @cached_property
    def key_file(self) -> Path:
        """The file from which the entity key is read, and where it is created if missing."""
        if self.entity_key_file is not None:
            return self.entity_key_file
        return self.folder / "entity.key"

    @classmethod
    def from_environment(cls) -> Self:
        """Read SKLINE_LOG__DATABASE, SKLINE_LOG__MODE …, as the service does; SklineError if one is invalid."""
        from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

        class Environment(BaseSettings):
            model_config = SettingsConfigDict(env_prefix="SKLINE_", env_nested_delimiter="__", extra="ignore")
            log: LogSettings = Field(default_factory=LogSettings)

            @classmethod
            def settings_customise_sources(
                cls,
                settings_cls: Any,  # noqa: ARG003 - pydantic-settings passes them all
                init_settings: Any,
                env_settings: Any,
                dotenv_settings: Any,  # noqa: ARG003
                file_secret_settings: Any,
            ) -> tuple[Any, ...]:
                return (init_settings, env_settings, *secret_file_sources(file_secret_settings))

        try:
            return cls(**dict(Environment().log))
        except ValidationError as error:
            details = "; ".join(
                f"SKLINE_{'__'.join(map(str, detail['loc'])).upper()}: {detail['msg']}" for detail in error.errors()
            )
            raise SklineError(f"invalid settings of the log: {details}") from None
        except SettingsError as error:
            raise SklineError(f"invalid settings of the log: {error}") from None
