"""What the OpenAPI schema says beyond the routes' own words: who may call them, and how the guard refuses."""

from typing import Any

from fastapi import FastAPI

from serving.security.permissions import Permissions

KEYS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key (`skline key new`)"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same, by itself"},
}
#: How the guard refuses, by status.
REFUSALS = {
    "401": "There is no valid API key",
    "403": "The key may not do this",
    "429": "The caller's rate is used up; Retry-After says for how long",
    "503": "Too much is being done already, or it took too long; Retry-After says when to ask again",
}
#: How a body is refused before anybody looks at what it says.
BODY = {
    "408": "The body did not come in time",
    "413": "The body is too large",
    "415": "The body is compressed",
}
FAULTS = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["loc", "msg", "type"],
                "properties": {
                    "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                    "msg": {"type": "string"},
                    "type": {"type": "string"},
                },
            },
        }
    },
}


def describe_guard(app: FastAPI, permissions: Permissions) -> None:
    """Add keys and refusals to every operation of the application's schema, which is made when it is asked for."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        made = app.openapi_schema is not None
        schema = make()
        if not made:
            schema.setdefault("components", {})["securitySchemes"] = KEYS
            for path, operations in schema["paths"].items():
                for operation in operations.values():
                    _describe(operation, permissions.needed(path))
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _describe(operation: dict[str, Any], needed: str | None) -> None:
    """Say who may call an operation, and what it may answer."""
    words = dict(BODY) if "requestBody" in operation else {}
    if needed is not None:
        operation["security"] = [{name: []} for name in KEYS]
        operation["x-scope"] = needed
        words |= REFUSALS
    for status, told in words.items():
        response = operation["responses"].setdefault(status, {"description": told})
        response.setdefault("content", {"application/json": {"schema": FAULTS}})
