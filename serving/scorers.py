"""How rows are scored: by the plan, or by the pipeline in batches of concurrent requests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from skline.artifact import Artifact, Scoring
from skline.contract.spec import Value
from skline.scoring.answers import RowAnswer, Scores
from skline.scoring.microbatch import Done, MicroBatcher
from skline.scoring.plan import Plan

Row = Mapping[str, Value]


class Scorer(Protocol):
    """Scores rows of one artifact."""

    @property
    def scoring(self) -> Scoring:
        """Which path answers, and how exactly."""

    async def score_row(self, row: Row) -> RowAnswer:
        """Score one row; what the model cannot score raises ValueError."""

    def score_rows(self, rows: Sequence[Row]) -> Scores:
        """Score many rows; to be called in a thread."""

    @property
    def together(self) -> bool:
        """Whether rows get the same answers from `score_rows` as from `score_row`, to the last bit."""

    def submit(self, row: Row, done: Done) -> None:
        """Have one row scored, as `score_row` does, and hand `done` the answer, or what was raised, now or later."""

    @property
    def waiting(self) -> int:
        """Rows that wait to be scored."""

    async def close(self) -> None:
        """Score what waits, and end."""


@dataclass(frozen=True)
class Planned:
    """By the plan: microseconds a row, so on the event loop."""

    plan: Plan
    scoring: Scoring
    waiting: int = 0

    @property
    def together(self) -> bool:
        """Whether a row's answer cannot depend on its neighbours."""
        return self.plan.exactness == "bits" and not self.plan.batchwise

    def submit(self, row: Row, done: Done) -> None:
        """Score one row now."""
        try:
            scored: RowAnswer | Exception = self.plan.score_row(row)
        except Exception as error:  # noqa: BLE001 - it is handed on
            scored = error
        done(scored)

    async def score_row(self, row: Row) -> RowAnswer:
        """Score one row."""
        return self.plan.score_row(row)

    def score_rows(self, rows: Sequence[Row]) -> Scores:
        """Score many rows."""
        return self.plan.score_rows(rows)

    async def close(self) -> None:
        """Nothing waits."""


class Pipelined:
    """By the pipeline: single rows of concurrent requests are scored together, in a thread."""

    def __init__(
        self, pipeline: Any, artifact: Artifact, scoring: Scoring, on_batch: Callable[[int], None], **batching: Any
    ) -> None:
        from skline.scoring.fallback import pipeline_scorer
        from skline.scoring.golden import read_rows

        self.scoring = scoring
        self.together = False
        self.score_rows = pipeline_scorer(pipeline, artifact.contract.inputs)
        # Shortcuts prove themselves on the first rows, which shall not be a caller's.
        self.score_rows(read_rows(artifact.contract, artifact.golden.rows))

        def score(rows: Sequence[Row]) -> Scores:
            on_batch(len(rows))
            return self.score_rows(rows)

        self._batcher = MicroBatcher(score, **batching)

    @property
    def waiting(self) -> int:
        """Rows that wait for the batch that is being scored."""
        return self._batcher.waiting

    async def score_row(self, row: Row) -> RowAnswer:
        """Score one row in the next batch; microbatch.QueueFull if too many wait."""
        return await self._batcher.score(row)

    def submit(self, row: Row, done: Done) -> None:
        """Score one row in the next batch."""
        try:
            self._batcher.submit(row, done)
        except Exception as error:  # noqa: BLE001 - it is handed on
            done(error)

    async def close(self) -> None:
        """Score what waits, and end the thread."""
        await self._batcher.close()


def load(artifact: Artifact, on_batch: Callable[[int], None], **batching: Any) -> Scorer:
    """Make the artifact's scorer, and prove it on the golden rows.

    Raises
    ------
    ArtifactRefused
        If the pipeline cannot be loaded, or answers the golden rows otherwise than when it was packaged.
    """
    from skline.scoring.load import load as load_scorer

    found, scoring = load_scorer(artifact)
    if isinstance(found, Plan):
        return Planned(found, scoring)
    return Pipelined(found, artifact, scoring, on_batch, **batching)
