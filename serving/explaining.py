"""Explanations of answers: one explainer a model, made when it is first asked, in a thread of their own."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from serving.model import Model
from serving.security.limits import Slots
from skline.contract.spec import Value
from skline.explain import Explainer, NotExplainable

#: Explainers that are kept: of champion, challenger and the model before.
KEPT = 3


class Explaining:
    """Explains what models answer. An answer that cannot be explained is an answer all the same, and says why."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        # One at a time: an explanation takes tens of milliseconds, and predictions go before it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._made: dict[str, Explainer | NotExplainable] = {}  # by the artifact's digest

    async def of(self, model: Model, row: Mapping[str, Value]) -> dict[str, Any]:
        """What an answer says of its reasons.

        Returns
        -------
        `explanation`, and where that is None the reason as `no_explanation`.

        Raises
        ------
        Refused
            503 if too much is being done already, or it takes too long.
        """
        loop = asyncio.get_running_loop()
        return await self._slots.run(lambda: loop.run_in_executor(self._thread, self._explain, model, row))

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _explain(self, model: Model, row: Mapping[str, Value]) -> dict[str, Any]:
        explainer = self._explainer(model)
        if isinstance(explainer, NotExplainable):
            return none(str(explainer))
        try:
            return {"explanation": explainer.explain(row).model_dump()}
        except NotExplainable as error:
            return none(str(error))

    def _explainer(self, model: Model) -> Explainer | NotExplainable:
        """The model's explainer, or why it has none."""
        digest = model.artifact.digest
        if digest not in self._made:
            while len(self._made) >= KEPT:
                del self._made[next(iter(self._made))]
            try:
                self._made[digest] = Explainer.from_artifact(model.artifact, model.scorer.score_rows)
            except NotExplainable as error:
                self._made[digest] = error
        return self._made[digest]


def none(reason: str) -> dict[str, Any]:
    """What an answer without an explanation says."""
    return {"explanation": None, "no_explanation": reason}
