"""The application: FastAPI, with a short way in for the routes that must be fast.

A request for a lean route meets neither the middleware stack nor the routing, which together cost several
times what a prediction does. The route is FastAPI's all the same: it stands in the OpenAPI schema, and its
function, which takes a Request and returns a Response, can be called either way. Both ways go through the guard.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from serving import room
from serving.asked import Asked
from serving.errors import RequestRefused, answer_to
from serving.metrics import Metrics
from serving.responses import Json
from serving.security.guard import Visit
from serving.security.middleware import Guarded
from serving.security.tracing import CURRENT
from serving.together import Give

log = logging.getLogger("skline.serving")

Endpoint = Callable[[Request], Awaitable[Response]]
#: Answers requests through the function that it is given, now or later.
Soon = Callable[[Sequence[Asked], Give], None]
#: Requests that are answered before the first of them is sent its answer's bytes.
MOST_TOGETHER = 128
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
        #: The POST route that `answer_soon` knows, if there is one, and the bytes that a body may have.
        self.soon: tuple[bytes, int] | None = None
        self._soon: Soon = _nobody
        self._soon_path = ""
        self._soon_needs: str | None = None
        self._asked: list[Asked] = []

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

    def include_soon(self, path: str, answer: Soon, most_bytes: int) -> None:
        """Let small requests to one POST route be answered by a plain function, see `serving.http`."""
        if not self._guard.remote:
            self.soon = path.encode(), most_bytes
            self._soon, self._soon_path, self._soon_needs = answer, path, self._guarded.permissions.needed(path)

    def answer_soon(self, asked: Asked) -> None:
        """Answer a request whose whole body has come, with all others of this turn of the event loop."""
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._answer_asked)
        self._asked.append(asked)

    def _answer_asked(self) -> None:
        """Answer the requests of a turn, some at a time: those who are answered first can ask again meanwhile."""
        asked, self._asked = self._asked, []
        for start in range(0, len(asked), MOST_TOGETHER):
            admitted = [one for one in asked[start : start + MOST_TOGETHER] if self._admit(one)]
            try:
                self._soon(admitted, self._give)
            except Exception as error:  # noqa: BLE001 - it is handed to whoever was not answered
                for one in admitted:
                    self._give(one, error)

    def _admit(self, one: Asked) -> bool:
        """Let a request in, or answer that it is not."""
        one.visit = self._guard.begin(one.scope["headers"], one.came)
        try:
            if self._soon_needs is not None:
                self._guard.admit(one.visit, one.scope, self._soon_needs)
        except Exception as error:  # noqa: BLE001 - it is handed to whoever asked
            self._give(one, error)
            return False
        return True

    def _give(self, one: Asked, given: bytes | Exception) -> None:
        """Send an answer, or say why there is none."""
        if one.answered:
            return
        visit, path = one.visit, self._soon_path
        CURRENT.set(visit.trace)  # several requests are answered in one context
        response = answer_or_broken(given, "POST", path) if isinstance(given, Exception) else Json(given)
        response.raw_headers += visit.headers
        spent = perf_counter() - visit.began
        self._guard.log.write(visit.trace, "POST", path, response.status_code, spent, visit.caller.id)
        self.metrics.request(path, response.status_code, spent)
        one.answer(response)

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
        visit = scope["state"]["visit"] = guard.begin(scope["headers"])
        try:
            if permission is not None:
                if guard.remote:
                    await guard.admit_remotely(visit, scope, permission)
                else:
                    guard.admit(visit, scope, permission)
            response = await endpoint(Request(scope, receive))
        except ClientDisconnect:
            self._log(visit, scope, CLIENT_CLOSED)
            return CLIENT_CLOSED
        except Exception as error:  # noqa: BLE001 - whoever asked is told, or the log is
            response = answer_or_broken(error, scope["method"], scope["path"])
        response.raw_headers += visit.headers
        await response(scope, receive, send)
        self._log(visit, scope, response.status_code)
        return response.status_code

    def _log(self, visit: Visit, scope: Scope, status: int) -> None:
        """Write the request's line, if it is to have one."""
        spent = perf_counter() - visit.began
        self._guard.log.write(visit.trace, scope["method"], scope["path"], status, spent, visit.caller.id)


def answer_or_broken(error: Exception, method: str, path: str) -> Json:
    """Say what is wrong with a request, or, with the reason in the log, that something is with the service."""
    if isinstance(error, RequestRefused | ValidationError):
        return answer_to(error)
    log.error("%s %s failed", method, path, exc_info=error)
    return Json(BROKEN, 500)


def _nobody(asked: Sequence[Asked], give: Give) -> None:
    """Answer nothing: nobody is sent here."""
