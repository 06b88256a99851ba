"""Errors as JSON, in FastAPI's form: {"detail": [{"loc": […], "msg": …, "type": …}]}."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import to_json

from serving.responses import Json

#: Faults of one body that are told; a batch may have a million.
MOST_FAULTS = 100


Fault = dict[str, Any]


class RequestRefused(Exception):
    """A request that gets a 4xx or a 503, with a sentence that says why."""

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "request_refused",
        headers: Mapping[str, str] | None = None,
        loc: Sequence[str] = ("body",),
    ) -> None:
        super().__init__(message)
        self.loc = loc
        self.status = status
        self.kind = kind
        self.headers = headers or ({"retry-after": "1"} if status == 503 else {})

    @property
    def detail(self) -> list[Fault]:
        """What is wrong."""
        return [{"loc": self.loc, "msg": str(self), "type": self.kind}]


class BodyRefused(RequestRefused):
    """A 422 with many faults. They are read where the body is read: that takes microseconds each."""

    def __init__(self, error: ValidationError) -> None:
        super().__init__(422, f"the body breaks the contract at {error.error_count()} places")
        self._faults = faults_of(error)

    @property
    def detail(self) -> list[Fault]:
        """The first of them."""
        return self._faults


def faults_of(error: ValidationError) -> list[Fault]:
    """What is wrong with a body, without its values."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return [
        {"loc": ["body", *fault["loc"]], "msg": fault["msg"], "type": fault["type"]} for fault in faults[:MOST_FAULTS]
    ]


def answer_to(error: RequestRefused | ValidationError) -> Json:
    """Write a refusal down as the answer to its request."""
    if isinstance(error, RequestRefused):
        return Json(to_json({"detail": error.detail}), error.status, error.headers)
    return Json(to_json({"detail": faults_of(error)}), 422)


def install(app: FastAPI) -> None:
    """Make the two kinds of refusal answers instead of tracebacks."""

    @app.exception_handler(ValidationError)
    @app.exception_handler(RequestRefused)
    async def refused(_: Request, error: RequestRefused | ValidationError) -> Json:
        return answer_to(error)

    @app.exception_handler(RequestValidationError)
    async def wrong(_: Request, error: RequestValidationError) -> Json:
        # FastAPI's own answer repeats what was sent, which JSON may be unable to hold.
        told = [{name: fault[name] for name in ("loc", "msg", "type")} for fault in error.errors()[:MOST_FAULTS]]
        return Json(to_json({"detail": told}), 422)
