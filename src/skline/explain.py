"""Explain one prediction: the Shapley value of each of the contract's inputs.

The value of a coalition is the model's score when the inputs in it have the explained row's values and all others those
of a background row, averaged over the background: the interventional values of Štrumbelj and Kononenko 2014,
"Explaining prediction models and individual predictions with feature contributions". Lundberg and Lee 2017, "A unified
approach to interpreting model predictions", show that no other contributions add up to the score, give nothing to an
input that changes nothing, and never shrink when an input gains influence. They are computed for the columns that a
client sends, not for the columns after preprocessing, and need nothing of the model but its scores; so they are defined
for every pipeline.

Up to MAX_EXACT_INPUTS inputs all coalitions are scored. Above that, random orders are followed forwards and backwards,
as in Castro, Gómez and Tejada 2009, "Polynomial calculation of the Shapley value based on sampling", with the pairs of
Mitchell et al. 2022, "Sampling permutations for Shapley value estimation"; each walk leads from a background row to the
explained row, so these estimates add up to the score too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from math import comb
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from skline.artifact import Artifact
from skline.contract.spec import Contract, Scalar, Value
from skline.errors import SklineError
from skline.scoring.scores import FloatArray, Scores

ScoreRows = Callable[[Sequence[Mapping[str, Value]]], Scores]
Scale = Literal["log-odds", "probability", "value"]
Method = Literal["exact", "permutation"]

#: Number of inputs up to which every coalition is scored: 2 to the power of this number.
MAX_EXACT_INPUTS = 10
#: Maximum rows scored for one explanation, and values in them, unless the smallest background needs more.
MAX_SCORED_ROWS = 16_384
MAX_SCORED_VALUES = 2**17
MAX_BACKGROUND_ROWS = 64
MIN_BACKGROUND_ROWS = 16
#: Probabilities are limited to at least this, so log-odds to ±20.8.
MIN_PROBABILITY = 1e-9
#: The orders are drawn from a fixed seed, so that every replica gives a row the same explanation.
SEED = 17


class NotExplainable(SklineError):
    """The model, or this row, cannot be explained; the message says why."""


class Explanation(BaseModel):
    """The contributions of the inputs to the model's score of one row: `score` is `base_value` plus all of them.

    Attributes
    ----------
    scale : {"log-odds", "probability", "value"}
        The log-odds of `explained_class`; its probability, for models that return probabilities of exactly 0 or 1,
        which have no log-odds; or the number that a regressor predicts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: Scale = Field(description="Unit of score, base value and contributions")
    explained_class: Scalar | None = Field(description="The class that is explained; null for a predicted number")
    base_value: float = Field(description="Mean score of the background: training rows")
    score: float = Field(description="The model's score of this row: base value plus contributions")
    contributions: dict[str, float] = Field(description="The amount that each input added to the score")
    method: Method = Field(description="exact: all coalitions of inputs; permutation: estimated from random orders")
    background_rows: int = Field(description="Number of training rows with which the row was compared")


