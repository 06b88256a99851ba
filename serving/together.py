"""Requests for single rows, answered together when they were read together.

In one turn the event loop reads every connection on which something has come. What many callers ask at once is
therefore there at once: it is checked, scored and answered step by step for all of them, and scored as the rows of
one batch if the model's answers cannot depend on that. A caller who is alone is answered at the same moment as
without all this.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from serving.answers import Content, check_row, check_rows, not_scorable, scores_of, write
from serving.asked import Asked
from serving.bodies import Row
from serving.fallbacks import failure
from serving.model import Model
from serving.records import records_of_each
from serving.requests import check_body
from serving.security.tracing import CURRENT
from skline.logs.records import new_prediction_ids, now_us
from skline.scoring.answers import RowAnswer

if TYPE_CHECKING:
    from serving.predictor import Predictor

log = logging.getLogger("skline.serving")

#: Takes the JSON of an answer, or why there is none.
Give = Callable[[Asked, bytes | Exception], None]
#: A row, and who asked.
Read = tuple[Row, Asked]
#: From so many rows on they are answered as a batch; its scores alone are the quicker ones from about 20 rows on.
BATCH = 4


class Together:
    """Answers the rows that a turn of the event loop has brought."""

    def __init__(self, predictor: "Predictor") -> None:
        self._predictor = predictor
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, asked: Sequence[Asked], give: Give) -> None:
        """Answer requests for a row each, now, or as soon as what has to be waited for is there.

        Waited for are experiments, the pipeline's batches, the log in sync mode, and fallbacks.
        """
        predictor = self._predictor
        model = predictor.models.current
        read = list(self._read(asked, give))
        if model is None or model.trial is not None or predictor.waits_for_log:
            for row, one in read:
                self._wait(model, row, one, give)
        elif len(read) < BATCH or not model.scorer.together:
            self._score_each(model, read, give)
        else:
            self._score_all(model, read, give)

    async def close(self) -> None:
        """Wait for the answers that are being waited for."""
        await asyncio.gather(*self._tasks)

    def _read(self, asked: Sequence[Asked], give: Give) -> Iterator[Read]:
        """Validate each row; who sent a bad one is told."""
        read_row = self._predictor.bodies.read_row
        for one in asked:
            try:
                check_body(one.body, one.visit.sent.items())
                row = read_row(one.body)
            except Exception as error:  # noqa: BLE001 - it is handed to whoever asked
                give(one, error)
            else:
                yield row, one

    def _score_all(self, model: Model, read: Sequence[Read], give: Give) -> None:
        """Score rows as a batch; one by one if that fails, so that only the bad ones are told."""
        predictor, rows = self._predictor, [row for row, _ in read]
        try:
            scores = model.scorer.score_rows(rows)
            check_rows(scores)
        except Exception as error:  # noqa: BLE001 - see the docstring
            log.debug("scored one by one: %s", failure(error))
            self._score_each(model, read, give)
            return
        now, values = now_us(), scores_of(scores)
        contents = model.answers.many(scores, new_prediction_ids(len(rows)))
        reviewed = predictor.reviewed(contents, values, now)
        if predictor.logs:
            visits = [one.visit for _, one in read]
            predictor.log.put_many(records_of_each(rows, contents, model.answers, now, reviewed, visits))
        predictor.metrics.rows(predictor.metrics.tally(rows, scores, values), source="turn")
        for (_, one), content in zip(read, contents, strict=True):
            give(one, write(content))

    def _score_each(self, model: Model, read: Sequence[Read], give: Give) -> None:
        """Score rows one by one, now or with those of other requests."""
        for row, one in read:
            model.scorer.submit(row, partial(self._scored, model, row, one, give))

    def _scored(self, model: Model, row: Row, one: Asked, give: Give, scored: RowAnswer | Exception) -> None:
        """Answer with what the model said; if it failed, it is asked again on the way that can fall back."""
        if isinstance(scored, ValueError):
            give(one, not_scorable(scored))
        elif isinstance(scored, Exception):
            log.debug("asked again: %s", failure(scored))
            self._wait(model, row, one, give)
        else:
            try:
                check_row(scored)
                content, written = self._predictor.answered(row, scored, model.answers, one.visit)
                if written is not None:
                    self._predictor.log.put(written)
                given: bytes | Exception = write(content)
            except Exception as error:  # noqa: BLE001 - it is handed to whoever asked
                given = error
            give(one, given)

    def _wait(self, model: Model | None, row: Row, one: Asked, give: Give) -> None:
        """Answer a row in a task of its own."""
        task = asyncio.create_task(_give(self._predictor.answer_read(model, row, one.visit), one, give))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _give(content: Coroutine[Any, Any, Content], one: Asked, give: Give) -> None:
    """Wait for an answer and hand it on."""
    CURRENT.set(one.visit.trace)
    try:
        given: bytes | Exception = write(await content)
    except Exception as error:  # noqa: BLE001 - it is handed to whoever asked
        given = error
    give(one, given)
