"""What each input contributed to one prediction: Shapley values over the contract's inputs.

A coalition's worth is what the model answers when the inputs in it have the explained row's values and all
others those of a background row, averaged over the background: the interventional values of Štrumbelj and
Kononenko 2014, "Explaining prediction models and individual predictions with feature contributions". Lundberg
and Lee 2017, "A unified approach to interpreting model predictions", show that no other contributions add up to
the score, give nothing to an input that changes nothing, and never shrink where an input comes to matter more.
They are taken over the columns a caller gives, not over what preprocessing makes of them, and need nothing
of the model but its answers; so they hold for whatever pipeline answers.

Up to EXACT_INPUTS inputs all coalitions are asked. Above, random orders are walked forth and back, as Castro,
Gómez and Tejada 2009, "Polynomial calculation of the Shapley value based on sampling", do with the pairs of
Mitchell et al. 2022, "Sampling permutations for Shapley value estimation"; each walk leads from a background
row to the explained one, so these estimates add up too.
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
from skline.scoring.answers import FloatArray, Scores

ScoreRows = Callable[[Sequence[Mapping[str, Value]]], Scores]
Scale = Literal["log-odds", "probability", "value"]
Method = Literal["exact", "permutation"]

#: Inputs up to which every coalition is asked: 2 to their power.
EXACT_INPUTS = 10
#: Rows scored for one explanation, and values in them, unless the smallest background takes more.
EVALUATIONS = 16_384
VALUES = 2**17
LARGEST_BACKGROUND = 64
SMALLEST_BACKGROUND = 16
#: Probabilities are kept this far from 0 and 1, so log-odds within ±20.8.
TINY = 1e-9
#: The orders are drawn once, from this seed: a row gets the same explanation from every replica.
SEED = 17


class NotExplainable(SklineError):
    """There is no explanation: of this model, or of this row; the message says why."""


class Explanation(BaseModel):
    """Where the model's score of one row comes from: `score` is `base_value` plus all contributions.

    `scale` is what they are measured in: "log-odds" of `explained_class`; "probability" of it, from models that
    give probabilities of exactly 0 or 1, which have no log-odds; or "value", the number that a regressor predicts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: Scale = Field(description="What score, base value and contributions are measured in")
    explained_class: Scalar | None = Field(description="The class whose score this is; null for a predicted number")
    base_value: float = Field(description="Mean score of the background: training rows")
    score: float = Field(description="The model's score of this row: base value plus contributions")
    contributions: dict[str, float] = Field(description="What each input added to the score, or took from it")
    method: Method = Field(description="exact: from all coalitions of inputs; permutation: estimated from random ones")
    background_rows: int = Field(description="Number of training rows that the row was compared with")


