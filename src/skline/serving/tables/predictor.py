"""Predict for a table, as `/predict/batch` does for rows: by columns where a plan can, and else row by row."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from skline.batch.validation import BatchValidator
from skline.contract.spec import Row
from skline.ids import concatenated_prediction_ids
from skline.logs.columns_text import rows_text
from skline.scoring.plan import MAX_ROWS_FOR_ROW_PLAN, Plan
from skline.serving.errors import RequestError
from skline.serving.models.model import LoadedModel
from skline.serving.models.response import check_rows, not_scorable
from skline.serving.models.scorers import PlanScorer
from skline.serving.prediction.parsing import RequestParser
from skline.serving.prediction.predictor import Predictor
from skline.serving.prediction.recorder import PredictedBatch, Recorder
from skline.serving.protocols.columns import check_columns
from skline.serving.security.context import RequestContext
from skline.serving.tables.reading import TableLimits, read_table
from skline.serving.tables.writing import table_of_contents, table_of_scores, to_bytes


class TablePredictor:
    """Predicts for tables.

    Parameters
    ----------
    predictor : Predictor
    recorder : Recorder
    parser : RequestParser
    limits : TableLimits
    """

    def __init__(self, predictor: Predictor, recorder: Recorder, parser: RequestParser, limits: TableLimits) -> None:
        self._predictor, self._recorder, self._parser, self._limits = predictor, recorder, parser, limits
        self._validator = BatchValidator(parser.contract)

    async def predict(
        self, body: bytes, media_type: bytes, context: RequestContext | None, labels: Mapping[str, str]
    ) -> bytes:
        """Return the predictions for a table, as a table of the same type.

        Parameters
        ----------
        body : bytes
        media_type : bytes
            One of `skline.serving.tables.media_types`.
        context : RequestContext or None
        labels : mapping of str to str
            Other names of the classes in the response.

        Raises
        ------
        RequestError
            As for rows of JSON; and 422 or 413 if the table is invalid or too large.
        """
        model = self._predictor.plain_model
        if model is not None and isinstance(model.scorer, PlanScorer) and self._recorder.takes_columns:
            work = partial(self._predict_columns, model, model.scorer.plan, body, media_type, context, labels)
            if (result := await self._predictor.predict_prepared(work)) is not None:
                return result.body
        rows = partial(self._read_rows, body, media_type)
        batch = await self._predictor.predict_batch(rows, context)
        return await self._predictor.run_in_batch_thread(
            lambda: to_bytes(table_of_contents(batch.contents, self._parser.contract, labels), media_type)
        )

    def _predict_columns(
        self,
        model: LoadedModel,
        plan: Plan,
        body: bytes,
        media_type: bytes,
        context: RequestContext | None,
        labels: Mapping[str, str],
    ) -> PredictedBatch | None:
        """Predict by columns; None for a few rows, invalid ones, and if the plan fails: these are done by rows."""
        batch = self._read(body, media_type)
        if batch.num_rows <= MAX_ROWS_FOR_ROW_PLAN:  # rows of JSON are scored one by one then
            return None
        validated = self._validator.validate(batch)
        if validated.rejected:
            return None
        try:
            scores = plan.score_columns(validated.columns)
        except ValueError as error:
            raise not_scorable(error) from error
        except Exception:  # noqa: BLE001 - the rows fail as well, and a fallback may succeed
            return None
        check_rows(scores)
        contract, builder = self._parser.contract, model.response_builder
        ids = concatenated_prediction_ids(batch.num_rows)
        table = table_of_scores(scores, builder, ids, contract, labels)
        text = partial(rows_text, contract.inputs, validated.columns, scores, builder.class_names)
        return self._recorder.prepare_columns(
            validated.columns, scores, builder, context, ids, text, to_bytes(table, media_type)
        )

    def _read_rows(self, body: bytes, media_type: bytes) -> Sequence[Row]:
        """Read the rows of a table, and validate them as rows of JSON."""
        return self._parser.validate_rows(to_rows(self._read(body, media_type)))

    def _read(self, body: bytes, media_type: bytes) -> pa.RecordBatch:
        """Read a table; RequestError (422) if its columns are not the contract's."""
        batch = read_table(body, media_type, self._limits)
        if set(batch.schema.names) != set(self._parser.contract.input_names):
            check_columns(self._parser.contract, [dict.fromkeys(batch.schema.names)] * max(batch.num_rows, 1))
        return batch


def to_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return the rows of a table as values that JSON can hold, NaN as None; RequestError (422) if one has none."""
    columns = {name: _values(name, batch.column(name)) for name in batch.schema.names}
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _values(name: str, column: pa.Array) -> list[Any]:
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)  # microseconds are what a contract has
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError) as error:
        raise RequestError(422, f"a value is out of range ({error})", "value_error", loc=("body", name)) from None
    return [None if value != value else value for value in values] if pa.types.is_floating(kind) else values  # noqa: PLR0124
