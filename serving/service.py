"""The application: FastAPI, with a short way in for the routes that must be fast.

A request for a lean route meets neither the middleware stack nor the routing, which together cost several
times what a prediction does. The route is FastAPI's all the same: it stands in the OpenAPI schema, and its
function, which takes a Request and returns a Response, can be called either way. Both ways go through the guard.
"""

import logging
from collections.abc import Awaitable, Callable
from time import perf_counter

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from serving import room
from serving.errors import RequestRefused, answer_to
from serving.metrics import Metrics
from serving.responses import Json
from serving.security.guard import Visit
from serving.security.middleware import Guarded
from serving.security.tracing import CURRENT

log = logging.getLogger("skline.serving")

Endpoint = Callable[[Request], Awaitable[Response]]
#: A body and its visit → the answer's JSON, or None if somebody would have to wait for it.
Now = Callable[[bytes, Visit], bytes | None]
BROKEN = b'{"detail":[{"loc":[],"msg":"the service failed on this request; its log says why","type":"server_error"}]}'
#: What a client that has gone away would have got; it stands in measurements and logs alone.
CLIENT_CLOSED = 499


class Service:
    """A FastAPI application behind a guard, with a short way in, and a measurement of every request."""

    def __init__(self, app: FastAPI, metrics: Metrics, guarded: Guarded) -> None:
        """Wrap the application; `include` adds to it. `guarded` is the way to it through the guard."""
        self.app = app
        self.metrics = metrics
        self._guarded = guarded
        self._guard = guarded.guard
        self._lean: dict[tuple[str, str], tuple[Endpoint, str | None]] = {}
        self._now: dict[str, tuple[Now, str | None]] = {}
        #: Paths of POST routes that `answer_now` knows.
        self.immediate: frozenset[bytes] = frozenset()

    def include(self, router: APIRouter) -> None:
        """Add routes to the application."""
        self.app.include_router(router)

    def include_lean(self, router: APIRouter) -> None:
        """Add routes whose functions take a Request, return a Response, and depend on nothing."""
        self.include(router)
        for route in router.routes:
            assert isinstance(route, APIRoute)  # noqa: S101 - what an APIRouter makes
            for method in route.methods or ():
                self._lean[method, route.path] = route.endpoint, self._guarded.permissions.needed(route.path)

    def include_now(self, path: str, answer: Now) -> None:
        """Let a POST route be answered by a plain function when it can be, see `serving.http`."""
        if not self._guard.remote:
            self._now[path] = answer, self._guarded.permissions.needed(path)
            self.immediate = frozenset(path.encode() for path in self._now)

    def answer_now(self, path: str, scope: Scope, body: bytes) -> Json | None:
        """Answer a request whose whole body has come; None if that takes waiting.

        Then the application is to be called with the same scope, which says that the request was admitted.
        """
        answer, permission = self._now[path]
        visit = self._guard.begin(scope["headers"])
        try:
            if permission is not None:
                self._guard.admit(visit, scope, permission)
            content = answer(body, visit)
            if content is None:
                scope["state"]["visit"] = visit
                return None
            response = Json(content)
        except (RequestRefused, ValidationError) as error:
            response = answer_to(error)
        except Exception:
            log.exception("POST %s failed", path)
            response = Json(BROKEN, 500)
        finally:
            CURRENT.set(None)  # the next request on the connection runs in the same context
        response.raw_headers += visit.headers
        spent = perf_counter() - visit.began
        self._guard.log.write(visit.trace, "POST", path, response.status_code, spent, visit.caller.id)
        self.metrics.request(path, response.status_code, spent)
        return response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, on the short way if it has one."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = perf_counter()
        state = scope.setdefault("state", {})
        lean = self._lean.get((scope["method"], scope["path"]))
        try:
            if lean is None:
                status = await self._answer(scope, receive, send)
                path = getattr(scope.get("route"), "path", "other")
            else:
                status = await self._answer_lean(*lean, scope, receive, send)
                path = scope["path"]
        finally:
            room.leave(state)
        self.metrics.request(path, status, perf_counter() - start)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Let FastAPI answer; return the status."""
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._guarded(scope, receive, watched)
        return status

    async def _answer_lean(
        self, endpoint: Endpoint, permission: str | None, scope: Scope, receive: Receive, send: Send
    ) -> int:
        """Answer by the route's function; return the status."""
        guard = self._guard
        scope["app"] = self.app
        state = scope["state"]
        visit: Visit | None = state.get("visit")
        admitted = visit is not None
        if visit is None:
            visit = state["visit"] = guard.begin(scope["headers"])
        CURRENT.set(visit.trace)
        try:
            if permission is not None and not admitted:
                if guard.remote:
                    await guard.admit_remotely(visit, scope, permission)
                else:
                    guard.admit(visit, scope, permission)
            response = await endpoint(Request(scope, receive))
        except (RequestRefused, ValidationError) as error:
            response = answer_to(error)
        except ClientDisconnect:
            self._log(visit, scope, CLIENT_CLOSED)
            return CLIENT_CLOSED
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            response = Json(BROKEN, 500)
        response.raw_headers += visit.headers
        await response(scope, receive, send)
        self._log(visit, scope, response.status_code)
        return response.status_code

    def _log(self, visit: Visit, scope: Scope, status: int) -> None:
        """Write the request's line, if it is to have one."""
        spent = perf_counter() - visit.began
        self._guard.log.write(visit.trace, scope["method"], scope["path"], status, spent, visit.caller.id)
