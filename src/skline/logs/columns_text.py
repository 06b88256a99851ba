"""Columns as JSON text, row by row, for the prediction log: Arrow concatenates the texts of all rows at once."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from skline.contract.spec import Column
from skline.scoring.scores import Scores
from skline.scoring.string_column import StringColumn

#: A number with this pattern is a fraction, and stays one when it is read.
FRACTION = "[.e]"


def rows_text(
    columns: Sequence[Column],
    values: Mapping[str, Any],
    scores: Scores,
    classes: Sequence[str] | None,
    lookups: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Return the JSON array of rows that `skline.logs.request_rows.RequestRows` has.

    Parameters
    ----------
    columns : sequence of Column
        The inputs of the contract.
    values : mapping of str to array or StringColumn of shape (n,)
        In their storage dtypes.
    scores : Scores
    classes : sequence of str or None
        The names of the classes, in the order of the probabilities.
    lookups : mapping of str to sequence of str, optional
        The outcome of each look-up for each row.
    """
    members = {column.name: column_text(column, values[column.name]) for column in columns}
    parts: list[Any] = ["[", *object_parts(members), ",", prediction_text(scores.predictions)]
    if scores.probabilities is not None and classes is not None:
        probabilities = {name: float_text(scores.probabilities[:, index]) for index, name in enumerate(classes)}
        parts += [",", *object_parts(probabilities)]
    if lookups:
        parts += [",", *object_parts({name: _quoted(pa.array(found)) for name, found in lookups.items()})]
    rows = pc.binary_join_element_wise(*merged([*parts, "]"]), "")
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(rows)], pa.int32()), rows), ",")
    text: str = pc.binary_join_element_wise("[", joined, "]", "")[0].as_py()
    return text


def merged(parts: Sequence[Any]) -> list[Any]:
    """Join adjacent constant texts: Arrow copies each part for each row, so fewer parts take less time."""
    return [
        part
        for is_text, group in groupby(parts, lambda part: isinstance(part, str))
        for part in (["".join(group)] if is_text else group)
    ]


def object_parts(members: Mapping[str, pa.Array]) -> list[Any]:
    """Return the texts, and arrays of texts, that make an object of each row when they are concatenated."""
    parts: list[Any] = []
    for name, texts in members.items():
        parts += [f"{',' if parts else '{'}{orjson.dumps(name).decode()}:", texts]
    return [*parts, "}"]


def column_text(column: Column, values: Any) -> pa.Array:
    """Return the values of a column as JSON texts; those of a missing value are null."""
    if isinstance(values, StringColumn):
        texts = [orjson.dumps(value).decode() for value in values.values]
        return pa.array(texts, pa.string()).take(pa.array(values.codes))
    match column.kind:
        case "number":
            return float_text(values)
        case "date":
            encoded = pa.array(values).cast(pa.date32()).dictionary_encode()
            return _quoted(encoded.dictionary.cast(pa.string())).take(encoded.indices).fill_null("null")
        case "datetime":
            encoded = pa.array(values).dictionary_encode()
            moments = [None if each is None else each.isoformat() for each in encoded.dictionary.to_pylist()]
            return _quoted(pa.array(moments, pa.string())).take(encoded.indices).fill_null("null")
        case _:
            kind = pa.bool_() if column.kind == "boolean" else pa.int64()
            missing = np.isnan(values) if values.dtype.kind == "f" else None
            cells = pa.array(values, mask=missing).cast(kind) if missing is not None else pa.array(values)
            return cells.cast(pa.string()).fill_null("null")


def prediction_text(predictions: Any) -> pa.Array:
    """Return predictions as JSON texts."""
    if predictions.dtype.kind == "f":
        return float_text(predictions)
    distinct, codes = np.unique(predictions, return_inverse=True)
    return pa.array([orjson.dumps(value).decode() for value in distinct.tolist()], pa.string()).take(pa.array(codes))


def float_text(values: Any) -> pa.Array:
    """Return numbers as the shortest texts that are read as the same numbers; NaN is null."""
    numbers = np.ascontiguousarray(values, np.float64)
    if not (numbers == np.trunc(numbers)).any():
        return pa.array(numbers, from_pandas=True).cast(pa.string()).fill_null("null")
    # Whole numbers repeat, and need more work. By their bits, because 0.0 and -0.0 are equal.
    encoded = pa.array(numbers.view(np.int64)).dictionary_encode()
    texts = pa.array(encoded.dictionary.to_numpy().view(np.float64), from_pandas=True).cast(pa.string())
    is_fraction = pc.match_substring_regex(texts, FRACTION)
    texts = pc.if_else(is_fraction, texts, pc.binary_join_element_wise(texts, ".0", ""))
    return texts.fill_null("null").take(encoded.indices)


def _quoted(texts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise('"', texts, '"', "").fill_null("null")
