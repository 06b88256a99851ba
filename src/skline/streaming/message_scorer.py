"""Score the values of messages: each gets a prediction, or the reasons why its row is rejected."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from skline.batch.part import Columns, PartScorer, PredictedPart
from skline.contract.suggestions import json_absence_hints
from skline.errors import SklineError
from skline.scoring.scores import Scores
from skline.sources.kafka_messages import Decoder, Row, UndecodableMessage

#: Fields of every prediction; no kept column has such a name.
OWN_FIELDS = frozenset({
    "prediction", "probabilities", "interval", "model_version", "lookups", "prediction_id", "partition", "offset",
})  # fmt: skip
#: The message of `/predict` about a field that a row lacks.
MISSING_FIELD = "Field required"
#: Raised by Arrow for values that no column holds.
UNFIT = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, UnicodeError)


class ScoredRows(NamedTuple):
    """Rows of a batch that were scored together, as columns, for the prediction log.

    Attributes
    ----------
    scorer : PartScorer
    positions : list of int
        Of their messages in the batch.
    columns : mapping of str to array or StringColumn
        All inputs.
    scores : Scores
    lookups : dict of str to list of str
        The outcome of each look-up for each row.
    contents : list of dict
        See `ScoredMessages`.
    """

    scorer: PartScorer
    positions: list[int]
    columns: Columns
    scores: Scores
    lookups: dict[str, list[str]]
    contents: list[dict[str, Any]]


class ScoredMessages(NamedTuple):
    """What became of n messages.

    Attributes
    ----------
    content : list of dict or None of length n
        prediction, probabilities or interval, model_version, lookups, and the kept fields; None where a row is
        rejected.
    reasons : dict from position to str
        Why the others are rejected.
    parts : sequence of ScoredRows
        The rows that were scored.
    """

    content: list[dict[str, Any] | None]
    reasons: dict[int, str]
    parts: Sequence[ScoredRows] = ()


class MessageScorer:
    """Scores values of messages by one model.

    Parameters
    ----------
    scorer : PartScorer
        Without columns to keep.
    decode : callable
        Returns the row of a value, or raises UndecodableMessage.
    keep : sequence of str
        Fields of the message that are copied to the prediction; missing ones are null.

    Raises
    ------
    SklineError
        If a kept field has the name of another field of the predictions.
    """

    def __init__(self, scorer: PartScorer, decode: Decoder, keep: Sequence[str] = ()) -> None:
        self._scorer, self._decode, self._keep = scorer, decode, list(keep)
        self._hints = json_absence_hints(scorer.contract)
        if reserved := OWN_FIELDS & set(keep):
            raise SklineError(
                f"the field {min(reserved)!r} cannot be kept: predictions have a field of that name; rename it"
            )

    def __call__(self, values: Sequence[bytes | None]) -> ScoredMessages:
        """Score values; each is either in `content` or in `reasons`."""
        reasons: dict[int, str] = {}
        rows = self._complete_rows(values, reasons)
        content: list[dict[str, Any] | None] = [None] * len(values)
        parts = []
        for positions, batch in typed_batches(rows, self._scorer.inputs, reasons):
            part = self._scorer.predict(batch)
            reasons |= {positions[row]: "; ".join(messages) for row, messages in part.reasons.items()}
            if part.scores is None:
                continue
            contents = contents_of(part, part.scores, self._scorer)
            scored = positions if len(part.rows) == len(positions) else [positions[row] for row in part.rows.tolist()]
            for position, fields in zip(scored, contents, strict=True):
                content[position] = fields
                for name in self._keep:
                    fields[name] = rows[position].get(name)
            parts.append(ScoredRows(self._scorer, scored, part.columns, part.scores, part.row_lookups, contents))
        return ScoredMessages(content, reasons, parts)

    def _complete_rows(self, values: Sequence[bytes | None], reasons: dict[int, str]) -> dict[int, Row]:
        """Decode the rows that have all inputs; `reasons` gets why the others are rejected."""
        rows: dict[int, Row] = {}
        decode, names = self._decode, self._scorer.inputs
        inputs = frozenset(names)
        for position, value in enumerate(values):
            try:
                row = decode(value)
            except UndecodableMessage as error:
                reasons[position] = str(error)
                continue
            if row.keys() >= inputs:
                rows[position] = row
            else:
                reasons[position] = "; ".join(
                    f"{name}: {MISSING_FIELD}{self._hints.get(name, '')}" for name in names if name not in row
                )
        return rows


def contents_of(part: PredictedPart, scores: Scores, scorer: PartScorer) -> list[dict[str, Any]]:
    """Return the predictions of a part in the form of `/predict`."""
    version, predictions = scorer.version, scores.predictions.tolist()
    names = scorer.contract.class_names
    contents: list[dict[str, Any]]
    if scores.probabilities is not None and names is not None:
        contents = [
            {"prediction": prediction, "probabilities": dict(zip(names, each, strict=True)), "model_version": version}
            for prediction, each in zip(predictions, scores.probabilities.tolist(), strict=True)
        ]
    elif (half_width := scorer.half_width) is not None:
        contents = [
            {"prediction": each, "interval": [each - half_width, each + half_width], "model_version": version}
            for each in predictions
        ]
    else:
        contents = [{"prediction": each, "model_version": version} for each in predictions]
    if part.row_lookups:
        for fields, outcomes in zip(contents, zip(*part.row_lookups.values(), strict=True), strict=True):
            fields["lookups"] = dict(zip(part.row_lookups, outcomes, strict=True))
    return contents


def typed_batches(
    rows: Mapping[int, Row], names: Sequence[str], reasons: dict[int, str]
) -> list[tuple[list[int], pa.RecordBatch]]:
    """Return rows as columns, in batches in which no column has values of several types.

    A column of texts and numbers would have to be text, and the contract would read a number where a text is.

    Parameters
    ----------
    rows : mapping from position to row
    names : sequence of str
        The fields that become columns.
    reasons : dict
        Gets the reasons of rows with a value that no column holds, such as a number of 30 digits.
    """
    if not rows:
        return []
    columns = _columns(rows.values(), names)
    mixed = [cells for cells in columns.values() if is_mixed(set(map(type, cells)))]
    if not mixed:
        try:
            return [(list(rows), _batch(columns))]
        except UNFIT:
            return _batches_of_one(rows, list(rows), names, reasons)
    groups: dict[tuple[type, ...], list[int]] = {}
    for position, *cells in zip(rows, *mixed, strict=True):
        groups.setdefault(tuple(map(type, cells)), []).append(position)
    batches = []
    for positions in groups.values():
        try:
            batches.append((positions, _batch(_columns([rows[position] for position in positions], names))))
        except UNFIT:
            batches += _batches_of_one(rows, positions, names, reasons)
    return batches


def _batches_of_one(
    rows: Mapping[int, Row], positions: Sequence[int], names: Sequence[str], reasons: dict[int, str]
) -> list[tuple[list[int], pa.RecordBatch]]:
    """Return each row as a batch; those that cannot be one get a reason."""
    batches = []
    for position in positions:
        try:
            batches.append(([position], _batch(_columns([rows[position]], names))))
        except UNFIT as error:
            reasons[position] = f"a value of the row cannot be read: {' '.join(str(error).split())}"
    return batches


def _columns(rows: Collection[Row], names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in names}


def is_mixed(types: set[type]) -> bool:
    """Whether values of these types would change in one column; whole numbers among fractions do not."""
    types = types - {type(None)}
    return len(types) > 1 and types != {int, float}


def _batch(columns: Mapping[str, list[Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(cells) for cells in columns.values()], names=list(columns))


def to_json(fields: Mapping[str, Any]) -> bytes:
    """Return a prediction as JSON; values of Avro that JSON has not are text."""
    return orjson.dumps(fields, default=str)


#: Scores the values of a batch of messages.
ScoreMessages = Callable[[Sequence[bytes | None]], ScoredMessages]
