"""Score the same rows again with other values of one column, computing only what depends on this column.

Permutation importance scores a table hundreds of times with one column changed. An expensive step, such as the encoding
of texts, is repeated only where its own column changes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.pipeline import Pipeline
from typing_extensions import override

from skline.contract.spec import Column
from skline.scoring.code_writer import Array, BatchContext, Evaluator
from skline.scoring.plan import Plan
from skline.scoring.planning import build_plan
from skline.scoring.reference import is_pipeline, score_frame
from skline.scoring.scores import Scores, UnsupportedStep
from skline.scoring.sklearn_internals import input_positions, public_type_name

COLUMN_TRANSFORMER = "sklearn.compose.ColumnTransformer"
#: Scores a table after the values of the named column, of shape (n,), were replaced; the table itself stays.
ScoreReplaced = Callable[[str, Array], Scores]


def replacement_scorer(pipeline: Any, columns: tuple[Column, ...], frame: pd.DataFrame) -> ScoreReplaced:
    """Return a function that scores `frame` with one column replaced, as a fitted pipeline does.

    Parameters
    ----------
    pipeline : fitted estimator
    columns : tuple of Column
        The inputs, in the order of the frame's columns.
    frame : DataFrame of shape (n, n_columns)
    """
    try:
        plan = build_plan(pipeline, columns)
    except UnsupportedStep:
        if is_pipeline(pipeline) and public_type_name(pipeline.steps[0][1]) == COLUMN_TRANSFORMER:
            return TransformedTable(pipeline, frame).score
        return lambda name, values: score_frame(pipeline, frame.assign(**{name: values}))
    return PlannedTable(plan, frame).score


class PlannedTable:
    """A table scored by a plan: expressions of other columns than the replaced one keep their values."""

    def __init__(self, plan: Plan, frame: pd.DataFrame) -> None:
        self._plan = plan
        self._names = list(frame.columns)
        self._read = plan.column_reader({name: frame[name].to_numpy() for name in self._names})
        self._batch = TrackedBatch(self._read, len(frame))
        self._scores = plan.score_batch(self._batch)

    def score(self, name: str, values: Array) -> Scores:
        """Score the table with other values of one column."""
        position = self._names.index(name)
        if position not in self._batch.inputs_read:
            return self._scores  # the model does not use the column
        replaced = self._plan.column_reader({name: values})(position)
        return self._plan.score_batch(self._batch.with_input(position, replaced))


class TrackedBatch(BatchContext):
    """A batch that knows from which inputs each of its values was computed, and which inputs were read at all."""

    def __init__(self, read: Callable[[int], Any], size: int) -> None:
        super().__init__(self._read_tracked, size)
        self._read_input = read
        self._inputs: dict[int, set[int]] = {}
        self._running: list[set[int]] = []
        self.inputs_read: set[int] = set()

    def _read_tracked(self, position: int) -> Any:
        self.inputs_read.add(position)
        if self._running:
            self._running[-1].add(position)
        return self._read_input(position)

    @override
    def evaluate(self, expression: Evaluator) -> Any:
        key = id(expression)
        if key not in self._inputs:
            self._running.append(set())
            super().evaluate(expression)
            self._inputs[key] = self._running.pop()
        if self._running:
            self._running[-1].update(self._inputs[key])
        return self._computed[key]

    def with_input(self, position: int, values: Any) -> BatchContext:
        """Return a batch with other values of one input, in their storage form."""
        kept = {key: value for key, value in self._computed.items() if position not in self._inputs[key]}
        return BatchContext(lambda index: values if index == position else self._read_input(index), self.size, kept)


class TransformedTable:
    """A table scored by a pipeline that begins with a ColumnTransformer: other transformers' outputs are kept."""

    def __init__(self, pipeline: Any, frame: pd.DataFrame) -> None:
        self._pipeline, self._frame = pipeline, frame
        self._transformer = pipeline.steps[0][1]
        self._rest = Pipeline(pipeline.steps[1:])
        self._output = self._transformer.transform(frame)

    def score(self, name: str, values: Array) -> Scores:
        """Score the table with other values of one column."""
        changed = self._frame.assign(**{name: values})
        is_matrix = isinstance(self._output, np.ndarray) or sparse.issparse(self._output)
        if not is_matrix or self._transformer.transformer_weights:
            # The blocks of a frame would have to keep their dtypes, and weighted blocks would have to be multiplied.
            return score_frame(self._pipeline, changed)
        position = list(self._frame.columns).index(name)
        output = self._output.copy()
        for step, fitted, columns in self._transformer.transformers_:
            positions = input_positions(self._transformer, step)
            if position not in positions or isinstance(fitted, str):
                continue
            block = fitted.transform(changed[columns] if isinstance(columns, str) else changed.iloc[:, positions])
            output = _replace_columns(output, self._transformer.output_indices_[step], block)
        return score_frame(self._rest, output)


def _replace_columns(output: Any, columns: slice, block: Any) -> Any:
    """Return a matrix with other values in some columns; an array is changed in place."""
    if isinstance(output, np.ndarray):
        output[:, columns] = block.toarray() if sparse.issparse(block) else block
        return output
    parts = [output[:, : columns.start], sparse.csr_array(block), output[:, columns.stop :]]
    return sparse.hstack(parts, format=output.format)
