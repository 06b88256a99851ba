"""Permutation importance: how much worse the comparison metric gets when an input's values are shuffled.

Breiman 2001, "Random Forests", section 10, here for any model. An input that another one can replace looks
unimportant: the figure is about what the model uses, not about what matters in the world.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from skline.contract.spec import Contract
from skline.evaluation.bootstrap import metric_value
from skline.evaluation.metrics import lower_is_better
from skline.evaluation.replacement import ScoreReplaced, replacement_scorer
from skline.evaluation.resampling import make_sample
from skline.evaluation.rows import Rows
from skline.parallel import LOCAL, Workers
from skline.scoring.scores import Scores

#: Orders in which the values of each input are put.
REPEATS = 5


class Permuted(NamedTuple):
    """An input, and the orders in which its values are put."""

    name: str
    orders: list[npt.NDArray[np.int64]]


class PermutedRows:
    """Rows whose inputs can be permuted one by one, and the quality of a model on them: higher is better."""

    def __init__(self, pipeline: Any, rows: pd.DataFrame, contract: Contract, threshold: float, metric: str) -> None:
        self._pipeline, self._contract = pipeline, contract
        self._threshold, self._metric = threshold, metric
        self.truth, self.frame = rows[contract.target.name].to_numpy(), rows[contract.input_names]

    @cached_property
    def _score(self) -> ScoreReplaced:
        return replacement_scorer(self._pipeline, self._contract.inputs, self.frame)

    @cached_property
    def before(self) -> float:
        """The quality without a permutation."""
        first = self._contract.input_names[0]
        return self._quality(self._score(first, self.frame[first].to_numpy()))

    def drop(self, name: str, order: npt.NDArray[np.int64]) -> float:
        """Return by how much the quality falls with the values of an input in another order."""
        return self.before - self._quality(self._score(name, self.frame[name].take(order).to_numpy()))

    def _quality(self, scores: Scores) -> float:
        sign = -1.0 if lower_is_better(self._metric) else 1.0
        return sign * metric_value(make_sample(self.truth, scores, self._contract, self._threshold), self._metric)


def drops(rows: PermutedRows, permuted: Permuted) -> list[float]:
    """Return by how much the quality falls for each order of an input's values."""
    return [rows.drop(permuted.name, order) for order in permuted.orders]


def permutation_importance(
    pipeline: Any,
    test: Rows,
    contract: Contract,
    threshold: float,
    metric: str,
    max_rows: int,
    seed: int,
    workers: Workers = LOCAL,
) -> list[dict[str, Any]]:
    """Permute each input REPEATS times in at most `max_rows` test rows, drawn by `seed`.

    Returns
    -------
    One dict an input, most important first: the `column`, and by how much the metric gets worse: `mean`, `low` and
    `high` over the repeats.
    """
    random = np.random.default_rng(seed)
    positions = np.sort(random.permutation(test.n_rows)[:max_rows])
    drawn = test.take(positions, [*contract.input_names, contract.target.name])

    def permutations() -> Iterator[Permuted]:
        for name in contract.input_names:
            yield Permuted(name, [random.permutation(len(drawn)) for _ in range(REPEATS)])

    permuted_rows = PermutedRows(pipeline, drawn, contract, threshold, metric)
    entries = [
        {"column": name, "mean": float(np.mean(values)), "low": min(values), "high": max(values)}
        for name, values in zip(contract.input_names, workers.map(drops, permuted_rows, permutations()), strict=True)
    ]
    return sorted(entries, key=lambda entry: -entry["mean"])
