"""The model of a stream: that in service, which is looked up again now and then."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from skline.errors import SklineError
from skline.streaming.message_scorer import ScoreMessages
from skline.streaming.metrics import StreamMetrics

#: Seconds after which the release is read again.
CHECK_SECONDS = 10.0
log = logging.getLogger("skline.stream")


class Selected(Protocol):
    """A model: its folder, digest, and how it was named."""

    @property
    def folder(self) -> Path: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102


class CurrentModel:
    """Returns what scores messages by the model in service; another one is loaded between two batches.

    Parameters
    ----------
    select : callable
        Returns the model in service; SklineError if there is none.
    load : callable
        Loads a model: its version, and what scores messages by it.
    metrics : StreamMetrics
    clock : callable
        Returns the time in seconds.
    """

    def __init__(
        self,
        select: Callable[[], Selected],
        load: Callable[[Selected], tuple[str, ScoreMessages]],
        metrics: StreamMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._select, self._load, self._metrics, self._clock = select, load, metrics, clock
        self._rejected: str | None = None
        self._checked_at = clock()
        self._use(select())

    def __call__(self) -> ScoreMessages:
        """Return what scores messages; a model that cannot be loaded leaves the one before."""
        if self._clock() - self._checked_at >= CHECK_SECONDS:
            self._checked_at = self._clock()
            try:
                model = self._select()
                if model.digest not in (self._digest, self._rejected):
                    self._rejected = model.digest  # it is tried once
                    self._use(model)
            except SklineError as error:
                log.error("%s goes on scoring: %s", self.version, error)  # noqa: TRY400 (a line, no traceback)
        return self._score

    def _use(self, model: Selected) -> None:
        version, score = self._load(model)
        self.version, self._score, self._digest = version, score, model.digest
        self._metrics.model.clear()
        self._metrics.model.labels(version).set(1)
        log.info("scored by %s", version)
