"""The result of a search, as models/search.json holds it."""

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Trial:
    """One configuration with its scores by fold (higher is better), and their mean."""

    params: dict[str, Any]
    score: float
    scores: tuple[float, ...]


@dataclass(frozen=True)
class SearchResult:
    """The trials in the order in which they ran, the default configuration first, and the index of the chosen one.

    `requested` is the configured number of candidates; fewer ran if the time limit was reached or the space exhausted.
    Without a search there are no trials, and `chosen` is None.
    """

    metric: str = ""
    folds: str = ""
    requested: int = 0
    chosen: int | None = None
    trials: tuple[Trial, ...] = ()

    @property
    def params(self) -> dict[str, Any]:
        """The chosen configuration, as changes of the default one."""
        return {} if self.chosen is None else self.trials[self.chosen].params

    def to_json(self) -> dict[str, Any]:
        """Return the content of models/search.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Return the result from the content of models/search.json."""
        trials = tuple(Trial(**trial | {"scores": tuple(trial["scores"])}) for trial in value["trials"])
        return cls(**value | {"trials": trials})


#: The result where `train.search` is off.
NO_SEARCH = SearchResult()
