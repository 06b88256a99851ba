"""Handle requests for single rows that arrive in the same iteration of the event loop together.

In one iteration the event loop reads all connections that have input, so the requests of concurrent clients are there
at the same time. They are parsed, scored and recorded step by step for all of them, and scored as one batch if the
model's predictions cannot depend on the other rows. A client that is alone does not wait for any other.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial

from skline.contract.spec import Row
from skline.scoring.scores import RowScore
from skline.serving.models.response import Content, check_row, check_rows, not_scorable, to_json
from skline.serving.observability.tracing import CURRENT_TRACE
from skline.serving.prediction.fallbacks import describe_failure
from skline.serving.prediction.parsing import RequestParser
from skline.serving.prediction.recorder import Recorder
from skline.serving.releases.manager import ActiveRelease, ModelManager
from skline.serving.security.context import RequestContext
from skline.serving.transport.body import check_body
from skline.serving.transport.request import BufferedRequest, Reply

log = logging.getLogger("skline.serving")

ParsedRequest = tuple[Row, BufferedRequest]
#: Predicts for a row by a release, as `Predictor.predict_row` does.
PredictRow = Callable[[ActiveRelease | None, Row, RequestContext], Awaitable[Content]]
#: From this number of rows on, requests are handled as a batch. It saves time in all steps together; scoring alone is
#: faster by batches from about 20 rows on.
MIN_BATCH = 4


class RequestCoalescer:
    """Handles requests for single rows, as the handler of the fast path.

    Parameters
    ----------
    models : ModelManager
    parser : RequestParser
    recorder : Recorder
    predict_row : callable
        Predicts for the rows whose response cannot be built at once: see `handle`.
    looks_up : bool
        Whether rows have to be completed by look-ups.
    """

    def __init__(
        self,
        models: ModelManager,
        parser: RequestParser,
        recorder: Recorder,
        predict_row: PredictRow,
        *,
        looks_up: bool = False,
    ) -> None:
        self._models, self._parser, self._recorder, self._predict_row = models, parser, recorder, predict_row
        self._always_later = looks_up or recorder.log_is_sync
        self._tasks: set[asyncio.Task[None]] = set()

    def handle(self, requests: Sequence[BufferedRequest], reply: Reply) -> None:
        """Respond to requests for one row each, at once where possible.

        Experiments, the pipeline's batches, look-ups, the log in sync mode and fallbacks have to be awaited: those
        responses are sent later.
        """
        release = self._models.current
        parsed = list(self._parse(requests, reply))
        if release is None or release.experiment is not None or self._always_later:
            for row, request in parsed:
                self._respond_later(release, row, request, reply)
        elif len(parsed) < MIN_BATCH or not release.model.scorer.batch_invariant:
            self._score_each(release, parsed, reply)
        else:
            self._score_batch(release, parsed, reply)

    async def close(self) -> None:
        """Wait for the responses that are sent later."""
        await asyncio.gather(*self._tasks)

    def _parse(self, requests: Sequence[BufferedRequest], reply: Reply) -> Iterator[ParsedRequest]:
        """Parse each row; reply with the error to the invalid ones."""
        parse_row = self._parser.parse_row
        for request in requests:
            try:
                check_body(request.body, request.context.headers)
                row = parse_row(request.body)
            except Exception as error:  # noqa: BLE001 - it becomes the response
                reply(request, error)
            else:
                yield row, request

    def _score_batch(self, release: ActiveRelease, parsed: Sequence[ParsedRequest], reply: Reply) -> None:
        """Score rows as a batch; if that fails, score each of them, so that only the bad ones get an error."""
        model, rows = release.model, [row for row, _ in parsed]
        try:
            scores = model.scorer.score_rows(rows)
            check_rows(scores)
        except Exception as error:  # noqa: BLE001 - see the docstring
            log.debug("a batch failed, its rows are scored one by one: %s", describe_failure(error))
            self._score_each(release, parsed, reply)
            return
        contexts = [request.context for _, request in parsed]
        contents = self._recorder.record_coalesced_requests(rows, scores, model.response_builder, contexts)
        for (_, request), content in zip(parsed, contents, strict=True):
            reply(request, to_json(content))

    def _score_each(self, release: ActiveRelease, parsed: Sequence[ParsedRequest], reply: Reply) -> None:
        """Score rows one by one: at once by a plan, or with the rows of other requests by a pipeline."""
        for row, request in parsed:
            release.model.scorer.submit(row, partial(self._on_scored, release, row, request, reply))

    def _on_scored(
        self,
        release: ActiveRelease,
        row: Row,
        request: BufferedRequest,
        reply: Reply,
        scored: RowScore | Exception,
    ) -> None:
        """Respond with the model's prediction; if the model failed, try again where fallbacks can be awaited."""
        if isinstance(scored, ValueError):
            reply(request, not_scorable(scored))
        elif isinstance(scored, Exception):
            log.debug("a row failed, it is scored again with fallbacks: %s", describe_failure(scored))
            self._respond_later(release, row, request, reply)
        else:
            try:
                check_row(scored)
                builder = release.model.response_builder
                result: bytes | Exception = to_json(self._recorder.record_row(row, scored, builder, request.context))
            except Exception as error:  # noqa: BLE001 - it becomes the response
                result = error
            reply(request, result)

    def _respond_later(self, release: ActiveRelease | None, row: Row, request: BufferedRequest, reply: Reply) -> None:
        """Predict for a row in a task of its own."""
        task = asyncio.create_task(self._predict_and_reply(release, row, request, reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _predict_and_reply(
        self, release: ActiveRelease | None, row: Row, request: BufferedRequest, reply: Reply
    ) -> None:
        CURRENT_TRACE.set(request.context.trace)
        try:
            result: bytes | Exception = to_json(await self._predict_row(release, row, request.context))
        except Exception as error:  # noqa: BLE001 - it becomes the response
            result = error
        reply(request, result)
