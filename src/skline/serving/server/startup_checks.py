"""Startup checks: reject settings that are unsafe for others to reach, before the service listens.

Nothing printed here may contain a secret.
"""

import os
import socket
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from skline.clock import VARIABLE, simulated_clock
from skline.errors import SklineError
from skline.paths import REPLAY_CLOCK
from skline.redaction import redact
from skline.serving.observability.logging import log_config
from skline.serving.security.api_keys import KeyStore
from skline.serving.security.guard import is_loopback
from skline.serving.settings import ServiceSettings


@dataclass
class CheckResult:
    """Result of the checks.

    Attributes
    ----------
    errors : list of str
        Reasons why the service does not start.
    warnings : list of str
        Explicit choices that deserve a second look.
    """

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def require_safe(settings: ServiceSettings) -> list[str]:
    """Return the warnings about settings that are safe.

    Raises
    ------
    SklineError
        With every error, one per line.
    """
    result = check_settings(settings)
    if result.errors:
        raise SklineError("\n".join(["the settings are not safe:", *(f"  - {error}" for error in result.errors)]))
    return result.warnings


def require_free_port(host: str, port: int) -> None:
    """Verify that the service can listen, before it loads a model.

    Raises
    ------
    SklineError
        If another process listens there, or the address is none of this machine.
    """
    try:
        for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind) as probe:
                if sys.platform != "win32":  # as the server does
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        raise SklineError(
            f"the service cannot listen on {host}:{port}: {error.strerror}; end the process that does, or choose "
            "another port with --port"
        ) from None


def check_settings(settings: ServiceSettings) -> CheckResult:
    """Check settings for what is unsafe.

    On loopback in development everything is allowed that is not contradictory. An address that other machines can
    reach needs API keys, or `no_auth`; so does loopback in production, where a proxy may forward requests.

    Raises
    ------
    SklineError
        If the key file or the setting with keys cannot be read.
    """
    result = CheckResult()
    inline = settings.security.api_keys
    keys = KeyStore(settings.security.key_file, None if inline is None else inline.get_secret_value().encode())
    _check_keys(settings, keys, result)
    if settings.environment == "production":
        _check_production(settings, result)
    if simulated_clock() is not None:
        _check_simulated_clock(settings, Path(os.environ[VARIABLE]), result)
    return result


def describe_settings(settings: ServiceSettings) -> tuple[str, bool]:
    """Return what `skline serve --check` prints, and whether the service would start."""
    result = check_settings(settings)
    lines = effective_settings(settings)
    lines += ["", *(f"warning: {warning}" for warning in result.warnings), *(f"error: {e}" for e in result.errors)]
    lines.append("the service does not start with these settings" if result.errors else "the settings are safe")
    return "\n".join(lines), not result.errors


def effective_settings(settings: BaseModel, prefix: str = "SKLINE_") -> list[str]:
    """Return each setting as `NAME = value`, marked if it is the default, with secrets masked."""
    lines: list[str] = []
    for name, info in type(settings).model_fields.items():
        value = getattr(settings, name)
        variable = f"{prefix}{name.upper()}"
        if isinstance(value, BaseModel):
            lines += effective_settings(value, f"{variable}__")
            continue
        mark = "  (default)" if value == info.get_default(call_default_factory=True) else ""
        lines.append(f"{variable} = {_format_value(value)}{mark}")
    return lines


def uvicorn_options(settings: ServiceSettings) -> dict[str, Any]:
    """Return the options of uvicorn that concern proxies, connections, headers and logs."""
    return {
        "access_log": False,
        "log_config": log_config(settings.logging),
        "proxy_headers": False,  # skline.serving.transport.proxies reads them
        "server_header": False,
        "timeout_keep_alive": settings.limits.keep_alive_seconds,
    }


def _check_keys(settings: ServiceSettings, keys: KeyStore, result: CheckResult) -> None:
    """Check that API keys exist where they are required, are valid, and do not contradict `no_auth`."""
    security, local = settings.security, is_loopback(settings.host)
    if "key_file" in security.model_fields_set and not security.key_file.exists():
        result.errors.append(f"the key file {security.key_file} does not exist; create it with `skline key new`")
    if security.no_auth:
        if not keys.auth_disabled:
            where = "SKLINE_SECURITY__API_KEYS" if security.api_keys else security.key_file
            result.errors.append(
                f"there are API keys ({where}), which --no-auth would disable: remove the option, or the keys"
            )
        if not local or settings.environment == "production":
            result.warnings.append(
                f"--no-auth: every client that reaches {settings.host} may predict, label and administer"
            )
    elif keys.auth_disabled and not local:
        result.errors.append(
            f"other machines can reach {settings.host} and there are no API keys; create one with `skline key new`, "
            "listen on 127.0.0.1, or use --no-auth (SKLINE_SECURITY__NO_AUTH=true)"
        )
    elif keys.auth_disabled and settings.environment == "production":
        result.errors.append(
            "production requires API keys, on loopback too, because a proxy may forward requests of others; create "
            "one with `skline key new`, or use --no-auth (SKLINE_SECURITY__NO_AUTH=true)"
        )
    elif not keys.auth_disabled and not keys.valid_keys:
        result.errors.append(
            "all API keys are revoked or expired, so no client can call the service; create one with `skline key new`"
        )


def _check_production(settings: ServiceSettings, result: CheckResult) -> None:
    """Check what is acceptable on a developer's machine only."""
    security, cors = settings.security, settings.cors
    if "*" in cors.origins and cors.credentials:
        result.errors.append("CORS lets every site send requests with its visitors' credentials; list the origins")
    if "*" in [proxy.strip() for proxy in security.trusted_proxies.split(",")]:
        result.errors.append(
            "trusted_proxies '*' trusts every X-Forwarded-For header, so clients can evade rate limits by address; "
            "list the proxies"
        )
    if security.key_file.exists() and security.key_file.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        result.errors.append(f"other users can write to {security.key_file} and add keys; run chmod 600 on it")
    if security.docs and security.no_auth:
        result.errors.append("/docs would let every visitor send requests without a key; disable docs or no_auth")
    if security.open_metrics:
        result.warnings.append("/metrics needs no key; it shows request volumes and class shares")
    if settings.limits.rate is None:
        result.warnings.append("there is no rate limit: one caller can use up the service")
    if settings.logging.level == "debug":
        result.warnings.append("the log level is debug")
    if not security.tls and not is_loopback(settings.host):
        result.warnings.append("tls is off: API keys travel unencrypted unless a proxy provides HTTPS")


def _check_simulated_clock(settings: ServiceSettings, clock: Path, result: CheckResult) -> None:
    """Check that the clock of a replay is not that of a service that others use: its log would have wrong times."""
    if not is_loopback(settings.host) or settings.environment == "production":
        result.errors.append(
            f"{VARIABLE} is set, and a service with a simulated clock answers on loopback in development only; unset it"
        )
    if clock.resolve() != REPLAY_CLOCK.resolve():
        result.errors.append(
            f"{VARIABLE} is {clock}, and the clock of a replay that this project belongs to is "
            f"{REPLAY_CLOCK.resolve()}: the log of another service would get simulated times; unset it"
        )
    result.warnings.append(f"the time is that of the simulated clock {clock}, in the log and everywhere else")


def _format_value(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "**********"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(_format_value, value)) + "]"
    return "-" if value is None else redact(str(value))
