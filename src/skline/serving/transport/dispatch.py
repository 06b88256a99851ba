"""The ASGI application: it takes each request through its lifecycle and calls the function that responds to it.

There are three kinds of routes. The route of the fast path gets its small requests from `transport.protocol`, complete
and without ASGI. A fast route is a function from Request to Response: calling it directly skips FastAPI's middleware
and routing, which together cost several times what a prediction does. FastAPI handles all other requests. Fast routes
are registered with FastAPI too, for the OpenAPI schema.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from skline.serving.observability.tracing import CURRENT_TRACE
from skline.serving.security.concurrency import ConcurrencyLimiter
from skline.serving.security.context import RequestContext
from skline.serving.security.headers import HeaderInjector, docs_headers
from skline.serving.security.scopes import PROBES, Permissions
from skline.serving.settings import SecuritySettings
from skline.serving.transport import body_budget
from skline.serving.transport.lifecycle import RequestLifecycle
from skline.serving.transport.proxies import TrustedProxies, path_of, place_below
from skline.serving.transport.request import BufferedRequest, Reply
from skline.serving.transport.responses import JSONBytesResponse

#: Handles requests of the fast path: calls the reply function once for each of them, at once or later.
FastPathHandler = Callable[[Sequence[BufferedRequest], Reply], None]
#: Maximum requests handled in one batch before responses are written.
MAX_BATCH = 128
#: Status recorded in metrics and logs when the client disconnected; never sent.
CLIENT_CLOSED = 499


class Dispatcher:
    """A FastAPI application with a fast path, fast routes, and one lifecycle for all requests.

    Parameters
    ----------
    app : FastAPI
        Gets the requests that are neither for the fast path nor for a fast route.
    lifecycle : RequestLifecycle
    permissions : Permissions
        The scope that each path requires.
    limiter : ConcurrencyLimiter
        FastAPI's routes run within its timeout, but hold none of its slots: a client that sends its body slowly
        would keep a slot from requests that are ready to be processed.
    security : SecuritySettings
        Whether clients connect by HTTPS, and through which proxies.
    root_path : str
        The path prefix under which a proxy serves the application.

    Attributes
    ----------
    fast_path : tuple of bytes and int, or None
        Path of the POST route whose requests may be passed to `submit`, and the maximum size of their body.
    """

    def __init__(
        self,
        app: FastAPI,
        lifecycle: RequestLifecycle,
        permissions: Permissions,
        limiter: ConcurrencyLimiter,
        security: SecuritySettings,
        root_path: str = "",
    ) -> None:
        self.app = app
        self.fast_path: tuple[bytes, int] | None = None
        self._lifecycle, self._permissions, self._limiter = lifecycle, permissions, limiter
        self._preflight = CORSMiddleware(app, **lifecycle.cors.options) if lifecycle.cors.active else None
        self._docs_headers = partial(docs_headers, tls=security.tls)
        proxies = security.trusted_proxies
        self._proxies = TrustedProxies(self._respond, proxies) if proxies else None
        self._root_path = root_path
        self._fast_routes: dict[tuple[str, str], tuple[APIRoute, str | None]] = {}
        self._handle_batch: FastPathHandler = _not_configured
        self._path = ""
        self._required_scope: str | None = None
        self._submitted: list[BufferedRequest] = []

    def include_router(self, router: APIRouter) -> None:
        """Add routes to the application."""
        self.app.include_router(router)

    def include_fast_routes(self, router: APIRouter) -> None:
        """Add routes whose functions take a Request, return a Response, and have no dependencies."""
        self.include_router(router)
        for route in router.routes:
            assert isinstance(route, APIRoute)  # noqa: S101 - an APIRouter creates no other routes
            for method in route.methods or ():
                self._fast_routes[method, route.path] = route, self._permissions.required_scope(route.path)

    def set_fast_path(self, path: str, handler: FastPathHandler, max_body_bytes: int) -> None:
        """Let `handler` respond to small requests for one POST route.

        Without effect if requests are counted in Redis, which has to be awaited, or if there are trusted proxies, whose
        headers have to be read.
        """
        if not self._lifecycle.uses_redis and self._proxies is None:
            self.fast_path = path.encode(), max_body_bytes
            self._handle_batch, self._path = handler, path
            self._required_scope = self._permissions.required_scope(path)

    def submit(self, request: BufferedRequest) -> None:
        """Take a request of the fast path; it is handled with all others of this iteration of the event loop."""
        if not self._submitted:
            asyncio.get_running_loop().call_soon(self._handle_submitted)
        self._submitted.append(request)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request of a fast route or of FastAPI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif self._proxies is None:
            await self._respond(scope, receive, send)
        else:
            await self._proxies(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a request through its lifecycle."""
        lifecycle, state, method = self._lifecycle, scope.setdefault("state", {}), scope["method"]
        context = state["context"] = lifecycle.start(scope["headers"])
        if self._root_path:
            place_below(scope, self._root_path)
        path = path_of(scope)
        if method == "HEAD":  # the response to GET, of which the server leaves out the body
            scope = {**scope, "method": "GET"}
        status = 500
        try:
            fast_route = self._fast_routes.get((scope["method"], path))
            if fast_route is None:
                status = await self._call_app(context, path, scope, receive, send)
            else:
                status = await self._call_fast_route(*fast_route, context, scope, receive, send)
        except ClientDisconnect:
            status = CLIENT_CLOSED
        finally:
            body_budget.release(state)
            route = getattr(scope.get("route"), "path", "other")
            lifecycle.finish(context, method, path, route, status)

    async def _call_fast_route(
        self,
        route: APIRoute,
        required_scope: str | None,
        context: RequestContext,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> int:
        """Call a fast route's function and send its response; return the status."""
        scope["app"], scope["route"] = self.app, route
        try:
            self._lifecycle.check_host(context, scope)
            await self._admit(context, scope, required_scope)
            response: Response = await route.endpoint(Request(scope, receive))
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - it becomes the response, and is logged if it is unexpected
            response = self._lifecycle.error_response(error, scope["method"], route.path)
        response.raw_headers += context.response_headers
        await response(scope, receive, send)
        return response.status_code

    async def _call_app(self, context: RequestContext, path: str, scope: Scope, receive: Receive, send: Send) -> int:
        """Let FastAPI respond; return the status."""
        required_scope = self._permissions.required_scope(path)
        sender = HeaderInjector(send, context.response_headers, self._docs_headers if path == "/docs" else None)
        try:
            self._lifecycle.check_host(context, scope)
            if self._preflight is not None and _is_preflight(scope, context):
                await self._preflight(scope, receive, sender)
            elif required_scope is None:
                if path not in PROBES:
                    self._lifecycle.check_public(context, scope)
                await self.app(scope, receive, sender)
            else:
                await self._admit(context, scope, required_scope)
                await self._limiter.with_timeout(lambda: self.app(scope, receive, sender))
        except ClientDisconnect:
            raise
        except Exception as error:
            response = self._lifecycle.error_response(error, scope["method"], path)
            if not sender.status:
                await response(scope, receive, sender)
            elif not sender.complete:
                raise  # part of another response is sent, so the server has to close the connection
        return sender.status or 500

    async def _admit(self, context: RequestContext, scope: Scope, required_scope: str | None) -> None:
        if required_scope is not None:
            if self._lifecycle.uses_redis:
                await self._lifecycle.admit_async(context, scope, required_scope)
            else:
                self._lifecycle.admit(context, scope, required_scope)

    def _handle_submitted(self) -> None:
        """Handle the requests of an iteration in batches, so that early responses do not wait for all others."""
        submitted, self._submitted = self._submitted, []
        for start in range(0, len(submitted), MAX_BATCH):
            admitted = [request for request in submitted[start : start + MAX_BATCH] if self._start(request)]
            try:
                self._handle_batch(admitted, self._reply)
            except Exception as error:  # noqa: BLE001 - it becomes the response of the requests that have none
                for request in admitted:
                    self._reply(request, error)

    def _start(self, request: BufferedRequest) -> bool:
        """Start and admit a request of the fast path; return whether it is admitted."""
        request.context = self._lifecycle.start(request.scope["headers"], request.received_at)
        try:
            self._lifecycle.check_host(request.context, request.scope)
            if self._required_scope is not None:
                self._lifecycle.admit(request.context, request.scope, self._required_scope)
        except Exception as error:  # noqa: BLE001 - it becomes the response
            self._reply(request, error)
            return False
        return True

    def _reply(self, request: BufferedRequest, result: bytes | Exception) -> None:
        """Respond to a request of the fast path, unless it has its response already."""
        if request.responded:
            return
        context, path = request.context, self._path
        CURRENT_TRACE.set(context.trace)  # the requests of a batch share a context
        response = (
            self._lifecycle.error_response(result, "POST", path)
            if isinstance(result, Exception)
            else JSONBytesResponse(result)
        )
        response.raw_headers += context.response_headers
        self._lifecycle.finish(context, "POST", path, path, response.status_code)
        request.respond(response)


def _is_preflight(scope: Scope, context: RequestContext) -> bool:
    headers = context.headers
    return scope["method"] == "OPTIONS" and b"origin" in headers and b"access-control-request-method" in headers


def _not_configured(requests: Sequence[BufferedRequest], reply: Reply) -> None:
    """Placeholder until a fast path is set."""
