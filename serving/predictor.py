"""From a request body to an answer: validate rows, score them, count them, write JSON."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from serving.errors import RequestRefused
from serving.metrics import Metrics
from serving.model import Answers, Bodies, Row, check_row, check_rows, new_ids, not_scorable
from serving.scorers import Scorer, load
from serving.settings import ServiceSettings
from skline.artifact import Artifact, Scoring
from skline.errors import SklineError
from skline.scoring.answers import Scores
from skline.scoring.microbatch import Closed, QueueFull

log = logging.getLogger("skline.serving")


class Predictor:
    """Answers for one artifact. Not ready until `load` has proved the golden rows."""

    def __init__(self, artifact: Artifact, settings: ServiceSettings, metrics: Metrics) -> None:
        """Generate the request types; nothing is deserialised yet."""
        self.artifact = artifact
        self.metrics = metrics
        self.bodies = Bodies(artifact, settings.max_batch_rows)
        self.answers = Answers(artifact)
        self.scorer: Scorer | None = None
        self.refused: str | None = None
        self._batching = settings.batching()
        # Batches take turns: they would only contend for the interpreter, and single rows with them.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batch")

    def load(self) -> None:
        """Load the scorer and prove it; keep the reason if it is refused. Takes its time: call it in a thread."""
        try:
            scorer = load(self.artifact, self.metrics.micro_batch, **self._batching)
        except SklineError as error:
            self.refused = str(error)
            log.error("%s is refused: %s", self.artifact.version, error)  # noqa: TRY400 - the sentence says all
            return
        self.metrics.loaded(self.artifact, scorer)
        self.scorer = scorer
        log.info("%s is ready", self.artifact.version)

    @property
    def ready(self) -> bool:
        """Whether predictions can be asked for."""
        return self.scorer is not None

    @property
    def scoring(self) -> Scoring | None:
        """How rows are scored here; None until that is known."""
        return None if self.scorer is None else self.scorer.scoring

    async def answer_row(self, body: bytes) -> bytes:
        """Answer a JSON object with a JSON object.

        Raises
        ------
        pydantic.ValidationError
            Naming the field and the rule that the row breaks.
        RequestRefused
            If the model cannot score the row, or cannot be asked now.
        """
        scorer = self._ready_scorer()
        row = self.bodies.read_row(body)
        try:
            answer = await scorer.score_row(row)
        except (QueueFull, Closed) as error:
            raise RequestRefused(503, str(error), "busy") from error
        except ValueError as error:
            raise not_scorable(error) from error
        check_row(answer)
        self.metrics.row(row, answer)
        return self.answers.one(answer, new_ids(1)[0])

    async def answer_rows(self, body: bytes) -> bytes:
        """Answer a JSON array of rows, in a thread; raises as `answer_row` does."""
        scorer = self._ready_scorer()

        def work() -> tuple[list[Row], Scores | None, bytes]:
            rows = self.bodies.read_rows(body)
            if not rows:
                return rows, None, b'{"predictions":[]}'
            scores = self._score(scorer, rows)
            return rows, scores, self.answers.many(scores, new_ids(len(rows)))

        rows, scores, answer = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        if scores is not None:
            self.metrics.rows(rows, scores)
        return answer

    async def close(self) -> None:
        """Answer what waits, and end the threads."""
        if self.scorer is not None:
            await self.scorer.close()
        self._thread.shutdown()

    def _ready_scorer(self) -> Scorer:
        """Return the scorer; 503 until there is one."""
        if self.scorer is None:
            raise RequestRefused(503, "the model is not loaded; see /health/ready", "not_ready")
        return self.scorer

    def _score(self, scorer: Scorer, rows: Sequence[Row]) -> Scores:
        """Score rows; what the model cannot score is the request's fault."""
        try:
            scores = scorer.score_rows(rows)
        except ValueError as error:
            raise not_scorable(error) from error
        check_rows(scores)
        return scores
