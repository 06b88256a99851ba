"""The service behind the MLflow and Open Inference routes: read a body, parse it, validate it, score it.

Rows take the same path as those of /predict/batch: same validation, models, metrics and prediction log.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from skline.contract.spec import Contract, Row
from skline.scoring.scores import Scores
from skline.serving.errors import RequestError
from skline.serving.prediction.parsing import RequestParser
from skline.serving.prediction.predictor import GetRows, Predictor
from skline.serving.protocols.columns import check_columns
from skline.serving.releases.manager import ModelManager
from skline.serving.settings import ServiceSettings
from skline.serving.transport.body import context_of, read_body

Parsed = TypeVar("Parsed")
Rendered = TypeVar("Rendered")


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """Scores of n rows, the model version that produced them, and their n prediction ids."""

    scores: Scores
    version: str
    ids: list[str]


class ProtocolAdapter:
    """What the routes of a protocol need of the service.

    Attributes
    ----------
    max_rows : int
        Maximum number of rows in a request.
    """

    def __init__(
        self, predictor: Predictor, parser: RequestParser, models: ModelManager, settings: ServiceSettings
    ) -> None:
        self._predictor, self._parser, self._models = predictor, parser, models
        self._max_bytes, self._request_seconds = settings.max_body_bytes, settings.limits.request_seconds
        self.max_rows = settings.max_batch_rows

    async def handle(
        self,
        request: Request,
        types: frozenset[bytes],
        parse: Callable[[bytes], Parsed],
        rows_of: Callable[[Parsed], list[dict[str, Any]]],
        render: Callable[[Parsed, ScoredBatch], Rendered],
    ) -> Rendered:
        """Read, parse, validate and score a request, and render its response.

        A body is parsed in the slot in which its rows are scored: parsed values take many times the memory of the
        body, which bodies that wait for their turn must not.

        Parameters
        ----------
        types : frozenset of bytes
            Accepted content types.
        parse : callable
            Turns the body into a parsed request.
        rows_of : callable
            Returns the rows of a parsed request, as JSON objects.
        render : callable
            Turns the parsed request and its scores into the response.

        The three functions run in threads.

        Raises
        ------
        RequestError
            With the statuses of /predict/batch, and 422 if there are no rows.
        pydantic.ValidationError
            If a row breaks the contract; its locations begin with row and column.
        """
        body = await self.read_body(request, types)
        parsed_requests: list[Parsed] = []

        def get_rows() -> Sequence[Row]:
            parsed = parse(body)
            rows = rows_of(parsed)
            if not rows:
                raise RequestError(422, "the request has no rows; send at least one", "empty")
            check_columns(self.contract, rows)
            parsed_requests.append(parsed)
            return self.validate(rows)

        batch = await self.score(request, get_rows)
        return await run_in_threadpool(render, parsed_requests[0], batch)

    async def read_body(self, request: Request, types: frozenset[bytes]) -> bytes:
        """Read the request's body, of one of these content types, within the limits of size and time."""
        return await read_body(request, self._max_bytes, self._request_seconds, types)

    def validate(self, rows: list[dict[str, Any]]) -> Sequence[Row]:
        """Validate rows as /predict/batch does."""
        return self._parser.validate_rows(rows)

    async def score(self, request: Request, get_rows: GetRows) -> ScoredBatch:
        """Score the validated rows that `get_rows` returns, in the thread in which it is called, and log them."""
        batch = await self._predictor.predict_batch(get_rows, context_of(request))
        ids = [content["prediction_id"] for content in batch.contents]
        return ScoredBatch(batch.scores, batch.builder.version, ids)

    @property
    def contract(self) -> Contract:
        """The contract that requests are validated against."""
        return self._parser.contract

    @property
    def name(self) -> str:
        """The model's name."""
        return self._models.artifact.manifest.name

    @property
    def version(self) -> str:
        """The version of the model that is served now."""
        return self._models.artifact.version

    @property
    def ready(self) -> bool:
        """Whether the model can score requests."""
        return self._models.not_ready_reason is None