class Explainer:
    """Explains predictions of one model. Its state never changes, so any number of threads may share it.

    Parameters
    ----------
    contract : Contract
    score_rows : callable
        Scores rows of plain values; a plan's `score_rows`, or what `pipeline_scorer` returns.
    background_rows : sequence of rows
        Validated rows of the training data in random order. The first ones are used, as many as the limit on scored
        rows allows.

    Raises
    ------
    NotExplainable
        If there is no background, or the model is a classifier without probabilities.
    """

    def __init__(
        self, contract: Contract, score_rows: ScoreRows, background_rows: Sequence[Mapping[str, Value]]
    ) -> None:
        self._names = contract.input_names
        self._classes = contract.classes
        self._score_rows = score_rows
        count = len(self._names)
        self.method: Method = "exact" if count <= MAX_EXACT_INPUTS else "permutation"
        rows_per_walk = 2**count if self.method == "exact" else 2 * count
        max_walks = min(MAX_SCORED_ROWS, MAX_SCORED_VALUES // count) // rows_per_walk
        size = min(len(background_rows), MAX_BACKGROUND_ROWS, max(MIN_BACKGROUND_ROWS, max_walks))
        if not size:
            raise NotExplainable("there are no background rows to compare a prediction with")
        self._background = [tuple(row[name] for name in self._names) for row in background_rows[:size]]
        self.scale = self._choose_scale()
        if self.method == "exact":
            self._weights = _coalition_weights(count)
        else:
            n_walks = size * max(1, max_walks // size)
            random = np.random.default_rng(SEED)
            self._orders = np.array([random.permutation(count) for _ in range(n_walks)])

    @classmethod
    def from_artifact(cls, artifact: Artifact, score_rows: ScoreRows) -> Self:
        """Return an explainer of the artifact's model, scored by `score_rows`, with the artifact's background.

        Raises
        ------
        NotExplainable
            If the artifact has no background, or its model cannot be explained.
        """
        from skline.scoring.golden_verification import parse_rows

        if not artifact.background:
            raise NotExplainable("the artifact has no background.json; package it again with `dvc repro`")
        return cls(artifact.contract, score_rows, parse_rows(artifact.contract, artifact.background))

    def explain(self, row: Mapping[str, Value]) -> Explanation:
        """Explain the prediction for one validated row.

        It scores thousands of rows, which takes tens of milliseconds: do not call it on an event loop.

        Raises
        ------
        NotExplainable
            If the model rejects the row combined with background values, or a prediction is not finite.
        """
        values = tuple(row[name] for name in self._names)
        if self.method == "exact":
            rows = [mixed for other in self._background for mixed in product(*zip(other, values, strict=True))]
            explained_at = -1  # the last product is the row itself
        else:
            rows = [mixed for start, order in self._walks() for mixed in _walk(start, order, values)]
            explained_at = len(values)  # the end of the first walk forwards
        scores = self._score(rows)
        position = self._explained_position(scores, explained_at)
        margins = self._margins(scores, position)
        if not np.isfinite(margins).all():
            raise NotExplainable("the model's predictions near this row are not finite; its values are too extreme")
        base_value, contributions = self._exact(margins) if self.method == "exact" else self._sampled(margins)
        return Explanation(
            scale=self.scale,
            explained_class=None if self._classes is None else self._classes[position],
            base_value=base_value,
            score=float(margins[explained_at]),
            contributions=dict(zip(self._names, contributions, strict=True)),
            method=self.method,
            background_rows=len(self._background),
        )

    def _score(self, rows: Sequence[tuple[Value, ...]]) -> Scores:
        """Score rows that are tuples of values."""
        names = self._names
        try:
            return self._score_rows([dict(zip(names, values, strict=True)) for values in rows])
        except ValueError as error:
            raise NotExplainable(f"the model rejects the row combined with background values: {error}") from error

    def _choose_scale(self) -> Scale:
        """Choose the scale by the scores of the background."""
        scores = self._score(self._background)
        if self._classes is None:
            return "value"
        if scores.probabilities is None or scores.probabilities.shape[1] != len(self._classes):
            raise NotExplainable("the model gives no probability for each class, so there is no score to explain")
        is_certain = (scores.probabilities == 0) | (scores.probabilities == 1)
        return "probability" if is_certain.any() else "log-odds"

    def _explained_position(self, scores: Scores, explained_at: int) -> int:
        """Return the position of the explained class: the second of two, otherwise the predicted one."""
        if self._classes is None or len(self._classes) == 2:
            return 1
        return self._classes.index(scores.predictions[explained_at])

    def _margins(self, scores: Scores, position: int) -> FloatArray:
        """Return scores on the scale of the explanation, shape (n,)."""
        if scores.probabilities is None:
            return scores.predictions.astype(np.float64)
        explained: FloatArray = scores.probabilities[:, position]
        if self.scale == "probability":
            return explained
        others = np.delete(scores.probabilities, position, axis=1).sum(axis=1)
        log_odds: FloatArray = np.log(np.maximum(explained, MIN_PROBABILITY)) - np.log(
            np.maximum(others, MIN_PROBABILITY)
        )
        return log_odds

    def _exact(self, margins: FloatArray) -> tuple[float, list[float]]:
        """Return base value and contributions from the margins of all coalitions, by background row.

        Differences are computed before they are weighted, so an input that the model ignores contributes exactly 0.
        """
        count = len(self._names)
        coalition_values = margins.reshape(len(self._background), -1).mean(axis=0).reshape((2,) * count)
        gains = (coalition_values.take(1, axis=axis) - coalition_values.take(0, axis=axis) for axis in range(count))
        return coalition_values.item(0), [float((self._weights * gain).sum()) for gain in gains]

    def _sampled(self, margins: FloatArray) -> tuple[float, list[float]]:
        """Return base value and contributions from the margins along the walks, shape (walks * 2 inputs,)."""
        count = len(self._names)
        steps = margins.reshape(len(self._orders), 2 * count)
        forwards = steps[:, : count + 1]
        backwards = np.hstack([steps[:, :1], steps[:, count + 1 :], steps[:, count : count + 1]])
        totals = np.zeros(count)
        np.add.at(totals, self._orders, np.diff(forwards))
        np.add.at(totals, self._orders[:, ::-1], np.diff(backwards))
        return float(steps[:, 0].mean()), (totals / (2 * len(steps))).tolist()

    def _walks(self) -> Iterator[tuple[tuple[Value, ...], list[int]]]:
        """Yield each order with its background row; every background row is used equally often."""
        for index, order in enumerate(self._orders.tolist()):
            yield self._background[index % len(self._background)], order


def _walk(start: tuple[Value, ...], order: list[int], end: tuple[Value, ...]) -> Iterator[tuple[Value, ...]]:
    """Change one value after the other, in order: start, …, end; then in reverse order, without start and end."""
    values = list(start)
    yield start
    for index in order:
        values[index] = end[index]
        yield tuple(values)
    values = list(start)
    for index in order[:0:-1]:
        values[index] = end[index]
        yield tuple(values)


def _coalition_weights(count: int) -> npt.NDArray[np.float64]:
    """Return the Shapley weight of each coalition of the other inputs, shape (2,) * (count - 1)."""
    others = count - 1
    by_size = np.array([1 / (count * comb(others, size)) for size in range(count)])
    sizes = np.indices((2,) * others).sum(axis=0).astype(np.intp)
    weights: npt.NDArray[np.float64] = by_size[sizes]
    return weights
