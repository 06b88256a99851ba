"""Requests that come through a proxy: the client's address, and the path prefix under which clients reach the service.

A request's `path`, as ASGI defines it, begins with its `root_path`, the prefix. Routes, scopes and metrics use the
rest.
"""

from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from skline.serving.settings import PATH_PREFIX


class TrustedProxies:
    """Passes requests on to `app` with what trusted proxies say of them; other senders' headers have no effect.

    uvicorn reads X-Forwarded-For and X-Forwarded-Proto. X-Forwarded-Prefix is the prefix that the proxy has removed
    from the path; a value that is not a path is ignored.

    Parameters
    ----------
    app : ASGI application
    proxies : str
        Comma-separated addresses and networks, or "*".
    """

    def __init__(self, app: ASGIApp, proxies: str) -> None:
        middleware: Any = ProxyHeadersMiddleware(app, proxies)  # type: ignore[arg-type]
        self._middleware, self._trusted = middleware, middleware.trusted_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        client = scope.get("client")
        if (client[0] if client else None) in self._trusted:
            for name, value in scope["headers"]:
                prefix = value.decode("latin-1").strip().rstrip("/") if name == b"x-forwarded-prefix" else ""
                if PATH_PREFIX.fullmatch(prefix):
                    set_prefix(scope, prefix, path_of(scope))
        await self._middleware(scope, receive, send)


def place_below(scope: Scope, prefix: str) -> None:
    """Set the prefix of a request that has none, whether or not its path still begins with it."""
    if not scope.get("root_path"):
        path: str = scope["path"]
        set_prefix(scope, prefix, path.removeprefix(prefix) if path.startswith(f"{prefix}/") else path)


def set_prefix(scope: Scope, prefix: str, path: str) -> None:
    """Set prefix and path of a request; `path` is without the prefix."""
    scope["root_path"], scope["path"] = prefix, prefix + path


def path_of(scope: MutableMapping[str, Any]) -> str:
    """Return a request's path without the prefix."""
    # Starlette keeps the prefix of the application under another name while a mounted application responds.
    prefix: str = scope.get("app_root_path", scope.get("root_path", ""))
    path: str = scope["path"]
    return path.removeprefix(prefix) if prefix else path
