"""Post a message to a webhook, bounded in time and attempts.

A message is posted again only if the receiver certainly did not take it: no connection, or one of RETRIED. Without a
response, or with one of a gateway that does not know, the message may have arrived, so the outcome is unknown.
The address is secret: no reason and no error shows more of it than its host.
"""

import http.client
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal
from urllib.parse import urlsplit

from skline.errors import SklineError
from skline.settings.monitor import Webhook

#: Statuses with which the receiver says that it did not take the message, and may take it later.
RETRIED = (429, 500, 503)
#: Statuses of a gateway that does not know whether the receiver took it.
UNCERTAIN = (502, 504)
#: The whole exchange takes at most so many times the timeout of one step: connect to two addresses, get the response.
STEPS = 3


@dataclass(frozen=True)
class Address:
    """Where to post; only `host` may be shown."""

    url: str = field(repr=False)
    host: str


@dataclass(frozen=True)
class Delivery:
    """The outcome of posting a message, and why it is not `delivered`."""

    outcome: Literal["delivered", "failed", "unknown"]
    reason: str = ""
    is_retried: bool = False


def read_address(settings: Webhook) -> Address:
    """Read the address from the variable or the file that the settings name.

    Raises
    ------
    SklineError
        If there is none, or it is not http:// or https:// with a host.
    """
    if settings.variable is not None:
        source, text = f"the environment variable {settings.variable}", os.environ.get(settings.variable, "")
    else:
        source, text = f"the file {settings.file}", _read(Path(settings.file or ""))
    text = text.strip()
    if not text:
        raise SklineError(f"monitor.webhook: {source} holds no address; put the webhook's address there")
    try:
        parts = urlsplit(text)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # its message may show a part of the address
        is_valid = False
    if not is_valid or "@" in parts.netloc or not text.isascii() or not text.isprintable() or " " in text:
        raise SklineError(
            f"monitor.webhook: {source} holds no valid address; write https:// or http://, a host without user and "
            "password, and a percent-encoded path (it is secret, and therefore not shown)"
        )
    return Address(text, parts.hostname or "")


def deliver(
    address: Address, text: str, message_id: str, settings: Webhook, sleep: Callable[[float], None] = time.sleep
) -> Delivery:
    """Post a text until it is delivered, its delivery is unknown, or the attempts are used up; never raises.

    Parameters
    ----------
    text : str
        Posted as the key `text` of a JSON object.
    message_id : str
        Sent as the header Idempotency-Key, the same for each attempt.
    """
    for attempt in range(settings.attempts):
        if attempt:
            sleep(2.0 ** (attempt - 1))
        delivery = _post(address, {"text": text}, message_id, settings.timeout_seconds)
        if not delivery.is_retried:
            break
    return delivery


def _post(address: Address, payload: dict[str, Any], message_id: str, timeout: float) -> Delivery:
    """Post once, in a thread: a timeout of urllib bounds each step, and a slow response has any number of steps."""
    request = urllib.request.Request(  # noqa: S310 - read_address allows http and https alone
        address.url,
        data=json.dumps(payload).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": message_id, "User-Agent": "skline-monitor"},
    )
    results: list[Delivery] = []
    thread = threading.Thread(target=lambda: results.append(_exchange(request, address.host, timeout)), daemon=True)
    thread.start()
    thread.join(STEPS * timeout)
    return results[0] if results else Delivery("unknown", f"{address.host} did not respond in {STEPS * timeout:g} s")


def _exchange(request: urllib.request.Request, host: str, timeout: float) -> Delivery:
    """Send the request and read the head of the response; nothing reads its body, which has no limit."""
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout):
            return Delivery("delivered")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in UNCERTAIN:
            return Delivery("unknown", f"{host} responded with status {error.code}")
        return Delivery("failed", f"{host} responded with status {error.code}", is_retried=error.code in RETRIED)
    except urllib.error.URLError as error:  # there was no connection, or it ended before the request was sent
        return Delivery("failed", f"{host} cannot be reached: {_describe(error.reason)}", is_retried=True)
    except (UnicodeError, http.client.InvalidURL):  # such as an empty label, host..example.org
        return Delivery("failed", f"{host} is no name of a host")
    except (OSError, http.client.HTTPException) as error:
        return Delivery("unknown", f"{host} sent no valid response: {_describe(error)}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: the message is for the address that the settings name, and for no other."""

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage
    ) -> None:
        """Follow no redirect, and do not read where it leads, which may be no valid address."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _describe(error: object) -> str:
    """Return what is wrong, without texts that a server or a library may have made from the address."""
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SklineError(f"monitor.webhook: the file {path} cannot be read: {_describe(error)}") from None
