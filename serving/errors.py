"""Errors as JSON, in FastAPI's form: {"detail": [{"loc": […], "msg": …, "type": …}]}."""

from collections.abc import Mapping, Sequence

from fastapi import FastAPI, Request
from pydantic import ValidationError
from pydantic_core import to_json

from serving.responses import Json

#: Faults of one body that are told; a batch may have a million.
MOST_FAULTS = 100


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


def answer_to(error: RequestRefused | ValidationError) -> Json:
    """Write a refusal down as the answer to its request."""
    if isinstance(error, RequestRefused):
        detail = [{"loc": error.loc, "msg": str(error), "type": error.kind}]
        return Json(to_json({"detail": detail}), error.status, error.headers)
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    told = [
        {"loc": ["body", *fault["loc"]], "msg": fault["msg"], "type": fault["type"]} for fault in faults[:MOST_FAULTS]
    ]
    return Json(to_json({"detail": told}), 422)


def install(app: FastAPI) -> None:
    """Make the two kinds of refusal answers instead of tracebacks."""

    @app.exception_handler(ValidationError)
    @app.exception_handler(RequestRefused)
    async def refused(_: Request, error: RequestRefused | ValidationError) -> Json:
        return answer_to(error)