class Explainer:
    """Explains predictions of one model. It is not changed by use, so any number of threads may share it.

    Parameters
    ----------
    contract : Contract
    score_rows : callable
        Scores rows of plain values; a plan's `score_rows`, or what `pipeline_scorer` returns.
    background_rows : sequence of rows
        Validated rows of the training data in random order; the first are taken, as many as can be afforded.

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
        self.method: Method = "exact" if count <= EXACT_INPUTS else "permutation"
        cost = 2**count if self.method == "exact" else 2 * count
        affordable = min(EVALUATIONS, VALUES // count) // cost
        size = min(len(background_rows), LARGEST_BACKGROUND, max(SMALLEST_BACKGROUND, affordable))
        if not size:
            raise NotExplainable("there are no background rows to compare a prediction with")
        self._background = [tuple(row[name] for name in self._names) for row in background_rows[:size]]
        self.scale = self._choose_scale()
        if self.method == "exact":
            self._weights = _coalition_weights(count)
        else:
            walks = size * max(1, affordable // size)
            random = np.random.default_rng(SEED)
            self._orders = np.array([random.permutation(count) for _ in range(walks)])

    @classmethod
    def from_artifact(cls, artifact: Artifact, score_rows: ScoreRows) -> Self:
        """Explain the artifact's model, as `score_rows` answers for it, against its background.

        Raises
        ------
        NotExplainable
            If the artifact holds no background, or its model cannot be explained.
        """
        from skline.scoring.golden import read_rows

        if not artifact.background:
            raise NotExplainable("the artifact holds no background.json; package it again with `dvc repro`")
        return cls(artifact.contract, score_rows, read_rows(artifact.contract, artifact.background))

    def explain(self, row: Mapping[str, Value]) -> Explanation:
        """Explain the prediction for one validated row.

        It scores thousands of rows: tens of milliseconds, so not on an event loop.

        Raises
        ------
        NotExplainable
            If the model refuses the row in company of background values, or has no finite answer.
        """
        values = tuple(row[name] for name in self._names)
        if self.method == "exact":
            asked = [mixed for other in self._background for mixed in product(*zip(other, values, strict=True))]
            explained_at = -1  # the last product is the row itself
        else:
            asked = [mixed for walk in self._walks() for mixed in _walk(*walk, values)]
            explained_at = len(values)  # the end of the first walk forth
        scores = self._score(asked)
        position = self._position(scores, explained_at)
        margins = self._margins(scores, position)
        if not np.isfinite(margins).all():
            raise NotExplainable("the model has no finite answer near this row; its values are too extreme")
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

    def _score(self, asked: Sequence[tuple[Value, ...]]) -> Scores:
        """Score tuples of values."""
        names = self._names
        try:
            return self._score_rows([dict(zip(names, values, strict=True)) for values in asked])
        except ValueError as error:
            raise NotExplainable(f"the model refuses the row together with background values: {error}") from error

    def _choose_scale(self) -> Scale:
        """Look at the background's answers."""
        scores = self._score(self._background)
        if self._classes is None:
            return "value"
        if scores.probabilities is None or scores.probabilities.shape[1] != len(self._classes):
            raise NotExplainable("the model gives no probability for each class, so there is no score to explain")
        certain = (scores.probabilities == 0) | (scores.probabilities == 1)
        return "probability" if certain.any() else "log-odds"

    def _position(self, scores: Scores, explained_at: int) -> int:
        """Which class is explained: the second of two, otherwise the predicted one."""
        if self._classes is None or len(self._classes) == 2:
            return 1
        return self._classes.index(scores.predictions[explained_at].item())

    def _margins(self, scores: Scores, position: int) -> FloatArray:
        """Answers on the scale of the explanation, shape (n,)."""
        if scores.probabilities is None:
            return scores.predictions.astype(np.float64)
        chances: FloatArray = scores.probabilities[:, position]
        if self.scale == "probability":
            return chances
        others = np.delete(scores.probabilities, position, axis=1).sum(axis=1)
        odds: FloatArray = np.log(np.maximum(chances, TINY)) - np.log(np.maximum(others, TINY))
        return odds

    def _exact(self, margins: FloatArray) -> tuple[float, list[float]]:
        """Base value and contributions from margins of all coalitions, background row by background row.

        Differences are taken before they are weighted, so an input that is not used contributes 0 exactly.
        """
        count = len(self._names)
        worth = margins.reshape(len(self._background), -1).mean(axis=0).reshape((2,) * count)
        gains = (worth.take(1, axis=axis) - worth.take(0, axis=axis) for axis in range(count))
        return worth.item(0), [float((self._weights * gain).sum()) for gain in gains]

    def _sampled(self, margins: FloatArray) -> tuple[float, list[float]]:
        """Base value and contributions from margins along the walks, shape (walks * 2 inputs,)."""
        count = len(self._names)
        steps = margins.reshape(len(self._orders), 2 * count)
        forth = steps[:, : count + 1]
        back = np.hstack([steps[:, :1], steps[:, count + 1 :], steps[:, count : count + 1]])
        totals = np.zeros(count)
        np.add.at(totals, self._orders, np.diff(forth))
        np.add.at(totals, self._orders[:, ::-1], np.diff(back))
        return float(steps[:, 0].mean()), (totals / (2 * len(steps))).tolist()

    def _walks(self) -> Iterator[tuple[tuple[Value, ...], list[int]]]:
        """Each order with the background row it starts from; every row is started from equally often."""
        for index, order in enumerate(self._orders.tolist()):
            yield self._background[index % len(self._background)], order


def _walk(start: tuple[Value, ...], order: list[int], end: tuple[Value, ...]) -> Iterator[tuple[Value, ...]]:
    """Change one value after the other, in order: start, …, end; then in reverse order, without the two ends."""
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
    """Shapley's weight of each coalition of the other inputs, shape (2,) * (count - 1)."""
    others = count - 1
    by_size = np.array([1 / (count * comb(others, size)) for size in range(count)])
    sizes = np.indices((2,) * others).sum(axis=0).astype(np.intp)
    weights: npt.NDArray[np.float64] = by_size[sizes]
    return weights
