"""Errors as JSON, in FastAPI's form: {"detail": [{"loc": […], "msg": …, "type": …}]}."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError


class RequestRefused(Exception):
    """A request that gets a 4xx or a 503, with a sentence that says why."""

    def __init__(self, status: int, message: str, kind: str = "request_refused") -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


def install(app: FastAPI) -> None:
    """Make the two kinds of refusal answers instead of tracebacks."""

    @app.exception_handler(ValidationError)
    async def invalid(_: Request, error: ValidationError) -> JSONResponse:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        detail = [
            {"loc": ["body", *fault["loc"]], "msg": fault["msg"], "type": fault["type"]} for fault in faults[:100]
        ]
        return JSONResponse({"detail": detail}, status_code=422)

    @app.exception_handler(RequestRefused)
    async def refused(_: Request, error: RequestRefused) -> JSONResponse:
        headers = {"Retry-After": "1"} if error.status == 503 else None
        detail = [{"loc": ["body"], "msg": str(error), "type": error.kind}]
        return JSONResponse({"detail": detail}, status_code=error.status, headers=headers)
