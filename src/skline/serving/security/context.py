"""The context of one request: headers, ids, caller and start time."""

from collections.abc import Sequence

from skline.serving.observability.tracing import Trace
from skline.serving.security.api_keys import ANONYMOUS, Caller
from skline.serving.security.headers import RawHeader


class RequestContext:
    """What the service keeps of one request from its start to its access log line.

    Attributes
    ----------
    headers : dict of bytes to bytes
        The request's headers, from `headers_by_name`.
    trace : Trace
        The request's ids.
    response_headers : list of raw headers
        Headers that any response to it carries, in addition to Content-Type and Content-Length.
    caller : Caller
        The owner of the API key, once the request is admitted.
    started_at : float
        `time.perf_counter()` when the request arrived.
    entity : str or None
        What its rows are about, as the header `SKLINE_ENTITY_HEADER` names it.
    """

    __slots__ = ("caller", "entity", "headers", "response_headers", "started_at", "trace")

    def __init__(
        self,
        headers: dict[bytes, bytes],
        trace: Trace,
        response_headers: list[RawHeader],
        started_at: float,
        entity: str | None = None,
    ) -> None:
        self.headers, self.trace, self.started_at = headers, trace, started_at
        self.response_headers, self.entity = response_headers, entity
        self.caller: Caller = ANONYMOUS


def headers_by_name(headers: Sequence[RawHeader]) -> dict[bytes, bytes]:
    """Return headers by name; the values of a repeated one are joined by commas (RFC 9110, 5.3)."""
    by_name = dict(headers)
    if len(by_name) < len(headers):
        values: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            values.setdefault(name, []).append(value)
        by_name = {name: b", ".join(values[name]) for name in values}
    return by_name
