"""Admit or reject a request by its API key and its caller's rate."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from skline.serving import errors
from skline.serving.security.api_keys import ANONYMOUS, KeyStore
from skline.serving.security.context import RequestContext
from skline.serving.security.rate_limit import RateLimiter, client_key
from skline.serving.settings import LimitSettings, SecuritySettings


class Guard:
    """The check of requests whose path requires a scope.

    Attributes
    ----------
    keys : KeyStore
    limiter : RateLimiter or None
        None if rates are not limited.
    uses_redis : bool
        Whether requests are counted in Redis: then callers await `admit_async` instead of calling `admit`.
    """

    def __init__(self, security: SecuritySettings, limits: LimitSettings) -> None:
        inline = None if security.api_keys is None else security.api_keys.get_secret_value().encode()
        self.keys = KeyStore(security.key_file, inline, no_auth=security.no_auth)
        store = None if limits.store is None else limits.store.get_secret_value()
        self.limiter = None if limits.rate is None else RateLimiter(limits.rate, store)
        self.uses_redis = self.limiter is not None and self.limiter.uses_redis

    def admit(self, context: RequestContext, scope: Mapping[str, Any], required_scope: str) -> None:
        """Verify the API key and count the request in this process; sets `context.caller`.

        Raises
        ------
        RequestError
            401 or 403 for the key, 403 for another machine while no key is required, 429 for the rate.
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
        # `skline serve` verifies the address at its start; another server command may have bound a public one.
        if not (self.keys.no_auth or (_is_local(client) and _is_local(server))):
            raise errors.not_local()
        return client_key(client[0]) if client else "local"


def _is_local(address: tuple[str, int | None] | None) -> bool:
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
