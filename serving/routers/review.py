"""Predictions that people look at, and what they find."""

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from serving.errors import RequestRefused
from serving.requests import read_body
from serving.review import Reason
from serving.routers.labels import Taken, append, described
from serving.settings import ServiceSettings
from skline.contract.spec import Contract, Scalar
from skline.logs.labels import Label, Labels, target_type
from skline.logs.settings import LogSettings
from skline.logs.store import StoreUnavailable, open_store


class Waiting(BaseModel):
    """A prediction that waits for somebody to look at it."""

    model_config = ConfigDict(protected_namespaces=())

    prediction_id: str
    time: int = Field(description="When it was made: microseconds since 1970, UTC")
    model_version: str
    reason: Literal["band", "sample"] = Field(description="Its score is in the band, or it was drawn at random")
    inputs: dict[str, Any]
    prediction: Scalar
    probabilities: dict[str, float] | None


class Finding(BaseModel):
    """What somebody found."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    label: Scalar = Field(description="The target's true value")


FINDING = TypeAdapter(Finding)
#: A finding is one value.
MOST_BYTES = 64 * 2**10


def make_router(settings: ServiceSettings, labels: Labels, contract: Contract) -> APIRouter:
    """Build the routes."""
    router = APIRouter(prefix="/review", tags=["review"])
    unavailable: dict[int | str, dict[str, Any]] = {503: {"description": "The log cannot be read or written"}}

    @router.get("", responses=unavailable)
    async def waiting(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[Waiting]:
        """List predictions that wait for review, the oldest first. Those of sealed days are not among them."""
        return await run_in_threadpool(_waiting, settings.log, limit)

    refusals = unavailable | {
        413: {"description": "The body is too large"},
        422: {"description": "The label is none, or does not fit the target"},
    }

    @router.post("/{prediction_id}", responses=refusals, openapi_extra=_described(contract))
    async def found(request: Request, prediction_id: Annotated[str, Path(max_length=200, pattern="^[!-~]+$")]) -> Taken:
        """Write down what was found; it is a label like any other, and takes the prediction off the list."""
        finding = FINDING.validate_json(await read_body(request, MOST_BYTES, settings.limits.request_seconds))
        taken = await append(labels, [Label(prediction_id=prediction_id, label=finding.label)])
        if taken.refused:
            raise RequestRefused(422, taken.refused[0].reason, "label_refused", loc=("body", "label"))
        return Taken(new=taken.new, known=taken.known, refused=[])

    return router


def _described(contract: Contract) -> dict[str, Any]:
    """Describe a finding: its label is a value of the target."""
    content = described(FINDING)
    label = content["requestBody"]["content"]["application/json"]["schema"]["properties"]["label"]
    label["anyOf"] = [target_type(contract).json_schema()]
    if contract.classes is not None:
        label["enum"] = [*contract.classes]
    return content


def _waiting(settings: LogSettings, limit: int) -> list[Waiting]:
    """Ask the log."""
    try:
        store = open_store(settings)
        try:
            rows = store.to_review(limit)
        finally:
            store.close()
    except StoreUnavailable as error:
        raise RequestRefused(503, f"the log cannot be read now ({error}); ask again", "log_unavailable") from error
    return [
        Waiting(
            prediction_id=row["prediction_id"],
            time=row["time"],
            model_version=row["model_version"],
            reason="sample" if row["review"] == Reason.SAMPLE else "band",
            inputs=orjson.loads(row["inputs"]),
            prediction=orjson.loads(row["prediction"]),
            probabilities=None if row["probabilities"] is None else orjson.loads(row["probabilities"]),
        )
        for row in rows
    ]
