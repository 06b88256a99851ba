"""Predictions that people review, and the results of their reviews."""

import logging
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from skline.contract.spec import Contract, Scalar
from skline.logs.labels import Label, LabelLog, target_type
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.logs.stores.base import StoreUnavailable
from skline.serving.api.labels import LabelsResult, append, as_response, request_body_schema
from skline.serving.api.openapi import error_responses
from skline.serving.errors import RequestError
from skline.serving.prediction.parsing import SMALL_BODY_BYTES
from skline.serving.prediction.review import Reason
from skline.serving.settings import ServiceSettings
from skline.serving.transport.body import read_body

log = logging.getLogger("skline.serving")


class PendingReview(BaseModel):
    """A prediction that waits for review."""

    model_config = ConfigDict(protected_namespaces=())

    prediction_id: str
    time: int = Field(description="Time of the prediction: microseconds since 1970, UTC")
    model_version: str
    reason: Literal["band", "sample"] = Field(description="Its score is in the band, or it was sampled at random")
    inputs: dict[str, Any]
    prediction: Scalar
    probabilities: dict[str, float] | None


class ReviewResult(BaseModel):
    """The result of a review."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    label: Scalar = Field(description="The target's true value")


REVIEW_RESULT = TypeAdapter(ReviewResult)
#: A review result is one value, which is validated in the event loop.
MAX_REVIEW_BYTES = SMALL_BODY_BYTES


def make_router(settings: ServiceSettings, labels: LabelLog, contract: Contract) -> APIRouter:
    """Build the routes."""
    router = APIRouter(prefix="/review", tags=["review"])
    log_unavailable = {503: "The log cannot be read or written"}

    @router.get("", responses=error_responses(503, descriptions=log_unavailable))
    async def list_pending(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[PendingReview]:
        """List predictions that wait for review, the oldest first, without those of days that are sealed."""
        return await run_in_threadpool(_read_pending, settings.log, limit)

    descriptions = log_unavailable | {422: "The body is not a label, or the label is not a value of the target"}

    @router.post(
        "/{prediction_id}",
        responses=error_responses(413, 422, 503, descriptions=descriptions),
        openapi_extra=_request_body(contract),
    )
    async def submit_review(
        request: Request, prediction_id: Annotated[str, Path(max_length=200, pattern="^[!-~]+$")]
    ) -> LabelsResult:
        """Store the result of a review; it is a label like any other, and removes the prediction from the list."""
        body = await read_body(request, MAX_REVIEW_BYTES, settings.limits.request_seconds)
        result = REVIEW_RESULT.validate_json(body)
        appended = await append(labels, [Label(prediction_id=prediction_id, label=result.label)])
        if appended.rejected:
            raise RequestError(422, appended.rejected[0].reason, "label_rejected", loc=("body", "label"))
        return as_response(appended)

    return router


def _request_body(contract: Contract) -> dict[str, Any]:
    """Describe a review result, whose label is a value of the target."""
    content = request_body_schema(REVIEW_RESULT)
    label = content["requestBody"]["content"]["application/json"]["schema"]["properties"]["label"]
    label["anyOf"] = [target_type(contract).json_schema()]
    if contract.classes is not None:
        label["enum"] = [*contract.classes]
    return content


def _read_pending(settings: LogSettings, limit: int) -> list[PendingReview]:
    """Read predictions that wait for review from the log."""
    try:
        store = open_store(settings)
        try:
            rows = store.pending_reviews(limit)
        finally:
            store.close()
    except StoreUnavailable as error:
        log.warning("predictions that wait for review are not listed: %s", error)
        raise RequestError(503, "the log cannot be read now; retry", "log_unavailable") from error
    return [
        PendingReview(
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
