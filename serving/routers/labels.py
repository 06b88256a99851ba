"""What turned out to be true."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from serving.bodies import check_values
from serving.errors import BodyRefused, RequestRefused
from serving.requests import read_body
from serving.settings import ServiceSettings
from skline.logs.labels import Appended, Label, Labels
from skline.logs.store import StoreUnavailable

MOST_LABELS = 10_000


class RefusedLabel(BaseModel):
    """A label that was not taken."""

    index: int = Field(description="Its place in the list, from 0")
    reason: str


class Taken(BaseModel):
    """What became of a list of labels."""

    new: int
    known: int = Field(description="Those that were there already: sending a list twice changes nothing")
    refused: list[RefusedLabel]


BATCH: TypeAdapter[list[Label]] = TypeAdapter(Annotated[list[Label], Field(max_length=MOST_LABELS)])


def make_router(labels: Labels, settings: ServiceSettings) -> APIRouter:
    """Build the route."""
    router = APIRouter(tags=["labels"])
    refusals: dict[int | str, dict[str, Any]] = {
        413: {"description": "The body is too large"},
        422: {"description": "The list or a label has another form"},
        503: {"description": "The log cannot be written; send the same list again"},
    }

    @router.post("/labels", responses=refusals, openapi_extra=described(BATCH))
    async def add_labels(request: Request) -> Taken:
        """Add labels, by prediction id or by entity and time. They are durable when this answers; none is changed."""
        body = await read_body(request, settings.max_body_bytes, settings.limits.request_seconds)
        given = await run_in_threadpool(_read, body)
        return Taken.model_validate(asdict(await append(labels, given)))

    return router


def _read(body: bytes) -> list[Label]:
    """Read a list of labels; BodyRefused if it is none."""
    check_values(body, MOST_LABELS * (len(Label.model_fields) + 1))
    try:
        return BATCH.validate_json(body)
    except ValidationError as error:
        raise BodyRefused(error) from None


def described(body: TypeAdapter[Any]) -> dict[str, Any]:
    """Describe a body that a route reads by itself."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": body.json_schema()}}}}


async def append(labels: Labels, given: list[Label]) -> Appended:
    """Add labels in a thread; 503 if the log cannot be written."""
    try:
        return await run_in_threadpool(labels.append, given)
    except StoreUnavailable as error:
        words = f"the log cannot be written now ({error}); send it again"
        raise RequestRefused(503, words, "log_unavailable") from error
