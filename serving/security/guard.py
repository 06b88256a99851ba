"""Admit a request or refuse it: ids, key, rate and headers."""

import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from serving.security import headers, refusals
from serving.security.keys import ANYBODY, Caller, KeyRing
from serving.security.limits import RateLimiter, of_address
from serving.security.logs import RequestLog
from serving.security.settings import CorsSettings, LimitSettings, LoggingSettings, SecuritySettings
from serving.security.tracing import Trace, begin

RawHeader = tuple[bytes, bytes]


class Visit:
    """One request, from the guard's view.

    Attributes
    ----------
    trace : Trace
        Its ids.
    headers : list of raw headers
        What its answer carries besides type and length, whatever the answer is.
    sent : dict of bytes to bytes
        The request's headers by name in lower case; of a repeated one the last.
    caller : Caller
        Whose key it was, once admitted.
    began : float
        `time.perf_counter()` when it came.
    """

    __slots__ = ("began", "caller", "headers", "sent", "trace")

    def __init__(self, sent: dict[bytes, bytes], trace: Trace, answer: list[RawHeader], began: float) -> None:
        self.sent, self.trace, self.headers, self.began = sent, trace, answer, began
        self.caller: Caller = ANYBODY


class Guard:
    """What stands before every route. Used as `middleware.Guarded` does:

    `begin` always, then `admit` (and `admit_remotely` instead, if `remote`), which may raise Refused; an
    answer of either kind carries `visit.headers`; `log.write` in the end.
    """

    def __init__(
        self, security: SecuritySettings, limits: LimitSettings, cors: CorsSettings, logging: LoggingSettings
    ) -> None:
        inline = None if security.api_keys is None else security.api_keys.get_secret_value().encode()
        self.keys = KeyRing(security.key_file, inline, no_auth=security.no_auth)
        store = None if limits.store is None else limits.store.get_secret_value()
        self.limiter = None if limits.rate is None else RateLimiter(limits.rate, store)
        self.cors = headers.Cors(cors)
        self.log = RequestLog(logging)
        #: Whether the rate is counted in Redis: then `admit_remotely` is to be awaited instead of calling `admit`.
        self.remote = self.limiter is not None and self.limiter.remote
        self._json = headers.of_json(tls=security.tls)

    def begin(self, sent: Iterable[RawHeader], came: float | None = None) -> Visit:
        """Give a request (the raw headers of its ASGI scope) its ids and its answer's headers; it came now, or then."""
        began = time.perf_counter() if came is None else came
        found = dict(sent)
        trace = begin(found.get(b"x-request-id", b""), found.get(b"traceparent", b""))
        answer = [*self._json, (b"x-request-id", trace.request_id)]
        if trace.trace_id:
            answer.append((b"traceresponse", trace.response()))
        if self.cors.active:
            answer.extend(self.cors.of_answer(found.get(b"origin", b"")))
        return Visit(found, trace, answer, began)

    def admit(self, visit: Visit, scope: Mapping[str, Any], permission: str) -> None:
        """Check the key and count the request in this process; sets `visit.caller`.

        Raises
        ------
        Refused
            401 or 403 for the key, 403 from outside while no key is asked for, 429 for the rate.
        """
        counted_as = self._identify(visit, scope, permission)
        if self.limiter is not None:
            self.limiter.check(counted_as)

    async def admit_remotely(self, visit: Visit, scope: Mapping[str, Any], permission: str) -> None:
        """Do as `admit` does, but count in Redis."""
        counted_as = self._identify(visit, scope, permission)
        if self.limiter is not None:
            await self.limiter.check_remote(counted_as)

    def _identify(self, visit: Visit, scope: Mapping[str, Any], permission: str) -> str:
        """Check the key; return what the rate is counted by."""
        sent = visit.sent
        caller = self.keys.check(sent.get(b"authorization", b""), sent.get(b"x-api-key", b""), permission)
        visit.caller = caller
        if caller is not ANYBODY:
            return caller.id
        client, server = scope.get("client"), scope.get("server")
        # A service told nothing may still have been bound to the world, by a command that is not ours.
        if not (self.keys.no_auth or (_local(client) and _local(server))):
            raise refusals.not_local()
        return of_address(client[0]) if client else "local"


def _local(address: tuple[str, int | None] | None) -> bool:
    """Whether an address of an ASGI scope is on this machine: loopback, or a socket in the file system."""
    return address is None or address[1] is None or is_loopback(address[0])


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether a host, as an address or as `localhost`, can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
