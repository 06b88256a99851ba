"""Build the response to each prediction, decide on its review, count it in the metrics, and log it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skline.clock import now_us
from skline.contract.spec import Row
from skline.ids import new_prediction_id, new_prediction_ids
from skline.logs.records import Prediction
from skline.logs.request_rows import RequestRows
from skline.logs.writer import NotDurable, PredictionLog
from skline.lookups.online import LookedUpRow
from skline.scoring.scores import FloatArray, RowScore, Scores
from skline.serving.errors import RequestError
from skline.serving.models.response import Content, ResponseBuilder, score_of, scores_of, to_json
from skline.serving.observability.metrics import BatchSummary, Metrics
from skline.serving.prediction.log_records import (
    make_record,
    records_for_coalesced_requests,
    records_for_request,
    shared_record,
)
from skline.serving.prediction.review import ReviewSampler
from skline.serving.releases.manager import ModelManager
from skline.serving.security.context import RequestContext

#: Serializes the responses to the rows of a batch as the body of one response.
Serialize = Callable[[Sequence[Content]], bytes]


@dataclass(frozen=True)
class PredictedBatch:
    """Predictions for the rows of one request.

    Attributes
    ----------
    builder : ResponseBuilder
        The model's, or a fallback's.
    contents : list of dict
        The response to each row; empty if `body` has them.
    records : sequence of Prediction, or RequestRows
        Records for the prediction log.
    body : bytes
        The serialized response, if a function for that was passed.
    summary : BatchSummary or None
        What the metrics count; None if there are no rows.
    """

    scores: Scores
    builder: ResponseBuilder
    contents: list[Content]
    records: Sequence[Prediction] | RequestRows
    body: bytes
    summary: BatchSummary | None


class Recorder:
    """Builds the responses to predictions, decides on their review, counts them, and logs them.

    Attributes
    ----------
    log_is_sync : bool
        Whether a response has to wait until its rows are durable in the prediction log.
    review_sampler : ReviewSampler
    """

    def __init__(
        self, models: ModelManager, review_sampler: ReviewSampler, metrics: Metrics, prediction_log: PredictionLog
    ) -> None:
        self.review_sampler = review_sampler
        self.log_is_sync = prediction_log.settings.mode == "sync"
        self._models, self._metrics, self._log = models, metrics, prediction_log
        self._log_is_on = prediction_log.settings.mode != "off"

    def record_row(
        self, row: Row, scored: RowScore, builder: ResponseBuilder, context: RequestContext | None
    ) -> Content:
        """Record one prediction without waiting for the log, and return its response."""
        content, now, review = self.build_row(row, scored, builder)
        if self._log_is_on:
            self._log.put(make_record(row, content, builder, now, review, context))
        return content

    async def record_row_durably(
        self, row: Row, scored: RowScore, builder: ResponseBuilder, context: RequestContext | None
    ) -> Content:
        """Record one prediction, with its look-ups, and in sync mode wait for the log; raises as `log` does."""
        content, now, review = self.build_row(row, scored, builder)
        add_lookups([content], [row])
        if self._log_is_on:
            await self.log([make_record(row, content, builder, now, review, context, content.get("lookups"))])
        return content

    def record_coalesced_requests(
        self, rows: Sequence[Row], scores: Scores, builder: ResponseBuilder, contexts: Sequence[RequestContext]
    ) -> list[Content]:
        """Record the predictions of many requests with one row each, without waiting for the log."""
        now, values = now_us(), scores_of(scores)
        contents, reviews = self.build_rows(scores, values, builder, new_prediction_ids(len(rows)), now)
        if self._log_is_on:
            self._log.put_many(records_for_coalesced_requests(rows, contents, builder, now, reviews, contexts))
        self._metrics.observe_batch(self._metrics.summarize(rows, scores, values), source="coalesced")
        return contents

    def prepare_batch(
        self,
        rows: Sequence[Row],
        scores: Scores,
        builder: ResponseBuilder,
        context: RequestContext | None,
        serialize: Serialize | None,
    ) -> PredictedBatch:
        """Build responses and records of one request's rows. It is slow: call it in a thread, then `record_batch`."""
        now, values = now_us(), scores_of(scores)
        contents, reviews = self.build_rows(scores, values, builder, new_prediction_ids(len(rows)), now)
        add_lookups(contents, rows)
        records: Sequence[Prediction] | RequestRows = []
        if self._log_is_on:
            as_one = self._log.accepts_request_rows
            records = records_for_request(rows, contents, builder, now, reviews, context, as_one=as_one)
        return self.finish_batch(rows, scores, values, builder, contents, records, serialize)

    @property
    def takes_columns(self) -> bool:
        """Whether `prepare_columns` can be used: no row needs work of its own."""
        reviews = self.review_sampler.active and self._models.feature_flags.review
        return not reviews and (not self._log_is_on or self._log.accepts_request_rows)

    def prepare_columns(
        self,
        columns: Mapping[str, Any],
        scores: Scores,
        builder: ResponseBuilder,
        context: RequestContext | None,
        ids: bytes,
        text_of_rows: Callable[[], str],
        body: bytes,
    ) -> PredictedBatch:
        """Build the record of one request's rows from their columns, as `prepare_batch` does from the rows.

        Parameters
        ----------
        columns : mapping of str to array or StringColumn
        scores : Scores
        builder : ResponseBuilder
        context : RequestContext or None
        ids : bytes
            The prediction ids, concatenated.
        text_of_rows : callable
            Returns the rows as the log stores them, if it does.
        body : bytes
            The response.
        """
        values = scores_of(scores)
        records: Sequence[Prediction] | RequestRows = []
        if self._log_is_on:
            names = ("inputs", "prediction", "probabilities")[: 2 if scores.probabilities is None else 3]
            shared = shared_record(builder, now_us(), context)
            records = RequestRows.of_text(shared, ids, names, text_of_rows())
        summary = self._metrics.summarize_columns(columns, scores, values)
        return PredictedBatch(scores, builder, [], records, body, summary)

    async def record_batch(self, batch: PredictedBatch) -> None:
        """Count and log the rows of a batch; raises as `log` does."""
        if batch.summary is not None:
            self._metrics.observe_batch(batch.summary, source="request")
            await self.log(batch.records)

    def build_row(self, row: Row, scored: RowScore, builder: ResponseBuilder) -> tuple[Content, int, int]:
        """Build the response to one row, decide on its review, and count it.

        Returns
        -------
        The response, the time in microseconds since 1970, and the reason of the review (0: none).
        """
        content = builder.row(scored, new_prediction_id())
        score, now, review = score_of(scored), now_us(), 0
        if self.review_sampler.active and self._models.feature_flags.review:
            review = self.review_sampler.decide(score, now)
            content["review"] = bool(review)
        self._metrics.observe_row(row, scored[0], score)
        return content, now, review

    def build_rows(
        self, scores: Scores, values: FloatArray, builder: ResponseBuilder, prediction_ids: Sequence[str], now: int
    ) -> tuple[list[Content], Sequence[int]]:
        """Build the responses to many rows and decide on their reviews, without counting them.

        Parameters
        ----------
        values : ndarray of shape (n,)
            The score of each row as one number, from `scores_of`.

        Returns
        -------
        The responses, and the reason of each review (0: none).
        """
        contents = builder.rows(scores, prediction_ids)
        if not (self.review_sampler.active and self._models.feature_flags.review):
            return contents, [0] * len(contents)
        reviews = [int(self.review_sampler.decide(value, now)) for value in values.tolist()]
        for content, review in zip(contents, reviews, strict=True):
            content["review"] = bool(review)
        return contents, reviews

    def finish_batch(
        self,
        rows: Sequence[Row],
        scores: Scores,
        values: FloatArray,
        builder: ResponseBuilder,
        contents: list[Content],
        records: Sequence[Prediction] | RequestRows,
        serialize: Serialize | None,
    ) -> PredictedBatch:
        """Summarize a batch for the metrics, and serialize its responses if a function for that is passed.

        The batch does not keep the responses then: the thread that built them frees them sooner than another thread
        could, whose core would have to fetch them into its cache first.
        """
        summary = self._metrics.summarize(rows, scores, values)
        if serialize is None:
            return PredictedBatch(scores, builder, contents, records, b"", summary)
        return PredictedBatch(scores, builder, [], records, serialize(contents), summary)

    async def log(self, records: Sequence[Prediction] | RequestRows) -> None:
        """Pass records to the log; in sync mode wait until they are durable.

        Raises
        ------
        RequestError
            503 if they cannot be made durable.
        """
        if isinstance(records, RequestRows):
            self._log.put_request(records)
        elif self.log_is_sync:
            try:
                await self._log.append(records)
            except NotDurable as error:
                raise RequestError(503, str(error), "not_logged") from error
        elif len(records) == 1:
            self._log.put(records[0])
        else:
            self._log.put_many(records)


def add_lookups(contents: Sequence[Content], rows: Sequence[Row]) -> None:
    """Add to the responses what became of the look-ups of their rows, if there were any."""
    for content, row in zip(contents, rows, strict=True):
        if not isinstance(row, LookedUpRow):
            return
        content["lookups"] = row.outcomes


def empty_batch(builder: ResponseBuilder, serialize: Serialize | None) -> PredictedBatch:
    """Return the batch of a request without rows."""
    body = b"" if serialize is None else serialize([])
    return PredictedBatch(Scores(np.empty(0), None), builder, [], [], body, None)


def serialize_batch(contents: Sequence[Content]) -> bytes:
    """Serialize the response to /predict/batch."""
    return to_json({"predictions": contents})
