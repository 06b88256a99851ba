"""Explanations of predictions, computed on request in a thread of their own."""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from skline.contract.spec import Value
from skline.explain import Explainer, NotExplainable
from skline.serving.errors import RequestError
from skline.serving.models.model import LoadedModel
from skline.serving.releases.manager import ModelManager
from skline.serving.security.concurrency import ConcurrencyLimiter
from skline.serving.settings import LimitSettings

log = logging.getLogger("skline.serving")

#: Explainers kept in memory: those of the champion, the challenger and the previous model.
MAX_EXPLAINERS = 3
#: Explanations that may wait for the thread, each for `limits.wait_seconds` at most.
MAX_WAITING = 64


class ExplanationService:
    """Explains predictions. A prediction that cannot be explained is returned all the same, with the reason.

    Attributes
    ----------
    skipped : int
        Explanations that were left out because too many were requested, or because they took too long.
    """

    def __init__(self, models: ModelManager, limits: LimitSettings) -> None:
        self._models = models
        self.skipped = 0
        # One at a time, in a slot of its own: an explanation takes tens of milliseconds, and predictions have
        # precedence. In the slots of predictions, explanations that wait for this thread would keep batches out.
        self._limiter = ConcurrencyLimiter(1, MAX_WAITING, limits.wait_seconds, limits.request_seconds)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._explainers: dict[str, Explainer | NotExplainable] = {}  # by the artifact's digest

    async def explain(self, model: LoadedModel | None, row: Mapping[str, Value]) -> dict[str, Any]:
        """Return the fields that a response has if an explanation is requested.

        Parameters
        ----------
        model : LoadedModel or None
            The model that predicted; None if a fallback did.

        Returns
        -------
        `explanation`, and if that is None the reason as `no_explanation`.
        """
        if not self._models.feature_flags.explain:
            return unavailable("explanations are switched off")
        if model is None:
            return unavailable("a fallback predicted instead of the model")
        loop = asyncio.get_running_loop()
        try:
            return await self._limiter.run(lambda: loop.run_in_executor(self._thread, self._explain, model, row))
        except RequestError as error:
            self.skipped += 1
            log.debug("a prediction is returned without its explanation: %s", error)
            return unavailable("too many explanations are requested at a time; retry")

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _explain(self, model: LoadedModel, row: Mapping[str, Value]) -> dict[str, Any]:
        explainer = self._explainer(model)
        if isinstance(explainer, NotExplainable):
            return unavailable(str(explainer))
        try:
            return {"explanation": explainer.explain(row).model_dump()}
        except NotExplainable as error:
            return unavailable(str(error))

    def _explainer(self, model: LoadedModel) -> Explainer | NotExplainable:
        """Return the model's explainer, or why it has none; it is built on first use."""
        digest = model.artifact.digest
        if digest not in self._explainers:
            while len(self._explainers) >= MAX_EXPLAINERS:
                del self._explainers[next(iter(self._explainers))]
            try:
                self._explainers[digest] = Explainer.from_artifact(model.artifact, model.scorer.score_rows)
            except NotExplainable as error:
                self._explainers[digest] = error
        return self._explainers[digest]


def unavailable(reason: str) -> dict[str, Any]:
    """Return the fields of a response without an explanation."""
    return {"explanation": None, "no_explanation": reason}
