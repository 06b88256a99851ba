"""Headers that go with every answer: made once, as the raw tuples that ASGI wants."""

import base64
import hashlib
import re
from typing import Any

from serving.security.settings import CorsSettings

RawHeaders = tuple[tuple[bytes, bytes], ...]

NOSNIFF = (b"x-content-type-options", b"nosniff")
#: Answers are about somebody: no cache keeps them, no referrer tells of them.
NO_STORE = (b"cache-control", b"no-store")
#: A year, as preload lists ask for.
HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
_FRAMES = "base-uri 'none'; frame-ancestors 'none'"
#: JSON is not to be rendered, framed or run.
NOTHING = f"default-src 'none'; {_FRAMES}"
#: The page: its own script and style files, nothing inline, nothing from elsewhere.
PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    f"form-action 'self'; {_FRAMES}"
)
_INLINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
#: What a page on another site may read of an answer.
EXPOSED = ("x-request-id", "traceresponse", "retry-after", "inference-header-content-length")
#: What it may send.
ALLOWED = ("authorization", "content-type", "traceparent", "tracestate", "x-api-key", "x-request-id",
           "inference-header-content-length")  # fmt: skip
METHODS = ("GET", "POST")


def of_json(*, tls: bool = False) -> RawHeaders:
    """Headers of a JSON answer."""
    return (NOSNIFF, NO_STORE, (b"content-security-policy", NOTHING.encode()), *_hsts(tls))


def of_page(*, tls: bool = False) -> RawHeaders:
    """Headers of the page for people and of its files; the caller says how long they may be cached."""
    return (NOSNIFF, (b"referrer-policy", b"no-referrer"), (b"content-security-policy", PAGE.encode()), *_hsts(tls))


def of_docs(html: bytes, *, tls: bool = False) -> RawHeaders:
    """Headers of /docs, whose inline scripts are allowed by their hashes; Swagger UI sets styles inline."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in _INLINE.findall(html)
    )
    policy = (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; "
        f"img-src 'self' data:; connect-src 'self'; {_FRAMES}"
    )
    return (NOSNIFF, (b"referrer-policy", b"no-referrer"), (b"content-security-policy", policy.encode()), *_hsts(tls))


def _hsts(tls: bool) -> RawHeaders:
    """Promise HTTPS only where there is HTTPS: a browser remembers it for a year."""
    return (HSTS,) if tls else ()


class Cors:
    """What pages of other sites may do.

    Preflight requests are OPTIONS, which Starlette's CORSMiddleware answers (`options` are its
    arguments); this adds the same headers to answers that do not pass through it.
    """

    def __init__(self, settings: CorsSettings) -> None:
        self.active = bool(settings.origins)
        self._any = "*" in settings.origins and not settings.credentials
        self._origins = frozenset(origin.encode() for origin in settings.origins)
        self._everyone = "*" in settings.origins
        self.options: dict[str, Any] = {
            "allow_origins": settings.origins,
            "allow_methods": METHODS,
            "allow_headers": ALLOWED,
            "allow_credentials": settings.credentials,
            "expose_headers": EXPOSED,
        }
        shared = [(b"access-control-allow-credentials", b"true")] if settings.credentials else []
        shared.append((b"access-control-expose-headers", ", ".join(EXPOSED).encode()))
        self._shared = tuple(shared)

    def of_answer(self, origin: bytes) -> RawHeaders:
        """Headers of an answer to a request with this Origin header, empty if it had none."""
        if not self.active:
            return ()
        vary = (b"vary", b"Origin")
        if not origin:
            return (vary,)
        if self._any:
            return ((b"access-control-allow-origin", b"*"), *self._shared, vary)
        if self._everyone or origin in self._origins:
            return ((b"access-control-allow-origin", origin), *self._shared, vary)
        return (vary,)
