"""What predicts when the model fails: the previous model, a fixed prediction, or a rule."""

import importlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

import numpy as np

from skline.contract.spec import Contract, Row
from skline.errors import SklineError
from skline.scoring.scores import RowScore, Scores
from skline.serving.errors import RequestError
from skline.serving.models.response import ResponseBuilder, check_row
from skline.serving.observability.metrics import Metrics
from skline.serving.releases.manager import ModelManager
from skline.serving.settings import FallbackSettings
from skline.throttled_logger import ThrottledLogger

log = logging.getLogger("skline.serving")

Rule = Callable[[Row], Any]
FallbackResult = tuple[list[RowScore], ResponseBuilder]


@dataclass(frozen=True)
class Fallback:
    """One element of the chain: returns predictions for all rows and the builder of their responses, or raises."""

    name: str
    score: Callable[[Sequence[Row]], Awaitable[FallbackResult]]


class FallbackChain:
    """Tries fallbacks one after the other.

    Attributes
    ----------
    works_without_model : bool
        Whether a fallback can predict before any model is loaded.
    """

    def __init__(self, fallbacks: Sequence[Fallback], metrics: Metrics) -> None:
        self._fallbacks, self._metrics, self._throttled = fallbacks, metrics, ThrottledLogger(log)
        self.works_without_model = any(fallback.name != "previous" for fallback in fallbacks)

    async def score(self, rows: Sequence[Row], reason: str, error_type: str) -> FallbackResult:
        """Score all rows by the first fallback that can.

        Parameters
        ----------
        reason, error_type : str
            Why the model does not predict; `error_type` is that of the response if no fallback can predict either.

        Raises
        ------
        RequestError
            503 if all fallbacks fail.
        """
        reasons = [reason]
        for fallback in self._fallbacks:
            try:
                predictions, builder = await fallback.score(rows)
                for prediction in predictions:
                    check_row(prediction)
            except Exception as error:  # noqa: BLE001 - the next fallback may succeed
                reasons.append(f"{fallback.name}: {describe_failure(error)}")
            else:
                self._throttled.log(logging.WARNING, f"the fallback {fallback.name} predicts: {'; '.join(reasons)}")
                self._metrics.count_fallback(fallback.name, len(rows))
                return predictions, builder
        self._throttled.log(logging.ERROR, f"neither the model nor a fallback predicts: {'; '.join(reasons)}")
        self._metrics.count_fallback("none", len(rows))
        message = reason if error_type == "busy" else "the model and its fallbacks failed; the service's log says why"
        raise RequestError(503, message, error_type)


def describe_failure(error: Exception) -> str:
    """Describe an error without the values of a row that its message may contain, because the log must not get them."""
    return str(error) if isinstance(error, SklineError) else f"failed with {type(error).__name__}"


def to_scores(predictions: Sequence[RowScore]) -> Scores:
    """Convert predictions of single rows to arrays; each prediction remains a plain value."""
    values = np.empty(len(predictions), dtype=object)
    values[:] = [prediction for prediction, _ in predictions]
    probabilities = [probabilities for _, probabilities in predictions if probabilities is not None]
    return Scores(values, np.array(probabilities) if probabilities else None)


def build_chain(settings: FallbackSettings, models: ModelManager) -> list[Fallback]:
    """Build the fallbacks of the settings.

    Raises
    ------
    SklineError
        If the fixed prediction or the rule is missing, or is not one that the contract allows.
    """
    return [FALLBACKS[name](settings, models) for name in settings.chain]


def _previous(_: FallbackSettings, models: ModelManager) -> Fallback:
    """Predict by the previous model; it fails as long as there is none."""

    async def score(rows: Sequence[Row]) -> FallbackResult:
        model = models.previous
        if model is None:
            raise SklineError("there is no previous model")
        predictions = [await model.scorer.score_row(row) for row in rows]
        return predictions, ResponseBuilder(
            model.artifact.version,
            model.artifact.contract.classes,
            digest=model.artifact.digest,
            path="previous",
            half_width=model.artifact.interval_half_width,
            fallback="previous",
        )

    return Fallback("previous", score)


def _fixed(settings: FallbackSettings, models: ModelManager) -> Fallback:
    """Return the prediction of the settings for every row."""
    contract = models.initial_artifact.contract
    if settings.answer is None:
        raise SklineError('fallback.chain names "fixed", but fallback.answer is not set; set it or drop "fixed"')
    prediction = parse_prediction(settings.answer, contract, "fallback.answer")
    builder = ResponseBuilder("fixed", contract.classes, path="fixed", fallback="fixed")

    async def score(rows: Sequence[Row]) -> FallbackResult:
        return [prediction] * len(rows), builder

    return Fallback("fixed", score)


def _rule(settings: FallbackSettings, models: ModelManager) -> Fallback:
    """Predict by the function that the settings name."""
    rule, contract = _import_rule(settings.rule), models.initial_artifact.contract
    builder = ResponseBuilder("rule", contract.classes, path="rule", fallback="rule")

    async def score(rows: Sequence[Row]) -> FallbackResult:
        return [parse_prediction(rule(row), contract, f"the rule {settings.rule}") for row in rows], builder

    return Fallback("rule", score)


FALLBACKS: Mapping[str, Callable[[FallbackSettings, ModelManager], Fallback]] = {
    "previous": _previous,
    "fixed": _fixed,
    "rule": _rule,
}


def parse_prediction(value: Any, contract: Contract, source: str) -> RowScore:
    """Validate a prediction that does not come from a model.

    Parameters
    ----------
    value : mapping
        `prediction` and, if the contract has classes, `probabilities` by class.
    source : str
        Where it comes from, for the error.

    Raises
    ------
    SklineError
        If the contract does not allow it.
    """
    if not isinstance(value, Mapping) or "prediction" not in value:
        raise SklineError(f'{source} must be {{"prediction": …}}, not {value!r}')
    prediction, classes = value["prediction"], contract.classes
    if classes is None:
        if isinstance(prediction, bool) or not isinstance(prediction, int | float):
            raise SklineError(f"{source}: prediction must be a number, not {prediction!r}")
        return float(prediction), None
    if not any(prediction == allowed and type(prediction) is type(allowed) for allowed in classes):
        raise SklineError(f"{source}: prediction must be one of {list(classes)}, not {prediction!r}")
    return prediction, _parse_probabilities(value.get("probabilities"), contract.class_names or [], source)


def _parse_probabilities(value: Any, class_names: Sequence[str], source: str) -> tuple[float, ...]:
    """Validate probabilities by class, and return them in the order of the classes."""
    if not isinstance(value, Mapping) or set(value) != set(class_names):
        raise SklineError(f"{source}: probabilities must name {list(class_names)}, not {value!r}")
    probabilities = tuple(float(value[name]) for name in class_names)
    in_range = all(0 <= probability <= 1 for probability in probabilities)
    if not in_range or not isclose(sum(probabilities), 1, abs_tol=1e-6):
        raise SklineError(f"{source}: probabilities must be between 0 and 1 and sum to 1, not {value!r}")
    return probabilities


def _import_rule(path: str | None) -> Rule:
    """Import a function by its path, module:function."""
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
