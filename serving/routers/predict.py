"""Predictions: one row, or a batch. The routes' types are generated from the contract."""

from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, create_model

from serving.answers import write
from serving.errors import RequestRefused
from serving.predictor import Predictor
from serving.requests import read_body, visit_of
from serving.responses import Json
from serving.settings import ServiceSettings
from skline.contract.requests import prediction_type
from skline.contract.spec import Contract
from skline.explain import Explanation


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    loc: list[str | int] = Field(description="Where: body, row of a batch, field")
    msg: str = Field(description="Which rule it broke")
    type: str


class Refusal(BaseModel):
    """Why a request was refused."""

    detail: list[Fault]


REFUSALS: dict[int | str, dict[str, Any]] = {
    413: {"model": Refusal, "description": "The body or the batch is too large"},
    422: {
        "model": Refusal,
        "description": "The body breaks the contract; each fault names its field and rule",
    },
    503: {"model": Refusal, "description": "The model is not loaded yet, or too many rows wait"},
}


EXPLAIN = {
    "name": "explain",
    "in": "query",
    "required": False,
    "schema": {"type": "boolean", "default": False},
    "description": "Also say what each input contributed to the score",
}


def make_router(predictor: Predictor, settings: ServiceSettings) -> APIRouter:
    """Build the routes for a predictor's contract; they are lean, see `serving.service`."""
    router = APIRouter(tags=["predict"])
    answer: Any = answer_type(predictor.models.first.contract)
    batch = create_model("BatchAnswer", predictions=(list[answer], Field(description="In the order of the rows")))
    row_schema = predictor.bodies.rows.one.json_schema()
    rows_schema = {"type": "array", "items": row_schema, "maxItems": settings.max_batch_rows}
    example = row_schema["example"]
    limit, seconds = settings.max_body_bytes, settings.limits.request_seconds

    described = _request(row_schema, example) | {"parameters": [EXPLAIN]}

    @router.post("/predict", response_model=answer, responses=REFUSALS, openapi_extra=described)
    async def predict(request: Request) -> Response:
        """Predict one row."""
        body = await read_body(request, limit, seconds)
        explain = bool(request.scope["query_string"]) and wants_explanation(request)
        return Json(write(await predictor.answer_row(body, visit_of(request), explain=explain)))

    @router.post(
        "/predict/batch",
        response_model=batch,
        responses=REFUSALS,
        openapi_extra=_request(rows_schema, [example]),
    )
    async def predict_batch(request: Request) -> Response:
        """Predict many rows; one bad row refuses the batch, and the fault names it."""
        body = await read_body(request, limit, seconds)
        return Json(await predictor.answer_rows(body, visit_of(request)))

    return router


def wants_explanation(request: Request) -> bool:
    """Read ?explain=; RequestRefused for what is neither true nor false."""
    given = request.query_params.get("explain", "false")
    if given not in ("true", "false"):
        raise RequestRefused(
            422, f"explain is {given[:20]!r}; say true or false", "bool_parsing", loc=("query", "explain")
        )
    return given == "true"


def answer_type(contract: Contract) -> type[BaseModel]:
    """Generate the type of one answer."""
    fields: dict[str, Any] = {
        "prediction": (prediction_type(contract), Field(description=contract.target.description)),
    }
    if contract.classes is not None:
        fields["probabilities"] = (dict[str, float], Field(description="Of each class; they sum to 1"))
    else:
        fields["interval"] = (
            tuple[float, float] | None,
            Field(default=None, description="From and to, made to hold the share of true values that the card says"),
        )
    fields["model_version"] = (str, Field(description="Project and start of the artifact's digest"))
    fields["prediction_id"] = (str, Field(description="Unique; name it when the truth is known"))
    fields["explanation"] = (
        Explanation | None,
        Field(default=None, description="There only if asked for: what each input contributed to the score"),
    )
    fields["no_explanation"] = (
        str | None,
        Field(default=None, description="There only if asked for and there is none: why"),
    )
    fields["review"] = (
        bool | None,
        Field(default=None, description="There only if review is on: whether people will look at it"),
    )
    fields["fallback"] = (
        Literal["previous", "fixed", "rule"] | None,
        Field(default=None, description="There only if the model failed: who answered instead"),
    )
    return create_model("Answer", __config__=ConfigDict(protected_namespaces=()), **fields)


def _request(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    """Describe a request body in OpenAPI's words."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}}
