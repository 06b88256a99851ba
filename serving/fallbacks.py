"""Who answers when the model fails: the model before it, a fixed answer, or a rule."""

import importlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

import numpy as np

from serving.answers import Answers, check_row, label
from serving.errors import RequestRefused
from serving.metrics import Metrics
from serving.models import Models
from serving.settings import FallbackSettings
from skline.contract.spec import Contract, Value
from skline.errors import SklineError
from skline.scoring.answers import RowAnswer, Scores

log = logging.getLogger("skline.serving")

Row = Mapping[str, Value]
Rule = Callable[[Row], Any]
Answered = tuple[list[RowAnswer], Answers]


@dataclass(frozen=True)
class Link:
    """One step of the chain: gives answers to rows and who writes them, or raises."""

    name: str
    score: Callable[[Sequence[Row]], Awaitable[Answered]]


class Chain:
    """The links, asked one after the other.

    Attributes
    ----------
    stands_alone : bool
        Whether a link can answer before any model is loaded.
    """

    def __init__(self, links: Sequence[Link], metrics: Metrics) -> None:
        self._links, self._metrics = links, metrics
        self.stands_alone = any(link.name != "previous" for link in links)

    async def ask(self, rows: Sequence[Row], reason: str, kind: str) -> Answered:
        """Ask for all rows; the chain's end is a 503. `reason` and `kind` say why the model does not answer."""
        reasons = [reason]
        for link in self._links:
            try:
                answered, answers = await link.score(rows)
                for answer in answered:
                    check_row(answer)
            except Exception as error:  # noqa: BLE001 - the next link may answer
                reasons.append(f"{link.name}: {failure(error)}")
            else:
                log.warning("answered by the fallback %s: %s", link.name, "; ".join(reasons))
                self._metrics.fallback(link.name, len(rows))
                return answered, answers
        log.error("nobody answers: %s", "; ".join(reasons))
        self._metrics.fallback("none", len(rows))
        told = reason if kind == "busy" else "the model cannot answer now, and nothing else can; the log says why"
        raise RequestRefused(503, told, kind)


def failure(error: Exception) -> str:
    """Name an error without the values that it may hold: they would reach the log."""
    return str(error) if isinstance(error, SklineError) else f"failed with {type(error).__name__}"


def joined(answers: Sequence[RowAnswer]) -> Scores:
    """Rows' answers as arrays; predictions stay plain values."""
    predictions = np.empty(len(answers), dtype=object)
    predictions[:] = [prediction for prediction, _ in answers]
    chances = [chances for _, chances in answers if chances is not None]
    return Scores(predictions, np.array(chances) if chances else None)


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
