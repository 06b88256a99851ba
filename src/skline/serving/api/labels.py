"""True values of predictions, sent later by the callers."""

import logging
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field, TypeAdapter

from skline.logs.labels import AppendResult, Label, LabelLog, RejectedLabel
from skline.logs.stores.base import StoreUnavailable
from skline.serving.api.openapi import error_responses
from skline.serving.errors import RequestError
from skline.serving.prediction.body_checks import check_structure
from skline.serving.prediction.parsing import MAX_EXTRA_VALUES
from skline.serving.prediction.validation import parse_list, validate_in_parts
from skline.serving.security.concurrency import ConcurrencyLimiter
from skline.serving.settings import ServiceSettings
from skline.serving.transport.body import read_body

MAX_LABELS = 10_000
#: Values of a list: each label may have one that it must not have; and members of one label.
MAX_VALUES = MAX_LABELS * (len(Label.model_fields) + 1)
MAX_MEMBERS = len(Label.model_fields) + MAX_EXTRA_VALUES

log = logging.getLogger("skline.serving")


class LabelsResult(BaseModel):
    """The outcome of a list of labels."""

    new: int
    duplicates: int = Field(description="Labels that were stored before: sending a list twice changes nothing")
    rejected: list[RejectedLabel]
    unknown: int = Field(
        description="Stored labels whose prediction id is not in the log: no such prediction yet, or not any more"
    )


LABELS: TypeAdapter[list[Label]] = TypeAdapter(Annotated[list[Label], Field(max_length=MAX_LABELS)])


def make_router(labels: LabelLog, limiter: ConcurrencyLimiter, settings: ServiceSettings) -> APIRouter:
    """Build the route; a list of labels takes one of the limiter's slots."""
    router = APIRouter(tags=["labels"])
    errors = error_responses(
        413,
        422,
        503,
        descriptions={
            422: "The body is not a list of labels",
            503: "The log cannot be written, or other lists wait for it; send the same list again",
        },
    )

    @router.post("/labels", responses=errors, openapi_extra=request_body_schema(LABELS))
    async def add_labels(request: Request) -> LabelsResult:
        """Store labels by prediction id, or by entity and time; durable on return, and never changed afterwards."""
        body = await read_body(request, settings.max_body_bytes, settings.limits.request_seconds)
        async with limiter.slot():
            return as_response(await append(labels, await run_in_threadpool(_parse, body)))

    return router


def as_response(result: AppendResult) -> LabelsResult:
    """Convert the result of an append to the response body."""
    return LabelsResult(new=result.new, duplicates=result.duplicates, rejected=result.rejected, unknown=result.unknown)


def _parse(body: bytes) -> list[Label]:
    """Parse a list of labels; RequestError if it is invalid."""
    check_structure(body, values=MAX_VALUES, objects=MAX_LABELS + MAX_MEMBERS, members=MAX_MEMBERS)
    values = parse_list(body)
    if len(values) > MAX_LABELS:
        message = f"the list has {len(values)} labels, but at most {MAX_LABELS} are allowed; split it"
        raise RequestError(422, message, "too_long")
    return validate_in_parts(values, LABELS.validate_json)


def request_body_schema(body: TypeAdapter[Any]) -> dict[str, Any]:
    """Describe, for OpenAPI, the body of a route that parses it itself."""
    schema = body.json_schema()
    # OpenAPI resolves `$defs` from the root of the document, not from the root of this schema.
    for name, definition in schema.pop("$defs", {}).items():
        if schema.get("items") == {"$ref": f"#/$defs/{name}"}:
            schema["items"] = definition
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


async def append(labels: LabelLog, items: list[Label]) -> AppendResult:
    """Store labels in a thread; RequestError (503) if the log cannot be written."""
    try:
        return await run_in_threadpool(labels.append, items)
    except StoreUnavailable as error:
        log.warning("labels are not stored: %s", error)
        message = "the log cannot be written now; send the same labels again"
        raise RequestError(503, message, "log_unavailable") from error
