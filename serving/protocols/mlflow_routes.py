"""POST /invocations and GET /ping, as clients of MLflow and SageMaker call them."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from serving.protocols import mlflow
from serving.protocols.routes import WORDS, answer
from serving.protocols.service import Service, labels
from skline.contract.requests import Rows, prediction_type

JSON = "application/json"


class Ping(BaseModel):
    """Whether /invocations can answer."""

    ready: bool


def make_router(service: Service) -> APIRouter:
    """Build the routes. Refusals are raised, for the application to answer as it answers its own."""
    router = APIRouter(tags=["mlflow"])
    refusals: dict[int | str, dict[str, Any]] = {status: {"description": words} for status, words in WORDS.items()}

    @router.get("/ping", responses={503: {"model": Ping}})
    async def ping(response: Response) -> Ping:
        """Answer 200 when predictions can be asked for."""
        response.status_code = 200 if service.ready else 503
        return Ping(ready=service.ready)

    described: Any = {"requestBody": request_body(service), "responses": {"200": answer_schema(service)}}

    @router.post("/invocations", responses=refusals, response_class=Response, openapi_extra=described)
    async def invocations(request: Request) -> Response:
        """Predict rows of a DataFrame: JSON in one of MLflow's four forms, or CSV with a header line."""

        def parse(body: bytes) -> list[dict[str, Any]]:
            content_type = request.headers.get("content-type", "")
            return mlflow.parse(body, content_type, service.contract, service.max_rows)

        _, answered = await answer(service, request, parse)
        return Response(mlflow.render(answered, service.contract), media_type=JSON)

    return router


def request_body(service: Service) -> dict[str, Any]:
    """Describe the two JSON forms that say all; CSV and the other two are told in words."""
    row = Rows(service.contract).one.json_schema()
    example = row.pop("example")
    cells = [row["properties"][name] for name in service.contract.input_names]
    many = {"minItems": 1, "maxItems": service.max_rows}
    split = {
        "type": "object",
        "required": ["columns", "data"],
        "additionalProperties": False,
        "properties": {
            "columns": {"const": service.contract.input_names},
            "data": {
                "type": "array",
                "items": {"type": "array", "prefixItems": cells, "items": False, "minItems": len(cells)},
                **many,
            },
        },
    }
    forms = [
        {"required": [name], "type": "object", "additionalProperties": False, "properties": {name: form}}
        for name, form in (
            ("dataframe_records", {"type": "array", "items": row, **many}),
            ("dataframe_split", split),
        )
    ]
    return {
        "required": True,
        "description": "Also `instances` (rows), `inputs` (columns), and text/csv with a header line",
        "content": {JSON: {"schema": {"oneOf": forms}, "example": {"dataframe_records": [example]}}},
    }


def answer_schema(service: Service) -> dict[str, Any]:
    """Describe the answer."""
    from pydantic import TypeAdapter

    texts = {"type": "array", "items": {"type": "string"}}
    properties: dict[str, Any] = {
        "predictions": {"type": "array", "items": TypeAdapter(prediction_type(service.contract)).json_schema()},
        "model_version": {"type": "string"},
        "prediction_ids": texts,
    }
    names = labels(service.contract)
    if names is not None:
        chances = {"type": "object", "required": names, "additionalProperties": {"type": "number"}}
        properties["probabilities"] = {"type": "array", "items": chances}
    schema = {"type": "object", "required": list(properties), "properties": properties}
    return {"description": "The answers, in the order of the rows", "content": {JSON: {"schema": schema}}}
