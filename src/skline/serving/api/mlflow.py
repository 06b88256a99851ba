"""POST /invocations, GET /ping, /health and /version, as clients of MLflow and SageMaker call them."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, TypeAdapter

from skline import engine
from skline.contract.request_validation import RowParser, prediction_type
from skline.contract.spec import Contract
from skline.serving.api.openapi import error_responses
from skline.serving.protocols import mlflow
from skline.serving.protocols.adapter import ProtocolAdapter, ScoredBatch
from skline.serving.transport.body import BATCH_TYPES

JSON = "application/json"


class Ping(BaseModel):
    """Whether /invocations can predict."""

    ready: bool


def make_router(adapter: ProtocolAdapter) -> APIRouter:
    """Build the routes."""
    router = APIRouter(tags=["mlflow"])

    @router.get("/ping", responses={503: {"model": Ping}})
    @router.get("/health", responses={503: {"model": Ping}})
    async def ping(response: Response) -> Ping:
        """Return 200 when the service can predict."""
        response.status_code = 200 if adapter.ready else 503
        return Ping(ready=adapter.ready)

    @router.get("/version", response_class=PlainTextResponse)
    async def version() -> str:
        """Return the version of the engine; MLflow's own server returns that of MLflow."""
        return engine.version()

    extra: Any = {
        "requestBody": request_body(adapter.contract, adapter.max_rows),
        "responses": {"200": response_schema(adapter.contract)},
    }

    @router.post(
        "/invocations", responses=error_responses(413, 415, 422, 503), response_class=Response, openapi_extra=extra
    )
    async def invocations(request: Request) -> Response:
        """Predict rows of a DataFrame: JSON in one of MLflow's four formats, or CSV with a header line."""

        def parse(body: bytes) -> list[dict[str, Any]]:
            content_type = request.headers.get("content-type", "")
            return mlflow.parse(body, content_type, adapter.contract, adapter.max_rows)

        def render(_: list[dict[str, Any]], batch: ScoredBatch) -> bytes:
            return mlflow.render(batch, adapter.contract)

        content = await adapter.handle(request, BATCH_TYPES, parse, lambda rows: rows, render)
        return Response(content, media_type=JSON)

    return router


def request_body(contract: Contract, max_rows: int) -> dict[str, Any]:
    """Describe the two JSON formats that a schema can express in full; a sentence names the others, and CSV."""
    row = RowParser(contract).row.json_schema()
    example = row.pop("example")
    cells = [row["properties"][name] for name in contract.input_names]
    row_limits = {"minItems": 1, "maxItems": max_rows}
    split = {
        "type": "object",
        "required": ["columns", "data"],
        "additionalProperties": False,
        "properties": {
            "columns": {"const": contract.input_names},
            "index": {},
            "data": {
                "type": "array",
                "items": {"type": "array", "prefixItems": cells, "items": False, "minItems": len(cells)},
                **row_limits,
            },
        },
    }
    formats = [
        {"required": [name], "type": "object", "additionalProperties": False, "properties": {name: schema}}
        for name, schema in (
            ("dataframe_records", {"type": "array", "items": row, **row_limits}),
            ("dataframe_split", split),
        )
    ]
    return {
        "required": True,
        "description": "Also `instances` (rows), `inputs` (columns), and text/csv with a header line",
        "content": {JSON: {"schema": {"oneOf": formats}, "example": {"dataframe_records": [example]}}},
    }


def response_schema(contract: Contract) -> dict[str, Any]:
    """Describe the response."""
    texts = {"type": "array", "items": {"type": "string"}}
    properties: dict[str, Any] = {
        "predictions": {"type": "array", "items": TypeAdapter(prediction_type(contract)).json_schema()},
        "model_version": {"type": "string"},
        "prediction_ids": texts,
    }
    names = contract.class_names
    if names is not None:
        probabilities = {"type": "object", "required": names, "additionalProperties": {"type": "number"}}
        properties["probabilities"] = {"type": "array", "items": probabilities}
    schema = {"type": "object", "required": list(properties), "properties": properties}
    return {"description": "The predictions, in the order of the rows", "content": {JSON: {"schema": schema}}}
