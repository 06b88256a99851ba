"""Score one part of a table: the function that runs in threads and on clusters."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skline.artifact import Artifact
from skline.batch.lookups import Outcomes, look_up
from skline.batch.unseen import Unseen, count_unseen, seen_values
from skline.batch.validation import BatchValidator
from skline.contract.cells import is_text
from skline.contract.notation import DURATIONS, as_plain_numbers
from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.lookups.opening import LookupMode, open_patiently
from skline.scoring.code_writer import Array
from skline.scoring.equality import concatenate
from skline.scoring.load import load_plan_or_pipeline
from skline.scoring.plan import Plan
from skline.scoring.scores import Scores
from skline.scoring.string_column import StringColumn

Columns = Mapping[str, Array | StringColumn]
ARROW_TYPES = {"boolean": pa.bool_(), "integer": pa.int64(), "number": pa.float64(), "string": pa.string()}
NOT_FINITE = "the model's prediction is not finite; the row's values are too extreme"


class ScoredPart(NamedTuple):
    """The result of scoring some rows of a table; `scored` and `rejected` together have as many rows.

    Attributes
    ----------
    unseen : dict of str to Unseen
        Values of text columns that no training row has, among the scored rows.
    lookups : dict
        Numbers of rows by look-up and outcome.
    """

    scored: pa.RecordBatch
    rejected: pa.RecordBatch
    unseen: dict[str, Unseen]
    lookups: Outcomes


class PredictedPart(NamedTuple):
    """The predictions for some rows of a table, as columns; `rows` and `reasons` together have all rows.

    Attributes
    ----------
    rows : int64 array
        Positions of the rows that are scored, ascending.
    columns : mapping of str to array or StringColumn
        Their inputs, with those that were looked up.
    scores : Scores or None
        None if there are no rows.
    reasons : dict of int to list of str
        Why each other row is rejected, by position, ascending.
    lookups : dict
        Numbers of rows by look-up and outcome.
    row_lookups : dict of str to list of str
        The outcome of each look-up for each scored row.
    """

    rows: npt.NDArray[np.int64]
    columns: Columns
    scores: Scores | None
    reasons: dict[int, list[str]]
    lookups: Outcomes
    row_lookups: dict[str, list[str]]


class PartScorer:
    """Scores parts of a table with a verified artifact.

    Parameters
    ----------
    folder : Path
        The artifact.
    digest : str
        Sha256 that it must have.
    keep : sequence of str
        Columns of the table that are copied to the scores.
    lookups : {"now", "given"}
        Whether the inputs that callers do not send are looked up now, or the table has them.

    Attributes
    ----------
    version, digest : str
    contract : Contract
    half_width : float or None
        Half of the width of a regression's prediction interval.
    columns : list of str
        The columns that a part must have: the inputs, and those to keep.
    string_columns : list of str
        Inputs that are strings.
    """

    def __init__(self, folder: Path, digest: str, keep: Sequence[str], lookups: LookupMode = "now") -> None:
        artifact = Artifact.open(folder, digest)
        contract = artifact.contract
        self.version, self.digest = artifact.version, artifact.digest
        self.keep, self.lookups = list(keep), lookups
        requested = contract.for_requests() if lookups == "now" else contract
        self.inputs = requested.input_names
        self.columns = [*self.inputs, *(name for name in keep if name not in self.inputs)]
        self.string_columns = [column.name for column in requested.inputs if column.kind == "string"]
        self._notations = {
            column.name: column.notation
            for column in contract.columns
            if column.kind in ("integer", "number") and column.notation is not None and column.notation not in DURATIONS
        }
        self.contract, self._validator = contract, BatchValidator(requested)
        self._lookups = open_patiently(contract) if lookups == "now" else None
        self._seen = seen_values(artifact.profile, contract)
        self.half_width = artifact.interval_half_width
        self._score_fields = score_fields(contract, has_interval=self.half_width is not None)
        reserved = {"row", *(field.name for field in self._score_fields)} & set(keep)
        if reserved:
            raise SklineError(
                f"the column {min(reserved)!r} cannot be kept: the scores have a column of that name; rename it"
            )
        loaded, self.scoring = load_plan_or_pipeline(artifact)
        self._score_columns: Callable[[Columns], Scores] = (
            loaded.score_columns if isinstance(loaded, Plan) else _pipeline_column_scorer(loaded, contract.inputs)
        )

    def score(self, batch: pa.RecordBatch, first_row: int = 0) -> ScoredPart:
        """Score a part whose first row is row `first_row` of the table."""
        part = self.predict(batch)
        return ScoredPart(
            self._scored_rows(batch, part.rows, part.scores, first_row),
            self._rejected_rows(batch, part.reasons, first_row),
            count_unseen(part.columns, self._seen),
            part.lookups,
        )

    def predict(self, batch: pa.RecordBatch) -> PredictedPart:
        """Predict for the rows of a part that keep the contract."""
        validated = self._validator.validate(batch)
        reasons, rows, columns = validated.rejected, validated.accepted, validated.columns
        outcomes: Outcomes = {}
        row_outcomes: dict[str, list[str]] = {}
        if self._lookups is not None:
            part = look_up(self._lookups, self.contract, columns, len(rows))
            reasons |= {int(rows[position]): [reason] for position, reason in part.rejected.items()}
            columns, rows, outcomes, row_outcomes = part.columns, rows[part.kept], part.outcomes, part.row_outcomes
        scores, unscorable = self._score_by_halves(columns, len(rows))
        if unscorable:
            reasons |= {int(rows[position]): [reason] for position, reason in unscorable.items()}
            scored = np.delete(np.arange(len(rows)), list(unscorable))
            columns = {name: values[scored] for name, values in columns.items()}
            row_outcomes = {name: [found[position] for position in scored] for name, found in row_outcomes.items()}
            rows = rows[scored]
        return PredictedPart(rows, columns, scores, dict(sorted(reasons.items())), outcomes, row_outcomes)

    def _score_by_halves(self, columns: Columns, size: int) -> tuple[Scores | None, dict[int, str]]:
        """Score rows; those that the model rejects, or whose prediction is not finite, are isolated by bisection.

        Returns
        -------
        scores : Scores or None
            Of all other rows; None if there are none.
        unscorable : dict from position to reason
        """
        if size == 0:
            return None, {}
        try:
            scores = self._score_columns(columns)
        except ValueError as error:
            if size == 1:
                return None, {0: f"the model cannot score this: {error}"}
            middle = size // 2
            (left, left_reasons), (right, right_reasons) = (
                self._score_by_halves({name: values[rows] for name, values in columns.items()}, len(rows))
                for rows in (np.arange(middle), np.arange(middle, size))
            )
            shifted = {middle + position: reason for position, reason in right_reasons.items()}
            return _join(left, right), left_reasons | shifted
        numbers = scores.predictions if scores.probabilities is None else scores.probabilities
        is_finite = np.isfinite(numbers).reshape(size, -1).all(axis=1)
        if is_finite.all():
            return scores, {}
        return scores[is_finite], dict.fromkeys(np.flatnonzero(~is_finite).tolist(), NOT_FINITE)

    def _scored_rows(
        self, batch: pa.RecordBatch, rows: npt.NDArray[np.int64], scores: Scores | None, first_row: int
    ) -> pa.RecordBatch:
        """Return row numbers, scores and kept columns."""
        arrays = [pa.array(rows + first_row)]
        if scores is None:
            arrays += [pa.array([], field.type) for field in self._score_fields]
        else:
            arrays.append(pa.array(scores.predictions, self._score_fields[0].type))
            if scores.probabilities is not None:
                arrays += [pa.array(np.ascontiguousarray(column)) for column in scores.probabilities.T]
            elif self.half_width is not None:
                arrays += [pa.array(scores.predictions + distance) for distance in (-self.half_width, self.half_width)]
        kept = self._as_plain_numbers(_select_rows(batch.select(self.keep), rows))
        fields = [pa.field("row", pa.int64()), *self._score_fields, *kept.schema]
        metadata = {"skline.model_version": self.version}  # Parquet files keep it
        return pa.RecordBatch.from_arrays([*arrays, *kept.columns], schema=pa.schema(fields, metadata))

    def _as_plain_numbers(self, kept: pa.RecordBatch) -> pa.RecordBatch:
        """Write the numbers of kept columns as the scores are written, whatever notation the table has."""
        arrays = [
            as_plain_numbers(cells, self._notations[name]) if name in self._notations and is_text(cells.type) else cells
            for name, cells in zip(kept.schema.names, kept.columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, names=kept.schema.names)

    def _rejected_rows(self, batch: pa.RecordBatch, reasons: dict[int, list[str]], first_row: int) -> pa.RecordBatch:
        """Return row numbers, all reasons, and the cells unchanged."""
        rows = np.array(list(reasons), dtype=np.int64)
        names = [name for name in batch.schema.names if name not in ("row", "reasons")]
        cells = _select_rows(batch.select(names), rows)
        fields = [pa.field("row", pa.int64()), pa.field("reasons", pa.string()), *cells.schema]
        joined = pa.array(["; ".join(messages) for messages in reasons.values()], pa.string())
        arrays = [pa.array(rows + first_row), joined, *cells.columns]
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def score_fields(contract: Contract, *, has_interval: bool) -> list[pa.Field]:
    """Return the columns of a score, those of `skline.loading.Model.predict`.

    They are the prediction, the probability of each class under the API's name for it, and the ends of a regression's
    prediction interval.
    """
    if contract.class_names is None:
        ends = ["interval_low", "interval_high"] if has_interval else []
        return [pa.field(name, pa.float64()) for name in ("prediction", *ends)]
    probabilities = [pa.field(f"probability_{name}", pa.float64()) for name in contract.class_names]
    return [pa.field("prediction", ARROW_TYPES[contract.target.kind]), *probabilities]


def _pipeline_column_scorer(pipeline: Any, columns: Sequence[Column]) -> Callable[[Columns], Scores]:
    """Return a function that scores columns by the pipeline itself."""
    from skline.scoring.pipeline_scorer import frame_scorer

    return partial(_score_as_frame, frame_scorer(pipeline), columns)


def _score_as_frame(score: Callable[[Any], Scores], columns: Sequence[Column], values: Columns) -> Scores:
    """Score columns as a DataFrame."""
    return score(to_frame(columns, values))


def to_frame(columns: Sequence[Column], values: Columns) -> Any:
    """Build a DataFrame like those on which the pipeline was fitted."""
    import pandas as pd

    from skline.contract.frames import to_storage

    def stored_values(column: Column) -> Any:
        column_values = values[column.name]
        if isinstance(column_values, StringColumn):
            return to_storage(list(column_values), column.storage)
        return column_values

    return pd.DataFrame({column.name: stored_values(column) for column in columns})


def _join(first: Scores | None, second: Scores | None) -> Scores | None:
    """Join the scores of two sequences of rows; None stands for no rows."""
    if first is None or second is None:
        return second if first is None else first
    return concatenate([first, second])


def _select_rows(batch: pa.RecordBatch, rows: npt.NDArray[np.int64]) -> pa.RecordBatch:
    """Select rows, and decode dictionaries: they differ from part to part."""
    selected = batch if len(rows) == batch.num_rows else batch.take(pa.array(rows))
    arrays = [array.dictionary_decode() if pa.types.is_dictionary(array.type) else array for array in selected.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
