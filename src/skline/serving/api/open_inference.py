"""The routes of the Open Inference Protocol: health, metadata, inference."""

from operator import attrgetter
from typing import Any

from fastapi import APIRouter, Request, Response

from skline.contract.spec import Contract
from skline.serving.api.openapi import V2ErrorResponse, error_responses
from skline.serving.errors import RequestError
from skline.serving.protocols import open_inference, tensors
from skline.serving.protocols.adapter import ProtocolAdapter, ScoredBatch
from skline.serving.transport.body import JSON_TYPES

JSON, BINARY = "application/json", "application/octet-stream"
TYPES = JSON_TYPES | {BINARY.encode()}
PARAMETERS = {"type": ["object", "null"]}
JSON_LENGTH_HEADER = "inference-header-content-length"


def make_router(adapter: ProtocolAdapter) -> APIRouter:
    """Build the routes."""
    router = APIRouter(prefix="/v2", tags=["open inference protocol"])
    _add_metadata_routes(router, adapter)
    errors = error_responses(404, 413, 415, 422, 503, model=V2ErrorResponse)
    body = {"requestBody": request_body(adapter.contract)}

    @router.post("/models/{name}/infer", responses=errors, response_class=Response, openapi_extra=body)
    @router.post("/models/{name}/versions/{version}/infer", response_class=Response, include_in_schema=False)
    async def infer(request: Request, name: str, version: str | None = None) -> Response:
        """Predict rows given as tensors."""
        _check_model(adapter, name, version)

        def parse(body: bytes) -> open_inference.InferenceRequest:
            json_length = request.headers.get(JSON_LENGTH_HEADER)
            return open_inference.parse(body, json_length, adapter.contract, adapter.max_rows)

        def render(parsed: open_inference.InferenceRequest, batch: ScoredBatch) -> tuple[bytes, int | None]:
            return open_inference.render(parsed, batch, adapter.contract, adapter.name)

        content, length = await adapter.handle(request, TYPES, parse, attrgetter("rows"), render)
        if length is None:
            return Response(content, media_type=JSON)
        return Response(content, media_type=BINARY, headers={JSON_LENGTH_HEADER: str(length)})

    return router


def _add_metadata_routes(router: APIRouter, adapter: ProtocolAdapter) -> None:
    """Add the routes that describe server and model, and their health."""
    not_found = error_responses(404, model=V2ErrorResponse)
    not_ready: dict[int | str, dict[str, Any]] = {503: {"description": "The model is not ready"}}

    @router.get("")
    async def server_metadata() -> dict[str, Any]:
        """Return the server's name, version and extensions."""
        return {"name": open_inference.PLATFORM, "version": adapter.version, "extensions": open_inference.EXTENSIONS}

    @router.get("/health/live")
    async def live() -> dict[str, bool]:
        """Return 200 as long as the process is running."""
        return {"live": True}

    @router.get("/health/ready", responses=not_ready)
    async def ready(response: Response) -> dict[str, bool]:
        """Return 200 when the service can predict."""
        response.status_code = 200 if adapter.ready else 503
        return {"ready": adapter.ready}

    @router.get("/models/{name}/ready", responses=not_found | not_ready)
    @router.get("/models/{name}/versions/{version}/ready", include_in_schema=False)
    async def model_ready(response: Response, name: str, version: str | None = None) -> dict[str, Any]:
        """Return 200 when this model can predict."""
        _check_model(adapter, name, version)
        response.status_code = 200 if adapter.ready else 503
        return {"name": adapter.name, "ready": adapter.ready}

    @router.get("/models/{name}", responses=not_found)
    @router.get("/models/{name}/versions/{version}", include_in_schema=False)
    async def model_metadata(name: str, version: str | None = None) -> dict[str, Any]:
        """Return the model's inputs and outputs."""
        _check_model(adapter, name, version)
        return {
            "name": adapter.name,
            "versions": [adapter.version],
            "platform": open_inference.PLATFORM,
            "inputs": open_inference.describe_inputs(adapter.contract),
            "outputs": open_inference.describe_outputs(adapter.contract),
        }


def _check_model(adapter: ProtocolAdapter, name: str, version: str | None) -> None:
    """Reject (404) the name or version of another model."""
    if name != adapter.name:
        raise RequestError(404, f"unknown model {name[:100]!r}; the model is {adapter.name!r}", "not_found")
    if version not in (None, adapter.version):
        raise RequestError(404, f"unknown version {version[:100]!r}; the version is {adapter.version!r}", "not_found")


def request_body(contract: Contract) -> dict[str, Any]:
    """Describe a request with one tensor per column; a schema cannot state that shapes and data agree."""
    example = {
        "inputs": [
            {
                "name": column.name,
                "shape": [1],
                "datatype": open_inference.datatype_of(column),
                "data": [column.example],
            }
            for column in contract.inputs
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
            "parameters": PARAMETERS,
            "data": {"type": ["array", "null"]},
        },
    }
    output = {
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "properties": {"name": {"type": "string"}, "parameters": PARAMETERS},
    }
    schema = {
        "type": "object",
        "required": ["inputs"],
        "additionalProperties": False,
        "properties": {
            **{name: {"type": ["string", "null"]} for name in ("id", "model_name", "model_version")},
            "parameters": PARAMETERS,
            "inputs": {"type": "array", "items": tensor, "minItems": 1},
            "outputs": {"type": ["array", "null"], "items": output},
        },
    }
    return {"required": True, "content": {JSON: {"schema": schema, "example": example}}}
