"""What must not be served to others: judged before the service listens, told as sentences."""

import stat
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import BaseModel, SecretStr

from serving.security.guard import is_loopback
from serving.security.keys import KeyRing
from serving.security.logs import configuration, masked
from serving.security.settings import CorsSettings, LimitSettings, LoggingSettings, SecuritySettings
from skline.errors import SklineError


class Exposed(Protocol):
    """What of the service's settings is judged."""

    @property
    def environment(self) -> Literal["development", "production"]:
        """Who may be hurt: nobody but the developer, or others."""

    @property
    def host(self) -> str:
        """The address to listen on."""

    @property
    def security(self) -> SecuritySettings:
        """Who may call."""

    @property
    def limits(self) -> LimitSettings:
        """How much."""

    @property
    def cors(self) -> CorsSettings:
        """From which sites."""

    @property
    def logging(self) -> LoggingSettings:
        """What is written down."""


@dataclass
class Judgement:
    """What the settings amount to.

    `faults` forbid the start. `notes` were chosen in so many words, and are worth a second look.
    """

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def judge(settings: Exposed) -> Judgement:
    """Say what is unsafe about settings.

    On loopback in development anything goes but contradictions. An address that others can reach needs
    keys, or to be told that it needs none; so does loopback in production, where a proxy stands before it.

    Raises
    ------
    SklineError
        If the key file or the setting with keys cannot be read.
    """
    found = Judgement()
    inline = settings.security.api_keys
    ring = KeyRing(settings.security.key_file, None if inline is None else inline.get_secret_value().encode())
    _judge_keys(settings, ring, found)
    if settings.environment == "production":
        _judge_production(settings, found)
    return found


def _judge_keys(settings: Exposed, ring: KeyRing, found: Judgement) -> None:
    """Keys: there, usable, and not contradicted."""
    security, local = settings.security, is_loopback(settings.host)
    if "key_file" in security.model_fields_set and not security.key_file.exists():
        found.faults.append(f"the key file {security.key_file} is not there; make it with `skline key new`")
    if security.no_auth:
        if not ring.open:
            found.faults.append("there are API keys, and --no-auth asks nobody for them; drop one of the two")
        if not local or settings.environment == "production":
            found.notes.append(f"--no-auth: whoever reaches {settings.host} may predict, label and administer")
    elif ring.open and not local:
        found.faults.append(
            f"{settings.host} can be reached by others and there are no API keys; make one with `skline key new`, "
            "listen on 127.0.0.1, or say --no-auth (SKLINE_SECURITY__NO_AUTH=true)"
        )
    elif ring.open and settings.environment == "production":
        found.faults.append(
            "in production there must be API keys, on loopback too, as a proxy may pass others on; make one with "
            "`skline key new`, or say --no-auth (SKLINE_SECURITY__NO_AUTH=true)"
        )
    elif not ring.open and not ring.usable:
        found.faults.append("all API keys are revoked or expired, so nobody could call; make one with `skline key new`")


def _judge_production(settings: Exposed, found: Judgement) -> None:
    """What a developer may do on their own machine, and a service may not."""
    security, cors = settings.security, settings.cors
    if "*" in cors.origins and cors.credentials:
        found.faults.append("CORS lets every site call with its visitors' credentials; name the origins")
    if "*" in [proxy.strip() for proxy in security.trusted_proxies.split(",")]:
        found.faults.append("trusted_proxies '*' believes any X-Forwarded-For, so rates by address count nothing")
    if security.key_file.exists() and security.key_file.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        found.faults.append(f"others may write to {security.key_file}, and so make keys; chmod 600 it")
    if security.docs and security.no_auth:
        found.faults.append("/docs would let everybody send requests without a key; drop docs or --no-auth")
    if security.open_metrics:
        found.notes.append("/metrics is open to whoever reaches it; it tells volumes and class shares")
    if settings.limits.rate is None:
        found.notes.append("there is no rate limit: one caller can use up the service")
    if settings.logging.level == "debug":
        found.notes.append("the log level is debug")
    if not security.tls and not is_loopback(settings.host):
        found.notes.append("tls is off: keys travel readable unless something before the service speaks HTTPS")


def refuse_unsafe(settings: Exposed) -> list[str]:
    """Return the notes on settings that may be served.

    Raises
    ------
    SklineError
        With every fault, one a line.
    """
    found = judge(settings)
    if found.faults:
        raise SklineError("\n".join(["the settings are not safe to serve:", *(f"  - {f}" for f in found.faults)]))
    return found.notes


def in_force(settings: BaseModel, prefix: str = "SKLINE_") -> list[str]:
    """Write each setting as `NAME = value`, marked if it is the default, secrets masked."""
    lines: list[str] = []
    for name, info in type(settings).model_fields.items():
        value = getattr(settings, name)
        variable = f"{prefix}{name.upper()}"
        if isinstance(value, BaseModel):
            lines += in_force(value, f"{variable}__")
            continue
        mark = "  (default)" if value == info.get_default(call_default_factory=True) else ""
        lines.append(f"{variable} = {_shown(value)}{mark}")
    return lines


def _shown(value: Any) -> str:
    """Write a value for people."""
    if isinstance(value, SecretStr):
        return "**********"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return "-" if value is None else masked(str(value))


def report(settings: Exposed) -> tuple[str, bool]:
    """What `skline serve --check` prints, and whether the service would start."""
    found = judge(settings)
    lines = in_force(settings) if isinstance(settings, BaseModel) else []
    lines += ["", *(f"note: {note}" for note in found.notes), *(f"refused: {fault}" for fault in found.faults)]
    lines.append("these settings are refused" if found.faults else "these settings can be served")
    return "\n".join(lines), not found.faults


def uvicorn_options(settings: Exposed) -> dict[str, Any]:
    """What uvicorn is to be told besides address and port."""
    return {
        "access_log": False,
        "forwarded_allow_ips": settings.security.trusted_proxies,
        "log_config": configuration(settings.logging),
        "proxy_headers": True,
        "server_header": False,
    }
