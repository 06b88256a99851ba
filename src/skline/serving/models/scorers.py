"""Scorers of one artifact: by the plan on the event loop, or by the pipeline in batches of concurrent requests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from skline.artifact import Artifact, Scoring
from skline.contract.spec import Row
from skline.scoring.microbatch import MicroBatcher, ResultCallback
from skline.scoring.plan import Plan
from skline.scoring.scores import RowScore, Scores


class Scorer(Protocol):
    """Scores rows by one artifact."""

    @property
    def scoring(self) -> Scoring:
        """The scoring path, plan or pipeline, and its exactness."""

    @property
    def batch_invariant(self) -> bool:
        """Whether `score_rows` gives each row the same scores as `score_row`, to the last bit."""

    @property
    def waiting(self) -> int:
        """Rows that wait to be scored."""

    async def score_row(self, row: Row) -> RowScore:
        """Score one row; ValueError if the model cannot score it."""

    def score_rows(self, rows: Sequence[Row]) -> Scores:
        """Score many rows. It blocks: call it in a thread unless the rows are few and `batch_invariant` holds."""

    def submit(self, row: Row, done: ResultCallback) -> None:
        """Score one row as `score_row` does, and call `done` with its scores or its exception, at once or later."""

    async def close(self) -> None:
        """Score the rows that wait, and end."""


def load_scorer(artifact: Artifact, on_batch: Callable[[int], None], **batching: Any) -> Scorer:
    """Load the artifact's scorer and verify it on the golden rows.

    Parameters
    ----------
    on_batch : callable
        Called with the size of each batch that the pipeline scores.
    batching
        Arguments of `MicroBatcher`, for a pipeline.

    Raises
    ------
    InvalidArtifact
        If the pipeline cannot be loaded, or does not reproduce the golden rows.
    """
    from skline.scoring.load import load_plan_or_pipeline

    loaded, scoring = load_plan_or_pipeline(artifact)
    if isinstance(loaded, Plan):
        return PlanScorer(loaded, scoring)
    return PipelineScorer(loaded, artifact, scoring, on_batch, **batching)


@dataclass(frozen=True)
class PlanScorer:
    """Scores by the plan, on the event loop: a row takes microseconds."""

    plan: Plan
    scoring: Scoring
    waiting: int = 0

    @property
    def batch_invariant(self) -> bool:
        """Whether the scores of a row cannot depend on the other rows of its batch."""
        return self.plan.exactness == "bits" and not self.plan.depends_on_batch

    async def score_row(self, row: Row) -> RowScore:
        """Score one row."""
        return self.plan.score_row(row)

    def score_rows(self, rows: Sequence[Row]) -> Scores:
        """Score many rows."""
        return self.plan.score_rows(rows)

    def submit(self, row: Row, done: ResultCallback) -> None:
        """Score one row at once."""
        try:
            scored: RowScore | Exception = self.plan.score_row(row)
        except Exception as error:  # noqa: BLE001 - passed on to the caller
            scored = error
        done(scored)

    async def close(self) -> None:
        """Do nothing: no row waits."""


class PipelineScorer:
    """Scores by the pipeline, in a thread: single rows of concurrent requests form batches."""

    batch_invariant = False

    def __init__(
        self, pipeline: Any, artifact: Artifact, scoring: Scoring, on_batch: Callable[[int], None], **batching: Any
    ) -> None:
        from skline.scoring.golden_verification import parse_rows
        from skline.scoring.pipeline_scorer import pipeline_scorer

        self.scoring = scoring
        self.score_rows = pipeline_scorer(pipeline, artifact.contract.inputs)
        # The plan of the last step is verified on the first rows; with golden rows, no caller waits for that.
        self.score_rows(parse_rows(artifact.contract, artifact.golden.rows))

        def score(rows: Sequence[Row]) -> Scores:
            on_batch(len(rows))
            return self.score_rows(rows)

        self._batcher = MicroBatcher(score, **batching)

    @property
    def waiting(self) -> int:
        """Rows that wait for the batch that is being scored."""
        return self._batcher.queued_rows

    async def score_row(self, row: Row) -> RowScore:
        """Score one row in the next batch; microbatch.QueueFull if too many wait."""
        return await self._batcher.score(row)

    def submit(self, row: Row, done: ResultCallback) -> None:
        """Score one row in the next batch."""
        try:
            self._batcher.submit(row, done)
        except Exception as error:  # noqa: BLE001 - passed on to the caller
            done(error)

    async def close(self) -> None:
        """Score the rows that wait, and end the thread."""
        await self._batcher.close()
