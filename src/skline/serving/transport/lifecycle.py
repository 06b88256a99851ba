"""The lifecycle of a request: start, admit, respond to an error, finish. Every request passes through it exactly once.

Only `admit_async` is awaited, so the fast path can take many requests through it in one iteration of the event loop.
"""

import logging
from collections.abc import Sequence
from time import perf_counter

from pydantic import ValidationError

from skline.serving.errors import RequestError
from skline.serving.observability.logging import AccessLog
from skline.serving.observability.metrics import Metrics
from skline.serving.observability.tracing import start_trace
from skline.serving.security.context import RequestContext, headers_by_name
from skline.serving.security.guard import Guard
from skline.serving.security.headers import Cors, RawHeader, json_headers
from skline.serving.security.host import HostCheck
from skline.serving.security.scopes import PROBES
from skline.serving.settings import ServiceSettings
from skline.serving.transport.responses import CountInvalid, JSONBytesResponse, error_response

log = logging.getLogger("skline.serving")


class RequestLifecycle:
    """The steps that the requests of all routes have in common.

    Parameters
    ----------
    settings : ServiceSettings
    guard : Guard
        Verifies API keys and counts requests.
    metrics : Metrics
        Gets the route, status and duration of each request.
    count_invalid : callable, optional
        Gets the errors of each request with status 422.

    Attributes
    ----------
    cors : Cors
    admit, admit_async : callable
        The guard's: verify the API key of a request and count it, or raise RequestError.
    check_host : callable
        Verify that a request names exactly one valid host, or raise RequestError.
    check_public : callable
        The guard's: verify where a request to a path without key comes from, or raise RequestError.
    uses_redis : bool
        Whether requests are counted in Redis: then callers await `admit_async` instead of calling `admit`.
    """

    def __init__(
        self, settings: ServiceSettings, guard: Guard, metrics: Metrics, count_invalid: CountInvalid | None = None
    ) -> None:
        self.cors = Cors(settings.cors)
        self.uses_redis = guard.uses_redis
        self.admit, self.admit_async, self.check_public = guard.admit, guard.admit_async, guard.check_public
        self.check_host = HostCheck().check
        self._metrics, self._count_invalid = metrics, count_invalid
        self._access_log = AccessLog(settings.logging, PROBES)
        self._json_headers = json_headers(tls=settings.security.tls)
        self._entity_header = settings.entity_header.lower().encode()

    def start(self, headers: Sequence[RawHeader], received_at: float | None = None) -> RequestContext:
        """Create the context of a request: its ids, its entity, and the headers that any response to it carries.

        Parameters
        ----------
        headers : sequence of raw headers
            The headers of its ASGI scope, with names in lower case.
        received_at : float, optional
            `time.perf_counter()` when it arrived; defaults to now.
        """
        started_at = perf_counter() if received_at is None else received_at
        by_name = headers_by_name(headers)
        trace = start_trace(by_name.get(b"x-request-id", b""), by_name.get(b"traceparent", b""))
        response_headers = [*self._json_headers, (b"x-request-id", trace.request_id)]
        if trace.trace_id:
            response_headers.append((b"traceresponse", trace.response()))
        if self.cors.active:
            response_headers.extend(self.cors.response_headers(by_name.get(b"origin", b"")))
        entity = by_name.get(self._entity_header)
        return RequestContext(
            by_name, trace, response_headers, started_at, entity.decode("latin-1") if entity else None
        )

    def error_response(self, error: Exception, method: str, path: str) -> JSONBytesResponse:
        """Return the response for an error, and log the error if it is unexpected."""
        if not isinstance(error, RequestError | ValidationError):
            log.error("%s %s failed", method, path, exc_info=error)
        return error_response(error, path, self._count_invalid)

    def finish(self, context: RequestContext, method: str, path: str, route: str, status: int) -> None:
        """Record the request in the metrics, by its route, and in the access log, by its path.

        Parameters
        ----------
        route : str
            The path as the application declares it, with placeholders; "other" if no route matches.
        status : int
            HTTP status of the response; 499 if the client disconnected before it.
        """
        seconds = perf_counter() - context.started_at
        if status >= self._access_log.min_status:
            self._access_log.write(context.trace, method, path, status, seconds, context.caller.id)
        self._metrics.observe_request(route, status, seconds)
