"""One part of a table → its scores and its rejected rows: the function that runs in threads and on clusters."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skline.artifact import Artifact
from skline.batch.judge import Judge
from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.scoring.answers import Scores
from skline.scoring.load import load
from skline.scoring.plan import Plan
from skline.scoring.source import Array
from skline.scoring.texts import Texts

Columns = Mapping[str, Array | Texts]
TYPES = {"boolean": pa.bool_(), "integer": pa.int64(), "number": pa.float64(), "string": pa.string()}
NOT_FINITE = "the model has no finite answer; the row's values are too extreme"


class Part(NamedTuple):
    """What became of some rows of a table: as many as `scored` and `rejected` have together."""

    scored: pa.RecordBatch
    rejected: pa.RecordBatch


class PartScorer:
    """Scores parts of a table with a verified artifact.

    Parameters
    ----------
    folder : Path
        The artifact.
    digest : str
        Sha256 that it must have.
    keep : sequence of str
        Columns of the table that go into the scores.

    Attributes
    ----------
    columns : list of str
        The columns that a part must have: the inputs, and those to be kept.
    texts : list of str
        Inputs that are strings.
    """

    def __init__(self, folder: Path, digest: str, keep: Sequence[str]) -> None:
        artifact = Artifact.open(folder, digest)
        contract = artifact.contract
        self.version = artifact.version
        self.keep = list(keep)
        self.inputs = contract.input_names
        self.columns = [*self.inputs, *(name for name in keep if name not in self.inputs)]
        self.texts = [column.name for column in contract.inputs if column.kind == "string"]
        self._judge = Judge(contract)
        self._fields = answer_fields(contract)
        taken = {"row", *(field.name for field in self._fields)} & set(keep)
        if taken:
            raise SklineError(
                f"the column {min(taken)!r} cannot be kept: the scores have a column of that name; rename it"
            )
        found, self.scoring = load(artifact)
        self._score: Callable[[Columns], Scores] = (
            found.score_columns if isinstance(found, Plan) else _pipeline(found, contract.inputs)
        )

    def score(self, batch: pa.RecordBatch, first: int = 0) -> Part:
        """Score rows of which the first is row `first` of the table."""
        judged = self._judge.judge(batch)
        reasons = judged.rejected
        scores, refused = self._ask(judged.columns, len(judged.accepted))
        accepted = judged.accepted
        if refused:
            reasons |= {int(accepted[position]): [reason] for position, reason in refused.items()}
            accepted = np.delete(accepted, list(refused))
            reasons = dict(sorted(reasons.items()))
        return Part(self._scored(batch, accepted, scores, first), self._rejected(batch, reasons, first))

    def _ask(self, columns: Columns, size: int) -> tuple[Scores | None, dict[int, str]]:
        """Ask the model; rows that it refuses, or has no finite answer to, are found by halving."""
        if size == 0:
            return None, {}
        try:
            scores = self._score(columns)
        except ValueError as error:
            if size == 1:
                return None, {0: f"the model cannot score this: {error}"}
            middle = size // 2
            halves = [
                self._ask({name: values[rows] for name, values in columns.items()}, count)
                for rows, count in ((np.arange(middle), middle), (np.arange(middle, size), size - middle))
            ]
            (left, refused), (right, others) = halves
            return _joined(left, right), refused | {middle + position: reason for position, reason in others.items()}
        numbers = scores.predictions if scores.probabilities is None else scores.probabilities
        finite = np.isfinite(numbers).reshape(size, -1).all(axis=1)
        if finite.all():
            return scores, {}
        return scores[finite], dict.fromkeys(np.flatnonzero(~finite).tolist(), NOT_FINITE)

    def _scored(
        self, batch: pa.RecordBatch, rows: npt.NDArray[np.int64], scores: Scores | None, first: int
    ) -> pa.RecordBatch:
        """Row numbers, answers and kept columns."""
        arrays = [pa.array(rows + first)]
        if scores is None:
            arrays += [pa.array([], field.type) for field in self._fields]
        else:
            arrays.append(pa.array(scores.predictions, self._fields[0].type))
            if scores.probabilities is not None:
                arrays += [pa.array(np.ascontiguousarray(chances)) for chances in scores.probabilities.T]
        kept = _taken(batch.select(self.keep), rows)
        fields = [pa.field("row", pa.int64()), *self._fields, *kept.schema]
        return pa.RecordBatch.from_arrays([*arrays, *kept.columns], schema=pa.schema(fields))

    def _rejected(self, batch: pa.RecordBatch, reasons: dict[int, list[str]], first: int) -> pa.RecordBatch:
        """Row numbers, all reasons, and the cells as they were found."""
        rows = np.array(list(reasons), dtype=np.int64)
        shown = [name for name in batch.schema.names if name not in ("row", "reasons")]
        cells = _taken(batch.select(shown), rows)
        fields = [pa.field("row", pa.int64()), pa.field("reasons", pa.string()), *cells.schema]
        words = pa.array(["; ".join(said) for said in reasons.values()], pa.string())
        return pa.RecordBatch.from_arrays([pa.array(rows + first), words, *cells.columns], schema=pa.schema(fields))


def answer_fields(contract: Contract) -> list[pa.Field]:
    """The columns of an answer: the prediction, and the probability of each class as `/predict` names it."""
    if contract.classes is None:
        return [pa.field("prediction", pa.float64())]
    names = [str(value).lower() if isinstance(value, bool) else str(value) for value in contract.classes]
    chances = [pa.field(f"probability_{name}", pa.float64()) for name in names]
    return [pa.field("prediction", TYPES[contract.target.kind]), *chances]


def _pipeline(pipeline: Any, columns: Sequence[Column]) -> Callable[[Columns], Scores]:
    """Score columns by the pipeline itself."""
    from skline.scoring.fallback import frame_scorer

    return partial(_score_frame, frame_scorer(pipeline), columns)


def _score_frame(score: Callable[[Any], Scores], columns: Sequence[Column], values: Columns) -> Scores:
    """Build the DataFrame that the pipeline was fitted on, and score it."""
    import pandas as pd

    from skline.contract.frames import to_storage

    def stored(column: Column) -> Any:
        given = values[column.name]
        return to_storage(list(given), column.storage) if isinstance(given, Texts) else given

    return score(pd.DataFrame({column.name: stored(column) for column in columns}))


def _joined(first: Scores | None, second: Scores | None) -> Scores | None:
    """Scores of two runs of rows, None standing for no rows."""
    if first is None or second is None:
        return second if first is None else first
    chances = None
    if first.probabilities is not None and second.probabilities is not None:
        chances = np.concatenate([first.probabilities, second.probabilities])
    return Scores(np.concatenate([first.predictions, second.predictions]), chances)


def _taken(batch: pa.RecordBatch, rows: npt.NDArray[np.int64]) -> pa.RecordBatch:
    """Some rows, dictionaries decoded: they differ from part to part."""
    chosen = batch if len(rows) == batch.num_rows else batch.take(pa.array(rows))
    arrays = [array.dictionary_decode() if pa.types.is_dictionary(array.type) else array for array in chosen.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
