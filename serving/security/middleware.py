"""The guard around everything that FastAPI routes."""

import time
from collections.abc import Callable

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import answer_to
from serving.security import headers, refusals
from serving.security.guard import Guard, RawHeader, Visit
from serving.security.limits import Slots
from serving.security.permissions import Permissions


class Guarded:
    """An ASGI application behind a guard.

    Every answer gets the guard's headers where the application has not set its own. A request that needs a
    key is answered within the request's time. Routes find their `Visit` as `request.state.visit`.

    It holds no slot: those are for work, and who sends a body slowly must not keep others from it.
    """

    def __init__(self, app: ASGIApp, guard: Guard, permissions: Permissions, slots: Slots, *, tls: bool) -> None:
        self.app, self.guard, self.permissions, self.slots, self.tls = app, guard, permissions, slots, tls
        self._preflight = CORSMiddleware(app, **guard.cors.options) if guard.cors.active else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit, pass on and log one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        visit = self.guard.begin(scope["headers"])
        scope.setdefault("state", {})["visit"] = visit
        answer = _Answer(send, visit, self._docs_headers if scope["path"] == "/docs" else None)
        try:
            if self._preflight is not None and _is_preflight(scope, visit):
                await self._preflight(scope, receive, send)
                return
            await self._answer(scope, receive, answer, visit)
        except refusals.Refused as refusal:
            if answer.status:
                raise  # too late for another answer: the server closes the connection
            await answer_to(refusal)(scope, receive, answer)
        finally:
            spent = time.perf_counter() - visit.began
            self.guard.log.write(
                visit.trace, scope["method"], scope["path"], answer.status or 500, spent, visit.caller.id
            )

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer", visit: Visit) -> None:
        """Check what there is to check, then let the application answer."""
        needed = self.permissions.needed(scope["path"])
        if needed is None:
            await self.app(scope, receive, answer)
            return
        if self.guard.remote:
            await self.guard.admit_remotely(visit, scope, needed)
        else:
            self.guard.admit(visit, scope, needed)
        await self.slots.in_time(lambda: self.app(scope, receive, answer))

    def _docs_headers(self, html: bytes) -> headers.RawHeaders:
        return headers.of_docs(html, tls=self.tls)


class _Answer:
    """A `send` that adds headers to the answer and remembers its status.

    `from_body` makes headers of the body's first part, for which the start has to wait.
    """

    def __init__(self, send: Send, visit: Visit, from_body: Callable[[bytes], headers.RawHeaders] | None) -> None:
        self._send, self._visit, self._from_body = send, visit, from_body
        self._held: Message | None = None
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._from_body is not None and message["status"] == 200:
                self._held = message
                return
            message = _with(message, self._visit.headers)
        elif self._held is not None and self._from_body is not None:
            start, self._held = self._held, None
            own = self._from_body(message.get("body", b""))
            await self._send(_with(_with(start, own), self._visit.headers))
        await self._send(message)


def _with(start: Message, added: "list[RawHeader] | headers.RawHeaders") -> Message:
    """Add headers to the start of an answer; those it has already stay as they are."""
    have = {name.lower() for name, _ in start.get("headers", ())}
    return {**start, "headers": [*start.get("headers", ()), *(pair for pair in added if pair[0] not in have)]}


def _is_preflight(scope: Scope, visit: Visit) -> bool:
    return scope["method"] == "OPTIONS" and b"origin" in visit.sent and b"access-control-request-method" in visit.sent
