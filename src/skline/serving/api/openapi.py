"""Parts of the OpenAPI schema that no single route can state: error responses, API keys and scopes."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field

from skline.serving.security.api_keys import KeyStore
from skline.serving.security.scopes import Permissions

SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key (`skline key new`)"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The API key in its own header"},
}
#: What each error status means on every route that can return it.
ERROR_DESCRIPTIONS = {
    401: "The API key is missing or invalid",
    403: "The API key does not have the required scope, or none is required and the request is not a local one",
    404: "There is no such model or version",
    408: "The body did not arrive in time",
    413: "The body or the batch is too large",
    415: "The Content-Type or Content-Encoding is not supported",
    422: "The request breaks the protocol or the contract; each error names its location and rule",
    429: "The caller's rate limit is exceeded; Retry-After is the number of seconds to wait",
    503: "The model is not loaded, or the service is overloaded; Retry-After is the number of seconds to wait",
}
#: Statuses of the guard, on every route with a scope, besides the 401 where keys are required.
GUARD_STATUSES = (403, 429, 503)
#: What FastAPI documents as the response to invalid parameters; transport.responses sends another one.
FASTAPI_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}}
FASTAPI_SCHEMAS = ("HTTPValidationError", "ValidationError")
#: Statuses of reading a body, on every route that has one.
BODY_STATUSES = (408, 413, 415)


class ErrorDetail(BaseModel):
    """One error in a request."""

    loc: list[str | int] = Field(description="Location: body, row of a batch, field")
    msg: str = Field(description="The rule that is broken")
    type: str


class ErrorResponse(BaseModel):
    """The errors for which a request was rejected."""

    detail: list[ErrorDetail]


class V2ErrorResponse(ErrorResponse):
    """The errors of a request below /v2, with the member that clients of the Open Inference Protocol show."""

    error: str


def error_responses(
    *statuses: int, descriptions: Mapping[int, str] | None = None, model: type[ErrorResponse] = ErrorResponse
) -> dict[int | str, dict[str, Any]]:
    """Return FastAPI's `responses` for error statuses; `descriptions` replaces the general ones."""
    texts = ERROR_DESCRIPTIONS | dict(descriptions or {})
    return {status: {"model": model, "description": texts[status]} for status in statuses}


def document_security(app: FastAPI, permissions: Permissions, keys: KeyStore, model_version: Callable[[], str]) -> None:
    """Add error responses to every operation and, as long as keys are required, API keys and their scopes.

    The first key may be created while the service runs, so there are two forms of the schema, each built once. The
    version of the model in service may change too, and is set each time.
    """
    build = app.openapi
    forms: dict[bool, dict[str, Any]] = {}

    def openapi() -> dict[str, Any]:
        needs_keys = not keys.auth_disabled
        if needs_keys not in forms:
            schema = copy.deepcopy(build())
            if needs_keys:
                schema.setdefault("components", {})["securitySchemes"] = SECURITY_SCHEMES
            for path, operations in schema["paths"].items():
                for operation in operations.values():
                    _document(operation, path, permissions.required_scope(path), needs_keys=needs_keys)
            for name in FASTAPI_SCHEMAS:
                schema.get("components", {}).get("schemas", {}).pop(name, None)
            forms[needs_keys] = schema
        schema = forms[needs_keys]
        return schema | {"info": schema["info"] | {"version": model_version()}}

    app.openapi = openapi  # type: ignore[method-assign]


def _document(operation: dict[str, Any], path: str, scope: str | None, *, needs_keys: bool) -> None:
    """Add the scope that an operation requires, and the errors of the guard and of reading a body."""
    statuses = [*BODY_STATUSES] if "requestBody" in operation else []
    if scope is not None:
        statuses += GUARD_STATUSES
        if needs_keys:
            statuses.append(401)
            operation["security"] = [{name: []} for name in SECURITY_SCHEMES]
            operation["x-scope"] = scope
    model = V2ErrorResponse if path.startswith("/v2") else ErrorResponse
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
    for status in statuses:
        response = operation["responses"].setdefault(str(status), {"description": ERROR_DESCRIPTIONS[status]})
        response.setdefault("content", content)
    for response in operation["responses"].values():
        if response.get("content") == FASTAPI_ERROR:
            response["content"] = content
