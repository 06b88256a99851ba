"""Predictions for one row, or a batch. The routes' types are generated from the contract."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, create_model

from skline.contract.request_validation import prediction_type
from skline.contract.spec import Contract, Row
from skline.explain import Explanation
from skline.lookups.online import Outcome
from skline.serving.api.openapi import error_responses
from skline.serving.errors import RequestError
from skline.serving.models.response import relabelled, relabelled_batch, to_json
from skline.serving.prediction.parsing import RequestParser
from skline.serving.prediction.predictor import GetRows, Predictor
from skline.serving.prediction.recorder import Recorder
from skline.serving.protocols import mlflow
from skline.serving.protocols.columns import check_columns
from skline.serving.security.context import RequestContext, headers_by_name
from skline.serving.settings import ServiceSettings
from skline.serving.tables.media_types import TABLE_TYPES, require_pyarrow
from skline.serving.transport.body import BATCH_TYPES, context_of, media_type, read_body
from skline.serving.transport.responses import JSONBytesResponse

if TYPE_CHECKING:
    from skline.serving.tables.predictor import TablePredictor

EXPLAIN = {
    "name": "explain",
    "in": "query",
    "required": False,
    "schema": {"type": "boolean", "default": False},
    "description": "Also return the contribution of each input to the score",
}
LABELS = {
    "name": "labels",
    "in": "query",
    "required": False,
    "schema": {"enum": ["contract", "table"], "default": "contract"},
    "description": "`table`: name the classes as the training table writes them, such as ja and nein",
}
#: What OpenAPI says of a body that is a table.
TABLE_CONTENT = {name.decode(): {"schema": {"type": "string", "format": "binary"}} for name in sorted(TABLE_TYPES)}
TABLE_DESCRIPTION = (
    "Also text/csv with a header line; and, if pyarrow is installed, an Arrow IPC stream or Parquet, which get a "
    "response of the same type"
)


def make_router(
    predictor: Predictor,
    recorder: Recorder,
    parser: RequestParser,
    settings: ServiceSettings,
    *,
    looks_up: bool = False,
) -> APIRouter:
    """Build the routes for a predictor's contract; they are fast routes, see `skline.serving.transport.dispatch`."""
    predict_table = TableRoute(predictor, recorder, parser, settings)
    router = APIRouter(tags=["predict"])
    prediction: Any = response_model(parser.contract, looks_up=looks_up)
    predictions = create_model(
        "PredictBatchResponse", predictions=(list[prediction], Field(description="In the order of the rows"))
    )
    row_schema = parser.row_schema
    rows_schema = {"type": "array", "items": row_schema, "maxItems": settings.max_batch_rows}
    example = row_schema["example"]
    batch_body = _request_body(rows_schema, [example], TABLE_DESCRIPTION, TABLE_CONTENT)
    max_bytes, request_seconds = settings.max_body_bytes, settings.limits.request_seconds
    errors = error_responses(413, 422, 503)
    entity = entity_parameter(settings.entity_header)

    @router.post(
        "/predict",
        response_model=prediction,
        responses=errors,
        openapi_extra=_request_body(row_schema, example) | {"parameters": [EXPLAIN, LABELS, entity]},
    )
    async def predict(request: Request) -> Response:
        """Predict one row."""
        body = await read_body(request, max_bytes, request_seconds)
        if not request.scope["query_string"]:
            return JSONBytesResponse(to_json(await predictor.predict_json(body, context_of(request))))
        explain, labels = wants_explanation(request), requested_labels(request, parser.contract)
        content = await predictor.predict_json(body, context_of(request), explain=explain)
        return JSONBytesResponse(to_json(relabelled(content, labels)))

    @router.post(
        "/predict/batch",
        response_model=predictions,
        responses=errors | {200: {"content": TABLE_CONTENT}},
        openapi_extra=batch_body | {"parameters": [LABELS, entity]},
    )
    async def predict_batch(request: Request) -> Response:
        """Predict many rows, as JSON, CSV or a table; one invalid row rejects the batch, and the error names it."""
        body = await read_body(request, max_bytes, request_seconds, BATCH_TYPES | TABLE_TYPES)
        labels = requested_labels(request, parser.contract) if request.scope["query_string"] else {}
        type_of_body = media_type(headers_by_name(request.scope["headers"]).get(b"content-type", b""))
        if type_of_body in TABLE_TYPES:
            return await predict_table(body, type_of_body, context_of(request), labels)
        get_rows = rows_reader(request, body, parser)
        content = await predictor.predict_batch_as_json(get_rows, context_of(request))
        if labels:
            content = await run_in_threadpool(relabelled_batch, content, labels)
        return JSONBytesResponse(content)

    return router


