"""What turned out to be true."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Body
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from serving.errors import RequestRefused
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


def make_router(labels: Labels) -> APIRouter:
    """Build the route."""
    router = APIRouter(tags=["labels"])

    @router.post("/labels", responses={503: {"description": "The log cannot be written; send the same list again"}})
    async def add_labels(given: Annotated[list[Label], Body(max_length=MOST_LABELS)]) -> Taken:
        """Add labels, by prediction id or by entity and time. They are durable when this answers; none is changed."""
        return Taken.model_validate(asdict(await append(labels, given)))

    return router


async def append(labels: Labels, given: list[Label]) -> Appended:
    """Add labels in a thread; 503 if the log cannot be written."""
    try:
        return await run_in_threadpool(labels.append, given)
    except StoreUnavailable as error:
        words = f"the log cannot be written now ({error}); send it again"
        raise RequestRefused(503, words, "log_unavailable") from error
