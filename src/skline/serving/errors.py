"""Errors of requests, and their details: [{"loc": […], "msg": …, "type": …}]; `transport.responses` sends them.

A response never quotes a value of the request, and never the reason of an internal error: that is in the log.

The texts of a 422 come from `skline.contract.request_validation` (choices, patterns, missing values),
`skline.contract.values` (the expected type of a kind), pydantic (bounds, unknown fields) and this module (the rest).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from skline.contract.suggestions import Suggestions, absence_hint

#: Errors of one body that a response lists; a batch may have a million.
MAX_ERRORS = 100
KEY_LOCATION = ("header", "authorization")


class RequestError(Exception):
    """An error that the client gets as a 4xx or 503 response, with a message that says why.

    Parameters
    ----------
    status : int
        HTTP status of the response.
    message, kind : str
        `msg` and `type` of the response's detail.
    headers : mapping of str to str, optional
        Extra response headers; `retry-after: 1` by default for a 503.
    loc : sequence of str or int
        Part of the request that is wrong.

    Attributes
    ----------
    rows : int
        Rows that are rejected with the request, as far as they are known.
    """

    rows = 1

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request",
        headers: Mapping[str, str] | None = None,
        loc: Sequence[str | int] = ("body",),
    ) -> None:
        super().__init__(message)
        self.loc = loc
        self.status = status
        self.kind = kind
        self.headers = headers or ({"retry-after": "1"} if status == 503 else {})

    @property
    def detail(self) -> list[dict[str, Any]]:
        """The errors that the response lists."""
        return [{"loc": self.loc, "msg": str(self), "type": self.kind}]


class ValidationFailed(RequestError):
    """A 422 with many errors. The list is made in the thread that parsed the body: it takes microseconds per error."""

    def __init__(self, detail: list[dict[str, Any]], rows: int) -> None:
        super().__init__(422, f"the body breaks the contract at {len(detail)} places or more")
        self.rows = rows
        self._detail = detail[:MAX_ERRORS]

    @property
    def detail(self) -> list[dict[str, Any]]:
        """The first MAX_ERRORS errors."""
        return self._detail


def validation_details(
    error: ValidationError, first_index: int = 0, hints: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Return the first MAX_ERRORS errors of a body, without its values.

    `first_index` is the index in the body of the first item that was validated, if it is a list. `hints` are what
    `json_absence_hints` returns.
    """
    details = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_ERRORS]
    suggestions = Suggestions(details)
    listed = []
    for detail in details:
        loc, message = detail["loc"], detail["msg"]
        if detail["type"] == "extra_forbidden" and (meant := suggestions.same_name(loc)):
            message += f"; did you mean {meant[-1]!r}?"
        message += absence_hint(detail, hints or {})
        listed.append({"loc": ["body", *_shifted(loc, first_index)], "msg": message, "type": detail["type"]})
    return listed


def _shifted(location: tuple[int | str, ...], by: int) -> tuple[int | str, ...]:
    """Return a location in a list with its index moved."""
    if location and isinstance(location[0], int):
        return (location[0] + by, *location[1:])
    return location


def unknown_path(*, v2: bool = False) -> RequestError:
    """404 for a path that the service does not have; `v2` if it is below that of the Open Inference Protocol."""
    if v2:
        message = "this server has health, metadata and inference of the Open Inference Protocol, and no such path"
        return RequestError(404, f"{message}; GET /v2 names its extensions", "not_found", loc=("path",))
    return RequestError(404, "there is no such path; /openapi.json lists all paths", "not_found", loc=("path",))


def method_not_allowed(method: str, allowed: Sequence[str]) -> RequestError:
    """405 for a path that supports the methods `allowed` only."""
    message = f"this path does not support the method {method}; use {' or '.join(allowed)}"
    return RequestError(405, message, "method_not_allowed", {"allow": ", ".join(allowed)}, ("method",))


def unauthorized() -> RequestError:
    """401 for a key that is missing, unknown, wrong, expired or revoked: the same response for all of them."""
    return RequestError(
        401,
        "a valid API key is required; send it as `Authorization: Bearer KEY` or as `X-API-Key: KEY`",
        "unauthorized",
        {"www-authenticate": 'Bearer realm="skline"'},
        KEY_LOCATION,
    )


def forbidden(required_scope: str) -> RequestError:
    """403 for a valid key without the required scope."""
    challenge = f'Bearer realm="skline", error="insufficient_scope", scope="{required_scope}"'
    message = f"this API key lacks the scope `{required_scope}`; use a key that has it"
    return RequestError(403, message, "forbidden", {"www-authenticate": challenge}, KEY_LOCATION)


def not_local() -> RequestError:
    """403 for a request from another machine while API keys are not required."""
    message = "without API keys this service accepts local requests only; start it with API keys, or with --no-auth"
    return RequestError(403, message, "forbidden", loc=KEY_LOCATION)


def foreign_site(header: str) -> RequestError:
    """403 for a request of another site's page, as the header Origin or Host shows, while keys are not required."""
    message = (
        f"the header {header} names another site, and without API keys this service accepts requests to "
        "loopback from its own page only; list the site in SKLINE_CORS__ORIGINS, or start the service with API keys, "
        "or with --no-auth"
    )
    return RequestError(403, message, "forbidden", loc=("header", header.lower()))


def invalid_host(message: str) -> RequestError:
    """400 for a request without exactly one valid Host; its connection is closed, because its framing is in doubt."""
    return RequestError(400, message, "invalid_host", {"connection": "close"}, ("header", "host"))


def rate_limited(rate: str, seconds: int) -> RequestError:
    """429: the caller's rate is used up for the next `seconds`."""
    message = f"more than {rate} from one caller; retry in {seconds} s, or send several rows to /predict/batch"
    return RequestError(429, message, "too_many_requests", {"retry-after": str(seconds)}, ("header",))


def overloaded(message: str, kind: str = "busy") -> RequestError:
    """503 for a request that may succeed when it is repeated a second later."""
    return RequestError(503, message, kind)


def body_memory_exhausted(message: str) -> RequestError:
    """503 for a body that is not read any further, so that its connection has to be closed."""
    return RequestError(503, message, "body_memory_exhausted", {"retry-after": "1", "connection": "close"})
