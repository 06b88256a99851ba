"""Security and CORS headers of responses, as the raw tuples that ASGI takes; those that never change are built once."""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from starlette.types import Message, Send

from skline.serving.settings import CorsSettings

RawHeader = tuple[bytes, bytes]
RawHeaders = tuple[RawHeader, ...]

NOSNIFF = (b"x-content-type-options", b"nosniff")
#: Predictions are about a person or thing: no cache keeps them.
NO_STORE = (b"cache-control", b"no-store")
#: One year, the minimum of preload lists.
HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
_FRAMES = "base-uri 'none'; frame-ancestors 'none'"
#: For JSON, which no browser should render, frame or run.
CSP_NONE = f"default-src 'none'; {_FRAMES}"
#: For the page: its own script and style files, nothing inline, nothing from other hosts.
CSP_PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    f"form-action 'self'; {_FRAMES}"
)
#: For a report: its own inline styles, no script, nothing loaded from anywhere.
CSP_REPORT = f"default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; {_FRAMES}"
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
#: Response headers that pages of other sites may read.
EXPOSED = ("x-request-id", "traceresponse", "retry-after", "inference-header-content-length")
#: Request headers that pages of other sites may send.
ALLOWED = ("authorization", "content-type", "traceparent", "tracestate", "x-api-key", "x-request-id",
           "inference-header-content-length")  # fmt: skip
METHODS = ("GET", "POST")


def json_headers(*, tls: bool = False) -> RawHeaders:
    """Return the headers of a JSON response."""
    return (NOSNIFF, NO_STORE, (b"content-security-policy", CSP_NONE.encode()), *_hsts(tls))


def page_headers(*, tls: bool = False) -> RawHeaders:
    """Return the headers of the page and of its files, without Cache-Control."""
    return (NOSNIFF, (b"referrer-policy", b"no-referrer"), (b"content-security-policy", CSP_PAGE.encode()), *_hsts(tls))


def report_headers(*, tls: bool = False) -> RawHeaders:
    """Return the headers of a self-contained report; like JSON, no cache keeps it."""
    policy = (b"content-security-policy", CSP_REPORT.encode())
    return (NOSNIFF, NO_STORE, (b"referrer-policy", b"no-referrer"), policy, *_hsts(tls))


def docs_headers(html: bytes, *, tls: bool = False) -> RawHeaders:
    """Return the headers of /docs: its inline scripts are allowed by their hashes; Swagger UI sets inline styles."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
        for script in _INLINE_SCRIPT.findall(html)
    )
    policy = (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; "
        f"img-src 'self' data:; connect-src 'self'; {_FRAMES}"
    )
    return (NOSNIFF, (b"referrer-policy", b"no-referrer"), (b"content-security-policy", policy.encode()), *_hsts(tls))


def _hsts(tls: bool) -> RawHeaders:
    """Return HSTS only where the service is reached by HTTPS: a browser remembers it for a year."""
    return (HSTS,) if tls else ()


class Cors:
    """CORS headers for pages of other sites.

    Starlette's CORSMiddleware handles preflight requests (OPTIONS); `options` are its arguments. This class adds the
    same headers to responses that do not pass through it.
    """

    def __init__(self, settings: CorsSettings) -> None:
        self.active = bool(settings.origins)
        self._all_origins = "*" in settings.origins
        self._wildcard = self._all_origins and not settings.credentials
        self._origins = frozenset(origin.encode() for origin in settings.origins)
        self.options: dict[str, Any] = {
            "allow_origins": settings.origins,
            "allow_methods": METHODS,
            "allow_headers": ALLOWED,
            "allow_credentials": settings.credentials,
            "expose_headers": EXPOSED,
        }
        common = [(b"access-control-allow-credentials", b"true")] if settings.credentials else []
        common.append((b"access-control-expose-headers", ", ".join(EXPOSED).encode()))
        self._common = tuple(common)

    def response_headers(self, origin: bytes) -> RawHeaders:
        """Return the headers of a response to a request with this Origin header, which is empty if it has none."""
        if not self.active:
            return ()
        vary = (b"vary", b"Origin")
        if not origin:
            return (vary,)
        if self._wildcard:
            return ((b"access-control-allow-origin", b"*"), *self._common, vary)
        if self._all_origins or origin in self._origins:
            return ((b"access-control-allow-origin", origin), *self._common, vary)
        return (vary,)


class HeaderInjector:
    """An ASGI `send` that adds headers to the response that passes through it.

    Parameters
    ----------
    send : callable
        The server's `send`.
    response_headers : sequence of raw headers
        Added where the application has not set a header of the same name.
    from_body : callable, optional
        Returns more headers for a 200 response from the first part of its body, for which the response's start waits.

    Attributes
    ----------
    status : int
        Status of the response; 0 before it has started.
    complete : bool
        Whether the response has ended.
    """

    def __init__(
        self, send: Send, response_headers: Sequence[RawHeader], from_body: Callable[[bytes], RawHeaders] | None = None
    ) -> None:
        self._send, self._response_headers, self._from_body = send, response_headers, from_body
        self._delayed_start: Message | None = None
        self.status = 0
        self.complete = False

    async def __call__(self, message: Message) -> None:
        """Send one message of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._from_body is not None and message["status"] == 200:
                self._delayed_start = message
                return
            message = _add_headers(message, self._response_headers)
        else:
            if self._delayed_start is not None and self._from_body is not None:
                start, self._delayed_start = self._delayed_start, None
                start = _add_headers(start, self._from_body(message.get("body", b"")))
                await self._send(_add_headers(start, self._response_headers))
            self.complete = not message.get("more_body", False)
        await self._send(message)


def _add_headers(start: Message, added: Sequence[RawHeader]) -> Message:
    """Add headers to the start of a response, except those that it has already."""
    existing = {name.lower() for name, _ in start.get("headers", ())}
    return {**start, "headers": [*start.get("headers", ()), *(pair for pair in added if pair[0] not in existing)]}