def entity_parameter(header: str) -> dict[str, Any]:
    """Return the description of the request header that names an entity, for OpenAPI."""
    return {
        "name": header,
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": "The entity that the request is about, such as a customer's number: the log stores a keyed hash "
        "of it, and an experiment gives all requests of an entity the same arm",
    }


class TableRoute:
    """Responds to a batch that is a table. pyarrow is imported with the first one, in a thread."""

    def __init__(
        self, predictor: Predictor, recorder: Recorder, parser: RequestParser, settings: ServiceSettings
    ) -> None:
        self._parts = predictor, recorder, parser
        self._limits = settings.max_batch_rows, settings.max_table_bytes
        self._tables: TablePredictor | None = None

    async def __call__(
        self, body: bytes, media_type: bytes, context: RequestContext | None, labels: Mapping[str, str]
    ) -> Response:
        """Return the response; RequestError (415) if pyarrow is not installed."""
        if self._tables is None:
            require_pyarrow()
            self._tables = await run_in_threadpool(self._make)
        content = await self._tables.predict(body, media_type, context, labels)
        return Response(content, media_type=media_type.decode())

    def _make(self) -> "TablePredictor":
        from skline.serving.tables.predictor import TablePredictor
        from skline.serving.tables.reading import TableLimits

        return TablePredictor(*self._parts, TableLimits(*self._limits))


def rows_reader(request: Request, body: bytes, parser: RequestParser) -> GetRows:
    """Return the function that reads the rows of a batch: from JSON, or from CSV if the Content-Type says so."""
    content_type = request.headers.get("content-type", "")
    if not mlflow.is_csv(content_type):
        return lambda: parser.parse_rows(body)

    def read_csv() -> Sequence[Row]:
        rows = mlflow.parse(body, content_type, parser.contract, parser.max_rows)
        check_columns(parser.contract, rows)
        return parser.validate_rows(rows)

    return read_csv


def wants_explanation(request: Request) -> bool:
    """Parse ?explain=; RequestError unless it is true or false."""
    value = request.query_params.get("explain", "false")
    if value not in ("true", "false"):
        raise RequestError(
            422, f"explain must be true or false, not {value[:20]!r}", "bool_parsing", loc=("query", "explain")
        )
    return value == "true"


def requested_labels(request: Request, contract: Contract) -> dict[str, str]:
    """Parse ?labels=; RequestError unless it is contract or table. Returns the labels by class name that replace it."""
    value = request.query_params.get("labels", "contract")
    if value not in ("contract", "table"):
        raise RequestError(
            422, f"labels must be contract or table, not {value[:20]!r}", "enum", loc=("query", "labels")
        )
    return contract.table_labels if value == "table" else {}


def response_model(contract: Contract, *, looks_up: bool = False) -> type[BaseModel]:
    """Generate the type of one prediction, by a model that looks inputs up or does not."""
    fields: dict[str, Any] = {
        "prediction": (prediction_type(contract, table_labels=True), Field(description=contract.target.description)),
    }
    if contract.classes is not None:
        fields["probabilities"] = (dict[str, float], Field(description="By class; they sum to 1"))
    else:
        fields["interval"] = (
            tuple[float, float] | None,
            Field(default=None, description="Lower and upper bound; the model card states their coverage"),
        )
    fields["model_version"] = (str, Field(description="Project and start of the artifact's digest"))
    fields["prediction_id"] = (str, Field(description="Unique; send it with the label when the true value is known"))
    fields["explanation"] = (
        Explanation | None,
        Field(default=None, description="Only if requested: the contribution of each input to the score"),
    )
    fields["no_explanation"] = (
        str | None,
        Field(default=None, description="Only if requested and not available: the reason"),
    )
    fields["review"] = (
        bool | None,
        Field(default=None, description="Only if review is enabled: whether people will review this prediction"),
    )
    fields["fallback"] = (
        Literal["previous", "fixed", "rule"] | None,
        Field(default=None, description="Only if the model failed: the fallback that predicted instead"),
    )
    if looks_up:
        fields["lookups"] = (
            dict[str, Outcome],
            Field(description="What became of each look-up: found, or why its inputs are missing"),
        )
    return create_model("PredictResponse", __config__=ConfigDict(protected_namespaces=()), **fields)


def _request_body(
    schema: dict[str, Any], example: Any, description: str | None = None, others: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Describe a request body for OpenAPI: as JSON, and of other content types."""
    content = {"application/json": {"schema": schema, "example": example}, **(others or {})}
    described = {} if description is None else {"description": description}
    return {"requestBody": {"required": True, **described, "content": content}}
