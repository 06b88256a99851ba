"""The plan of a fitted pipeline: the same arithmetic without DataFrames, for one row and for many.

The row plan is Python source, generated once and compiled. It is safe to execute because only names that are
made up here and operators from this package stand in it: numbers, categories and every other value that came
from data or from the fitted estimators are constants in its namespace, and no text is formatted into it.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from skline.contract.spec import Column, Value
from skline.scoring.answers import Exactness, NotPlannable, RowAnswer, Scores
from skline.scoring.matrix import Reading, inputs
from skline.scoring.model import Model
from skline.scoring.source import Array, Batch, Source
from skline.scoring.stamps import to_stamps
from skline.scoring.texts import Texts

#: Up to so many rows the row plan, called for each, is faster than setting up arrays.
FEW_ROWS = 8


def build_plan(pipeline: Any, columns: Sequence[Column]) -> "Plan":
    """Read a fitted pipeline.

    Parameters
    ----------
    pipeline : estimator
        A fitted scikit-learn Pipeline (or a single estimator) that was fitted on frames of these columns.
    columns : sequence of Column
        The inputs, in the order in which the pipeline's frames have them.

    Raises
    ------
    NotPlannable
        If a step, a type or a parameter is not one whose arithmetic is known. The message names it.
    """
    from sklearn import get_config

    from skline.scoring.models import read_model  # with scikit-learn, which a stored plan does without

    if get_config()["transform_output"] != "default":
        raise NotPlannable("sklearn's transform_output is set globally; leave it 'default'")
    reading = Reading()
    model = read_model(reading, pipeline, inputs(columns))
    return Plan(columns, reading, model)


class Plan:
    """The arithmetic of a fitted pipeline.

    Attributes
    ----------
    exactness : {"bits", "ulp"}
        "bits": every answer equals the pipeline's for the same rows, bit for bit. "ulp": the pipeline itself
        gives a row other last bits alone than in a batch; the plan gives within 4 ulp what it gives alone.
    batchwise : bool
        Whether a row's last bits may depend on the other rows in its batch, as the pipeline's own do.
    classes : ndarray or None
        The classes in the order of the probabilities; None for regressors.
    score_tuple : callable
        A row as a tuple of plain values in the order of the columns → (prediction, probabilities).
    score_row : callable
        A row as a mapping from column name to plain value → (prediction, probabilities). Values are bool,
        int, float, str, date, naive datetime or None; predictions are plain too. Raises RowRefused where the
        pipeline would raise.
    """

    def __init__(self, columns: Sequence[Column], reading: Reading, model: Model) -> None:
        self.columns = tuple(columns)
        self.exactness: Exactness = model.margin.exactness
        self.classes = model.link.classes
        self._reading = reading
        self._model = model
        self._names = [column.name for column in columns]
        self.score_tuple, self.score_row = _compile(self._names, reading, model)

    def __getstate__(self) -> dict[str, Any]:
        """All but the compiled functions, which are written anew."""
        return {name: value for name, value in self.__dict__.items() if not name.startswith("score_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Compile the row functions again."""
        self.__dict__.update(state)
        self.score_tuple, self.score_row = _compile(self._names, self._reading, self._model)

    @property
    def batchwise(self) -> bool:
        """Whether a row's last bits may depend on the other rows in its batch."""
        return self._model.link.batchwise

    def score_rows(self, rows: Sequence[Mapping[str, Value]]) -> Scores:
        """Score rows of plain values (mappings as in `score_row`).

        Raises
        ------
        RowRefused
            If the pipeline would raise on one of them.
        """
        if len(rows) <= FEW_ROWS and rows and not self.batchwise:
            return self._collect([self.score_row(row) for row in rows])
        width = len(self._names)
        # One pass over the rows: a column of it at a time would come upon each of them when it is in no cache any more.
        values = list(chain.from_iterable(map(_pick(self._names), rows)))
        return self._score(lambda i: _column(values[i::width], self.columns[i].storage), len(rows))

    def score_columns(self, columns: Mapping[str, Array | Texts]) -> Scores:
        """Score NumPy columns of shape (n,) in their storage dtypes.

        Strings are Texts, or object arrays or StringDType, None or NaN where missing; datetimes are datetime64.
        """
        size = len(columns[self._names[0]])
        return self._score(lambda i: _stored(columns[self._names[i]], self.columns[i].storage), size)

    def _score(self, read: Callable[[int], Any], size: int) -> Scores:
        batch = Batch(read, size)
        with np.errstate(all="ignore"):
            self._reading.check(batch)
            return self._model.link.answers(self._model.margin.values(batch))

    def _collect(self, answers: list[RowAnswer]) -> Scores:
        """Rows' answers as arrays."""
        predictions = [prediction for prediction, _ in answers]
        if self.classes is None:
            return Scores(np.array(predictions, dtype=np.float64), None)
        return Scores(
            np.array(predictions, dtype=self.classes.dtype),
            np.array([chances for _, chances in answers], dtype=np.float64),
        )


def _compile(
    names: list[str], reading: Reading, model: Model
) -> tuple[Callable[..., RowAnswer], Callable[..., RowAnswer]]:
    """Write and compile the row functions: from a tuple, and from a mapping."""
    source = Source()
    reading.emit(source)
    margin = model.margin.emit(source)
    source.namespace["answer"] = model.link.answer
    source.namespace["pick"] = _pick(names)
    given = "".join(f"r{index}, " for index in range(len(names)))
    body = "\n    ".join([*source.lines, f"return answer({margin})"])
    text = "".join(
        f"def {name}(row):\n    {given}= {values}\n    {body}\n"
        for name, values in (("score_tuple", "row"), ("score_row", "pick(row)"))
    )
    exec(compile(text, "<row plan>", "exec"), source.namespace)  # noqa: S102 (see the module's docstring)
    return source.namespace["score_tuple"], source.namespace["score_row"]


def _pick(names: Sequence[str]) -> Callable[[Mapping[str, Value]], tuple[Value, ...]]:
    """Return a function that takes the values of some names out of a row."""
    if len(names) > 1:
        return itemgetter(*names)
    [name] = names
    return lambda row: (row[name],)


def _column(values: list[Any], storage: str) -> Any:
    """Plain values → the storage array; strings stay a list."""
    if storage == "str":
        return values
    if storage == "datetime64[us]":
        return to_stamps(values)
    return np.array(values, dtype=storage)


def _stored(values: Array | Texts, storage: str) -> Any:
    """A NumPy column → the storage array; strings become a list with None where missing, unless they are Texts."""
    if isinstance(values, Texts):
        return values
    if storage == "str":
        return [value if isinstance(value, str) else None for value in values.tolist()]
    return np.asarray(values, dtype=storage)
