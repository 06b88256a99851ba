"""The plan of a fitted pipeline: the same arithmetic without DataFrames, for one row and for many.

The row plan is generated Python source, compiled once. It is safe to execute because it contains only generated names,
operators that this package writes, and thresholds and leaf values as Python writes floats: categories and all other
values that came from data or from the fitted estimators are constants in its namespace, and no string is
formatted into it.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from skline.contract.spec import Column, Value
from skline.scoring.code_writer import Array, BatchContext, CodeWriter
from skline.scoring.datetimes import to_datetime64
from skline.scoring.estimators.base import EstimatorPlan
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import Exactness, RowScore, Scores
from skline.scoring.string_column import StringColumn

#: Number of rows up to which calling the row plan for each is faster than setting up arrays.
MAX_ROWS_FOR_ROW_PLAN = 8


class Plan:
    """The arithmetic of a fitted pipeline; `skline.scoring.planning.build_plan` builds it.

    Attributes
    ----------
    exactness : {"bits", "ulp"}
        "bits": every result equals the pipeline's for the same rows, bit for bit. "ulp": the pipeline's own last bits
        for a row depend on whether it is scored alone or in a batch; the plan is within 64 ulp of the row scored alone.
    depends_on_batch : bool
        Whether a row's last bits may depend on the other rows in its batch, as the pipeline's own do.
    classes : ndarray or None
        The classes in the order of the probabilities; None for regressors.
    score_row : callable
        Scores a row given as a mapping from column name to plain value; returns (prediction, probabilities). Values
        are bool, int, float, str, date, naive datetime or None; predictions are plain too. Raises RowRejected where
        the pipeline would raise.
    """

    def __init__(self, columns: Sequence[Column], checks: RowChecks, estimator_plan: EstimatorPlan) -> None:
        self.columns = tuple(columns)
        self.exactness: Exactness = estimator_plan.margin.exactness
        self.classes = estimator_plan.link.classes
        self._checks = checks
        self._estimator_plan = estimator_plan
        self._names = [column.name for column in columns]
        self.score_row = _compile(self._names, checks, estimator_plan)

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but the compiled function, which is generated again."""
        return {name: value for name, value in self.__dict__.items() if name != "score_row"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Compile the row function again."""
        self.__dict__.update(state)
        self.score_row = _compile(self._names, self._checks, self._estimator_plan)

    @property
    def depends_on_batch(self) -> bool:
        """Whether a row's last bits may depend on the other rows in its batch."""
        return self._estimator_plan.link.depends_on_batch

    def score_rows(self, rows: Sequence[Mapping[str, Value]]) -> Scores:
        """Score rows of plain values (mappings as in `score_row`).

        Raises
        ------
        RowRejected
            If the pipeline would raise on one of them.
        """
        if len(rows) <= MAX_ROWS_FOR_ROW_PLAN and rows and not self.depends_on_batch:
            return self._to_scores([self.score_row(row) for row in rows])
        width = len(self._names)
        # One pass over the rows: with one pass a column, each row would have left the CPU cache before the next pass.
        values = list(chain.from_iterable(map(_row_getter(self._names), rows)))
        return self.score_batch(BatchContext(lambda i: _to_array(values[i::width], self.columns[i].storage), len(rows)))

    def score_columns(self, columns: Mapping[str, Array | StringColumn]) -> Scores:
        """Score NumPy columns of shape (n,) in their storage dtypes.

        Strings are a StringColumn, or an array of dtype object or StringDType with None or NaN where missing;
        datetimes are datetime64.
        """
        return self.score_batch(BatchContext(self.column_reader(columns), len(columns[self._names[0]])))

    def column_reader(self, columns: Mapping[str, Array | StringColumn]) -> Callable[[int], Any]:
        """Return a function that reads the storage array of the column at a position; columns as in `score_columns`."""
        return lambda position: _to_storage(columns[self._names[position]], self.columns[position].storage)

    def score_batch(self, batch: BatchContext) -> Scores:
        """Score the rows of a batch whose inputs are storage arrays."""
        with np.errstate(all="ignore"):
            self._checks.check_batch(batch)
            return self._estimator_plan.link.batch_scores(self._estimator_plan.margin.evaluate(batch))

    def _to_scores(self, row_scores: list[RowScore]) -> Scores:
        """Convert results of single rows to arrays."""
        predictions = [prediction for prediction, _ in row_scores]
        if self.classes is None:
            return Scores(np.array(predictions, dtype=np.float64), None)
        return Scores(
            np.array(predictions, dtype=self.classes.dtype),
            np.array([probabilities for _, probabilities in row_scores], dtype=np.float64),
        )


def _compile(
    names: list[str], checks: RowChecks, estimator_plan: EstimatorPlan
) -> Callable[[Mapping[str, Value]], RowScore]:
    """Generate and compile the row function."""
    writer = CodeWriter()
    checks.emit(writer)
    margin = estimator_plan.margin.emit(writer)
    writer.namespace["row_score"] = estimator_plan.link.row_score
    writer.namespace["values_of"] = _row_getter(names)
    inputs = "".join(f"r{index}, " for index in range(len(names)))
    body = "\n    ".join([f"{inputs}= values_of(row)", *writer.lines, f"return row_score({margin})"])
    source = f"def score_row(row):\n    {body}\n"
    exec(compile(source, "<row plan>", "exec"), writer.namespace)  # noqa: S102 (see the module's docstring)
    score_row: Callable[[Mapping[str, Value]], RowScore] = writer.namespace["score_row"]
    return score_row


def _row_getter(names: Sequence[str]) -> Callable[[Mapping[str, Value]], tuple[Value, ...]]:
    """Return a function that takes the values of these names out of a row, as a tuple."""
    if len(names) > 1:
        return itemgetter(*names)
    [name] = names
    return lambda row: (row[name],)


def _to_array(values: list[Any], storage: str) -> Any:
    """Convert plain values to the storage array; strings stay a list."""
    if storage == "str":
        return values
    if storage == "datetime64[us]":
        return to_datetime64(values)
    return np.array(values, dtype=storage)


def _to_storage(values: Array | StringColumn, storage: str) -> Any:
    """Convert a NumPy column to the storage array; strings become a list with None where missing."""
    if isinstance(values, StringColumn):
        return values
    if storage == "str":
        return [value if isinstance(value, str) else None for value in values.tolist()]
    return np.asarray(values, dtype=storage)
