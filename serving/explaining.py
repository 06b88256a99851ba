"""Explanations of answers: one explainer a model, made when it is first asked, in a thread of their own."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from serving.models import Model
from serving.security.limits import Slots
from skline.contract.spec import Value
from skline.explain import Explainer, NotExplainable


class Explaining:
    """Explains what models answer. An answer that cannot be explained is an answer all the same, and says why."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        # One at a time: an explanation takes tens of milliseconds, and predictions go before it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._made: tuple[Model, Explainer | NotExplainable] | None = None

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
        if self._made is None or self._made[0] is not model:
            try:
                self._made = model, Explainer.from_artifact(model.artifact, model.scorer.score_rows)
            except NotExplainable as error:
                self._made = model, error
        return self._made[1]


def none(reason: str) -> dict[str, Any]:
    """What an answer without an explanation says."""
    return {"explanation": None, "no_explanation": reason}
