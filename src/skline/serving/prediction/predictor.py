"""Predict for a request: parse its rows, score them, record them, and build the response."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from skline.contract.spec import Row
from skline.lookups.online import LookedUpRow, LookupFailed, Lookups
from skline.serving.errors import RequestError
from skline.serving.models.model import LoadedModel
from skline.serving.models.response import Content
from skline.serving.prediction.experiment_router import ExperimentRouter
from skline.serving.prediction.explanations import ExplanationService
from skline.serving.prediction.parsing import SMALL_BODY_BYTES, RequestParser
from skline.serving.prediction.recorder import PredictedBatch, Recorder, Serialize, empty_batch, serialize_batch
from skline.serving.prediction.scoring import ScoringWithFallback, Unscored
from skline.serving.releases.manager import ActiveRelease, ModelManager
from skline.serving.security.context import RequestContext

Result = TypeVar("Result")
#: Returns the validated rows of a request; raises RequestError or pydantic.ValidationError.
GetRows = Callable[[], Sequence[Row]]


class Predictor:
    """Predicts for requests by the current release.

    Parameters
    ----------
    models : ModelManager
    parser : RequestParser
    scoring : ScoringWithFallback
    recorder : Recorder
    explanations : ExplanationService
    router : ExperimentRouter
        Gets the requests while an experiment runs.
    lookups : Lookups or None
        Adds the inputs that callers do not send; None if they send all.
    """

    def __init__(
        self,
        models: ModelManager,
        parser: RequestParser,
        scoring: ScoringWithFallback,
        recorder: Recorder,
        explanations: ExplanationService,
        router: ExperimentRouter,
        lookups: Lookups | None,
    ) -> None:
        self._models, self._parser, self._scoring = models, parser, scoring
        self._recorder, self._explanations, self._router = recorder, explanations, router
        self._lookups = lookups

    async def predict_json(
        self, body: bytes, context: RequestContext | None = None, *, explain: bool = False
    ) -> Content:
        """Predict for a JSON object; `explain` adds the contribution of each input.

        Raises
        ------
        ValidationFailed
            With the field and the rule that the row breaks.
        RequestError
            422 if the model cannot score the row or a look-up without fallback has no values for it, 503 if neither the
            model nor a fallback can predict now, or the store of such a look-up fails.
        """
        release = self._current_release()
        if len(body) <= SMALL_BODY_BYTES:
            row = self._parser.parse_row(body)
        else:
            row = await self._scoring.run_in_slot(self._parser.parse_row, body)
        return await self.predict_row(release, row, context, explain=explain)

    async def predict_row(
        self, release: ActiveRelease | None, row: Row, context: RequestContext | None, *, explain: bool = False
    ) -> Content:
        """Predict for a validated row by a release, by the current one if it is None; raises as `predict_json` does."""
        release = release or self._current_release()
        if self._lookups is not None:
            row = await _looked_up_row(self._lookups, row)
        model, experiment = (None, None) if release is None else release
        if model is not None and experiment is not None:
            return await self._router.predict_row(model, experiment, row, context, explain=explain)
        scored, builder = await self._scoring.score_row(model, row)
        content = await self._recorder.record_row_durably(row, scored, builder, context)
        if explain:
            by_model = model is not None and builder is model.response_builder
            content |= await self._explanations.explain(model if by_model else None, row)
        return content

    async def predict_batch_as_json(self, get_rows: GetRows, context: RequestContext | None = None) -> bytes:
        """Predict for the rows that `get_rows` returns, and return JSON; raises as `predict_json` does.

        `get_rows` is called in the slot and the thread in which the rows are scored: parsing a large body takes time
        and memory, so one body is parsed at a time.
        """
        return (await self._predict_batch(get_rows, context, serialize_batch)).body

    async def predict_batch(self, get_rows: GetRows, context: RequestContext | None = None) -> PredictedBatch:
        """Predict for the rows that `get_rows` returns, as `predict_batch_as_json` does, without serializing them."""
        return await self._predict_batch(get_rows, context, None)

    @property
    def plain_model(self) -> LoadedModel | None:
        """The current model, if it alone determines predictions: no experiment runs, and nothing is looked up."""
        release = self._models.current
        if release is None or release.experiment is not None or self._lookups is not None:
            return None
        return release.model

    async def predict_prepared(self, work: Callable[[], PredictedBatch | None]) -> PredictedBatch | None:
        """Run work that parses, scores and prepares a batch, in the slot and the thread of batches, and record it.

        The work may return None, to be done in another way; nothing is recorded then.
        """
        result = await self._scoring.run_in_slot(work)
        if result is not None:
            await self._recorder.record_batch(result)
        return result

    async def run_in_batch_thread(self, work: Callable[[], Result]) -> Result:
        """Run blocking work in the thread in which batches are scored."""
        return await self._scoring.run_in_batch_thread(work)

    async def close(self) -> None:
        """Score the rows that wait, close the models, and end the threads."""
        await self._models.close()
        self._scoring.close()
        self._explanations.close()

    async def _predict_batch(
        self, get_rows: GetRows, context: RequestContext | None, serialize: Serialize | None
    ) -> PredictedBatch:
        """Parse, score and serialize in one call in the batch thread, unless the model fails or an experiment runs."""
        release, scoring, recorder = self._current_release(), self._scoring, self._recorder
        if self._lookups is not None:
            get_rows = partial(_looked_up_rows, self._lookups, get_rows)
        model, experiment = (None, None) if release is None else release
        if model is not None and experiment is not None:
            return await self._router.predict_batch(model, experiment, get_rows, context, serialize)
        result = await scoring.run_in_slot(self._parse_and_score, get_rows, model, context, serialize)
        if isinstance(result, Unscored):
            scores, builder = await scoring.score_by_fallback(result)
            result = await scoring.run_in_batch_thread(
                recorder.prepare_batch, result.rows, scores, builder, context, serialize
            )
        await recorder.record_batch(result)
        return result

    def _parse_and_score(
        self,
        get_rows: GetRows,
        model: LoadedModel | None,
        context: RequestContext | None,
        serialize: Serialize | None,
    ) -> PredictedBatch | Unscored:
        """Parse and score a batch by the model."""
        rows = get_rows()
        if not rows and model is not None:
            return empty_batch(model.response_builder, serialize)
        result = self._scoring.score_by_model(model, rows)
        if isinstance(result, Unscored):
            return result
        return self._recorder.prepare_batch(rows, *result, context, serialize)

    def _current_release(self) -> ActiveRelease | None:
        """Return the current release; RequestError (503) if there is none, and no fallback works without a model."""
        release = self._models.current
        if release is None and not self._scoring.works_without_model:
            raise RequestError(503, "the model is not loaded; see /health/ready", "not_ready")
        return release


async def _looked_up_row(lookups: Lookups, row: Row) -> LookedUpRow:
    """Add the looked-up inputs of a row; RequestError if its look-up fails and has no fallback."""
    try:
        return await lookups.fill_row(row)
    except LookupFailed as error:
        raise lookup_failed(error) from None


def _looked_up_rows(lookups: Lookups, get_rows: GetRows) -> Sequence[LookedUpRow]:
    """Add the looked-up inputs of many rows; RequestError if the look-up of one fails and has no fallback."""
    try:
        return lookups.fill_rows(get_rows())
    except LookupFailed as error:
        raise lookup_failed(error, loc=("body", error.row)) from None


def lookup_failed(error: LookupFailed, loc: Sequence[str | int] = ("body",)) -> RequestError:
    """Return the error of a row without looked-up values: 503 if the store failed, 422 if it has none for the row."""
    if error.is_store_failure:
        return RequestError(503, str(error), "lookup_failed")
    return RequestError(422, str(error), "lookup_missing", loc=loc)
