"""Admit or reject a request by its API key and its caller's rate."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from skline.serving import errors
from skline.serving.security.api_keys import ANONYMOUS, KeyStore
from skline.serving.security.context import RequestContext
from skline.serving.security.host import HOST
from skline.serving.security.rate_limit import RateLimiter, client_key
from skline.serving.settings import CorsSettings, LimitSettings, SecuritySettings

#: Host and port in an ASGI scope; no port for a socket in the file system.
Address = tuple[str, int | None] | None
#: Bytes of a Host header that are examined; no name and no address is longer.
MAX_NAME = 300


class Guard:
    """The check of requests whose path requires a scope.

    While no key is required, any page that the user of this machine opens in a browser can send requests to loopback,
    and by a name of its own that resolves to 127.0.0.1 (DNS rebinding) it can read the responses too. Both show in
    headers that a page cannot change: `Origin`, which browsers send with each request that can write and with each
    whose response the page can read, and `Host`. Such requests are rejected; `no_auth` admits them.

    Attributes
    ----------
    keys : KeyStore
    foreign : int
        Requests that were rejected because they came from another machine or another site.
    limiter : RateLimiter or None
        None if rates are not limited.
    uses_redis : bool
        Whether requests are counted in Redis: then callers await `admit_async` instead of calling `admit`.
    """

    def __init__(self, security: SecuritySettings, limits: LimitSettings, cors: CorsSettings) -> None:
        inline = None if security.api_keys is None else security.api_keys.get_secret_value().encode()
        self.keys = KeyStore(security.key_file, inline, no_auth=security.no_auth)
        self.foreign = 0
        self._origins = frozenset(origin.encode() for origin in cors.origins)
        store = None if limits.store is None else limits.store.get_secret_value()
        self.limiter = None if limits.rate is None else RateLimiter(limits.rate, store)
        self.uses_redis = self.limiter is not None and self.limiter.uses_redis

    def admit(self, context: RequestContext, scope: Mapping[str, Any], required_scope: str) -> None:
        """Verify the API key and count the request in this process; sets `context.caller`.

        Raises
        ------
        RequestError
            401 or 403 for the key, 403 for another machine or site while no key is required, 429 for the rate.
        """
        key = self._identify(context, scope, required_scope)
        if self.limiter is not None:
            self.limiter.check(key)

    async def admit_async(self, context: RequestContext, scope: Mapping[str, Any], required_scope: str) -> None:
        """Do as `admit` does, but count the request in Redis."""
        key = self._identify(context, scope, required_scope)
        if self.limiter is not None:
            await self.limiter.check_async(key)

    def _identify(self, context: RequestContext, scope: Mapping[str, Any], required_scope: str) -> str:
        """Verify the API key; return the key of the caller's request count."""
        headers = context.headers
        caller = self.keys.authorize(headers.get(b"authorization", b""), headers.get(b"x-api-key", b""), required_scope)
        context.caller = caller
        if caller is not ANONYMOUS:
            return caller.id
        client, server = scope.get("client"), scope.get("server")
        if not self.keys.no_auth and (
            b"origin" in headers or not _is_local_request(client, server, headers.get(b"host", b"")[:MAX_NAME])
        ):
            # `skline serve` verifies the address at its start; another server command may have bound a public one.
            if not (_is_local(client) and _is_local(server)):
                self.foreign += 1
                raise errors.not_local()
            self._require_own_site(context, scope)
        return client_key(client[0]) if client else "local"

    def check_public(self, context: RequestContext, scope: Mapping[str, Any]) -> None:
        """Reject (403) a request of another site to a path that requires no scope, while no key is required."""
        if self.keys.auth_disabled and not self.keys.no_auth:
            self._require_own_site(context, scope)

    def _require_own_site(self, context: RequestContext, scope: Mapping[str, Any]) -> None:
        """Reject (403) a request that a page of another site has sent."""
        origin, host = context.headers.get(b"origin", b""), context.headers.get(b"host", b"")
        # `null`, the origin of a sandboxed page, names no site: it must not equal a Host that is missing.
        is_own = not origin or (host and origin.partition(b"://")[2] == host)
        if not is_own and self._origins.isdisjoint((origin, b"*")):
            self.foreign += 1
            raise errors.foreign_site("Origin")
        if not _names_this_machine(scope.get("server"), host[:MAX_NAME]):
            self.foreign += 1
            raise errors.foreign_site("Host")


@lru_cache(maxsize=1024)
def _is_local_request(client: Address, server: Address, host: bytes) -> bool:
    """Whether a request comes from this machine and names it; cached, because a connection's requests are alike."""
    return _is_local(client) and _is_local(server) and _names_this_machine(server, host)


def _is_local(address: Address) -> bool:
    """Whether an address of an ASGI scope is on this machine: loopback, or a socket in the file system."""
    return address is None or address[1] is None or is_loopback(address[0])


def _names_this_machine(server: Address, host: bytes) -> bool:
    """Whether a Host header names this machine; a request without it (HTTP/1.0) comes from no browser.

    Browsers cannot reach a socket in the file system, and programs name any host there.
    """
    if server is None or server[1] is None:
        return True
    match = HOST.fullmatch(host.lower())
    return not host or (match is not None and is_loopback((match[1] or match[2]).decode()))


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
