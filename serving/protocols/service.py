"""What a protocol needs of the service, and nothing else."""

from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import Request

from skline.contract.spec import Contract
from skline.scoring.answers import Scores


@dataclass(frozen=True, slots=True)
class Answered:
    """Scores of n rows, the version that gave them, and their n prediction ids."""

    scores: Scores
    version: str
    ids: list[str]


class Service(Protocol):
    """The service, as protocols see it."""

    @property
    def contract(self) -> Contract:
        """The columns."""

    @property
    def name(self) -> str:
        """What the model is called."""

    @property
    def version(self) -> str:
        """Which one it is."""

    @property
    def ready(self) -> bool:
        """Whether it can answer."""

    @property
    def max_rows(self) -> int:
        """The longest batch."""

    async def read_body(self, request: Request) -> bytes:
        """Read the request's body within its limits; RequestRefused beyond them."""

    def rows_from_values(self, values: list[dict[str, Any]]) -> list[Any]:
        """Validate rows as /predict does; pydantic.ValidationError with loc (row, column, …)."""

    async def score(self, request: Request, rows: list[Any]) -> Answered:
        """Score validated rows and write them down; RequestRefused as /predict has it, 503 if not ready."""


def labels(contract: Contract) -> list[str] | None:
    """Write the classes as JSON keys, true and false as JSON writes them; None for a regressor."""
    if contract.classes is None:
        return None
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in contract.classes]
