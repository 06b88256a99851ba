"""The service as the foreign protocols see it: the same validation, models, measurements and log behind them."""

from typing import Any

from fastapi import Request

from serving.predictor import Predictor
from serving.protocols.service import Answered
from serving.requests import read_body, visit_of
from serving.settings import ServiceSettings
from skline.contract.spec import Contract


class ProtocolService:
    """See `serving.protocols.service.Service`."""

    def __init__(self, predictor: Predictor, settings: ServiceSettings) -> None:
        self._predictor = predictor
        self._limits = settings.max_body_bytes, settings.limits.request_seconds
        self.max_rows = settings.max_batch_rows

    @property
    def contract(self) -> Contract:
        """The columns."""
        return self._predictor.models.first.contract

    @property
    def name(self) -> str:
        """What the model is called."""
        return self._predictor.models.artifact.manifest.name

    @property
    def version(self) -> str:
        """Which one it is."""
        return self._predictor.models.artifact.version

    @property
    def ready(self) -> bool:
        """Whether it can answer."""
        return self._predictor.models.unready is None

    async def read_body(self, request: Request) -> bytes:
        """Read the request's body within its limits."""
        return await read_body(request, *self._limits)

    def rows_from_values(self, values: list[dict[str, Any]]) -> list[Any]:
        """Validate rows as /predict does."""
        return self._predictor.bodies.take_rows(values)

    async def score(self, request: Request, rows: list[Any]) -> Answered:
        """Score validated rows and write them down, with the request that brought them."""
        batch = await self._predictor.answer_batch(rows, visit_of(request))
        ids = [content["prediction_id"] for content in batch.contents]
        return Answered(batch.scores, batch.answers.version, ids)
