"""The routes of the Open Inference Protocol: health, metadata, inference."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from serving.errors import RequestRefused, answer_to
from serving.protocols import tensors, v2
from serving.protocols.routes import WORDS, answer
from serving.protocols.service import Service

JSON, BYTES = "application/json", "application/octet-stream"
LENGTH = "inference-header-content-length"


class Route(APIRoute):
    """A route whose refusals also have the member `error`, which is what clients of this protocol show."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Wrap the handler."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await inner(request)
            except (ValidationError, RequestRefused) as error:
                return with_error(answer_to(error))

        return handle


def with_error(answer: Response) -> Response:
    """Say what `detail` says in `error` too."""
    detail = from_json(bytes(answer.body))["detail"]
    error = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in detail[:5])
    headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
    return Response(to_json({"error": error, "detail": detail}), answer.status_code, headers)


def make_router(service: Service) -> APIRouter:
    """Build the routes for a service."""
    router = APIRouter(prefix="/v2", tags=["open inference protocol"], route_class=Route)
    _add_facts(router, service)
    refusals: dict[int | str, dict[str, Any]] = {
        404: {"description": "There is no such model or version"},
        **{status: {"description": words} for status, words in WORDS.items()},
    }
    body = {"requestBody": request_body(service)}

    @router.post("/models/{name}/infer", responses=refusals, response_class=Response, openapi_extra=body)
    @router.post("/models/{name}/versions/{version}/infer", response_class=Response, include_in_schema=False)
    async def infer(request: Request, name: str, version: str | None = None) -> Response:
        """Predict rows given as tensors."""
        _check(service, name, version)

        def parse(body: bytes) -> v2.Question:
            return v2.parse(body, request.headers.get(LENGTH), service.contract, service.max_rows)

        question, answered = await answer(service, request, parse)
        content, length = v2.render(question, answered, service.contract, service.name)
        if length is None:
            return Response(content, media_type=JSON)
        return Response(content, media_type=BYTES, headers={LENGTH: str(length)})

    return router


def _add_facts(router: APIRouter, service: Service) -> None:
    """Add the routes that tell what there is."""
    unknown: dict[int | str, dict[str, Any]] = {404: {"description": "There is no such model or version"}}
    waiting: dict[int | str, dict[str, Any]] = {503: {"description": "Not ready yet"}}

    @router.get("")
    async def server() -> dict[str, Any]:
        """Tell what the server is and speaks."""
        return {"name": v2.PLATFORM, "version": service.version, "extensions": v2.EXTENSIONS}

    @router.get("/health/live")
    async def live() -> dict[str, bool]:
        """Answer as long as the process does."""
        return {"live": True}

    @router.get("/health/ready", responses=waiting)
    async def ready(response: Response) -> dict[str, bool]:
        """Say whether the model can be asked."""
        response.status_code = 200 if service.ready else 503
        return {"ready": service.ready}

    @router.get("/models/{name}/ready", responses=unknown | waiting)
    @router.get("/models/{name}/versions/{version}/ready", include_in_schema=False)
    async def model_ready(response: Response, name: str, version: str | None = None) -> dict[str, Any]:
        """Say whether this model can be asked."""
        _check(service, name, version)
        response.status_code = 200 if service.ready else 503
        return {"name": service.name, "ready": service.ready}

    @router.get("/models/{name}", responses=unknown)
    @router.get("/models/{name}/versions/{version}", include_in_schema=False)
    async def model(name: str, version: str | None = None) -> dict[str, Any]:
        """Tell the model's inputs and outputs."""
        _check(service, name, version)
        return {
            "name": service.name,
            "versions": [service.version],
            "platform": v2.PLATFORM,
            "inputs": v2.inputs_of(service.contract),
            "outputs": v2.outputs_of(service.contract),
        }


def _check(service: Service, name: str, version: str | None) -> None:
    """Refuse (404) another model's name or version."""
    if name != service.name:
        raise RequestRefused(404, f"there is no model {name[:100]!r}; this is {service.name!r}", "not_found")
    if version not in (None, service.version):
        raise RequestRefused(404, f"there is no version {version[:100]!r}; this is {service.version!r}", "not_found")


def request_body(service: Service) -> dict[str, Any]:
    """Describe a request: one tensor a column. That shapes and data agree no schema can say."""
    example = {
        "inputs": [
            {"name": column.name, "shape": [1], "datatype": v2.datatype(column), "data": [column.example]}
            for column in service.contract.inputs
        ]
    }
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 2},
            "datatype": {"enum": ["BYTES", *tensors.DTYPES]},
            "parameters": {"type": "object"},
            "data": {"type": "array"},
        },
    }
    output = {
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "properties": {"name": {"type": "string"}, "parameters": {"type": "object"}},
    }
    schema = {
        "type": "object",
        "required": ["inputs"],
        "additionalProperties": False,
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "inputs": {"type": "array", "items": tensor, "minItems": 1},
            "outputs": {"type": "array", "items": output},
        },
    }
    return {"required": True, "content": {JSON: {"schema": schema, "example": example}}}
