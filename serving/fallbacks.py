"""Who answers when the model fails: the model before it, a fixed answer, or a rule."""

import importlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

from serving.answers import Answers, half_width_of, label
from serving.models import Models
from serving.settings import FallbackSettings
from skline.contract.spec import Contract, Value
from skline.errors import SklineError
from skline.scoring.answers import RowAnswer

log = logging.getLogger("skline.serving")

Row = Mapping[str, Value]
Rule = Callable[[Row], Any]
Answered = tuple[list[RowAnswer], Answers]


@dataclass(frozen=True)
class Link:
    """One step of the chain: gives answers to rows and who writes them, or raises."""

    name: str
    score: Callable[[Sequence[Row]], Awaitable[Answered]]


def build_chain(settings: FallbackSettings, models: Models) -> list[Link]:
    """Make the links of the configured chain.

    Raises
    ------
    SklineError
        If an answer or a rule is missing, or is none that the contract allows.
    """
    return [MAKERS[name](settings, models) for name in settings.chain]


def _previous(_: FallbackSettings, models: Models) -> Link:
    """The model before the current one; as long as there is none it fails."""

    async def score(rows: Sequence[Row]) -> Answered:
        model = models.previous
        if model is None:
            raise SklineError("there is no previous model")
        answers = [await model.scorer.score_row(row) for row in rows]
        return answers, Answers(
            model.artifact.version,
            model.artifact.contract.classes,
            digest=model.artifact.digest,
            path="previous",
            half_width=half_width_of(model.artifact),
            fallback="previous",
        )

    return Link("previous", score)


def _fixed(settings: FallbackSettings, models: Models) -> Link:
    """The same answer to every row."""
    if settings.answer is None:
        raise SklineError('fallback.chain names "fixed", but fallback.answer is not set; set it or drop "fixed"')
    answer = read_answer(settings.answer, models.first.contract, "fallback.answer")

    answers = Answers("fixed", models.first.contract.classes, path="fixed", fallback="fixed")

    async def score(rows: Sequence[Row]) -> Answered:
        return [answer] * len(rows), answers

    return Link("fixed", score)


def _rule(settings: FallbackSettings, models: Models) -> Link:
    """A function of the user's."""
    rule, contract = _import(settings.rule), models.first.contract

    answers = Answers("rule", contract.classes, path="rule", fallback="rule")

    async def score(rows: Sequence[Row]) -> Answered:
        return [read_answer(rule(row), contract, f"the rule {settings.rule}") for row in rows], answers

    return Link("rule", score)


MAKERS: Mapping[str, Callable[[FallbackSettings, Models], Link]] = {
    "previous": _previous,
    "fixed": _fixed,
    "rule": _rule,
}


def read_answer(given: Any, contract: Contract, source: str) -> RowAnswer:
    """Check an answer that no model gave.

    Parameters
    ----------
    given : mapping
        `prediction` and, if the contract has classes, `probabilities` by class.
    source : str
        Whose it is, for the error.

    Raises
    ------
    SklineError
        If it is none that the contract allows.
    """
    if not isinstance(given, Mapping) or "prediction" not in given:
        raise SklineError(f'{source} must be {{"prediction": …}}, not {given!r}')
    prediction, classes = given["prediction"], contract.classes
    if classes is None:
        if isinstance(prediction, bool) or not isinstance(prediction, int | float):
            raise SklineError(f"{source}: prediction must be a number, not {prediction!r}")
        return float(prediction), None
    if not any(prediction == one and type(prediction) is type(one) for one in classes):
        raise SklineError(f"{source}: prediction must be one of {list(classes)}, not {prediction!r}")
    names = [label(one) for one in classes]
    return prediction, _chances(given.get("probabilities"), names, source)


def _chances(given: Any, names: Sequence[str], source: str) -> tuple[float, ...]:
    """Read probabilities by class."""
    if not isinstance(given, Mapping) or set(given) != set(names):
        raise SklineError(f"{source}: probabilities must name {list(names)}, not {given!r}")
    chances = tuple(float(given[name]) for name in names)
    if not all(0 <= chance <= 1 for chance in chances) or not isclose(sum(chances), 1, abs_tol=1e-6):
        raise SklineError(f"{source}: probabilities must be between 0 and 1 and sum to 1, not {given!r}")
    return chances


def _import(path: str | None) -> Rule:
    """Import module:function."""
    module, _, name = (path or "").partition(":")
    try:
        rule = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SklineError(
            f'fallback.chain names "rule", but fallback.rule is {path!r}, which cannot be imported as '
            f"module:function ({error}); name a function such as model.rules:fallback"
        ) from None
    if not callable(rule):
        raise SklineError(f"fallback.rule {path!r} is a {type(rule).__name__}; name a function")
    return rule  # type: ignore[no-any-return]
