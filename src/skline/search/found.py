"""What a search found, as models/search.json holds it."""

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Trial:
    """One configuration and how it did: scores by fold (more is better), and seconds to fit them all."""

    params: dict[str, Any]
    score: float
    scores: tuple[float, ...]
    fit_seconds: float


@dataclass(frozen=True)
class Found:
    """The trials in the order in which they ran, the default configuration first, and which is chosen.

    `wanted` is how many were asked for; fewer ran where the seconds were over or the space was exhausted.
    Without a search there are no trials, and `chosen` is None.
    """

    metric: str = ""
    folds: str = ""
    wanted: int = 0
    chosen: int | None = None
    trials: tuple[Trial, ...] = ()

    @property
    def params(self) -> dict[str, Any]:
        """The chosen configuration, as changes of the default one."""
        return {} if self.chosen is None else self.trials[self.chosen].params

    def to_json(self) -> dict[str, Any]:
        """The form that models/search.json has."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what `to_json` gave."""
        trials = tuple(Trial(**trial | {"scores": tuple(trial["scores"])}) for trial in value["trials"])
        return cls(**value | {"trials": trials})


#: What is written where `train.search` is off.
NO_SEARCH = Found()
