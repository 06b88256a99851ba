"""Predictions as a table: the members of the response to one row are its columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skline.contract.spec import Contract, class_name
from skline.ids import PREDICTION_ID_LENGTH
from skline.scoring.scores import Scores
from skline.serving.models.response import Content, ResponseBuilder
from skline.serving.tables.media_types import PARQUET

ARROW_TYPES = {"boolean": pa.bool_(), "integer": pa.int64(), "number": pa.float64(), "string": pa.string()}


def table_of_scores(
    scores: Scores, builder: ResponseBuilder, ids: bytes, contract: Contract, labels: Mapping[str, str]
) -> pa.Table:
    """Return the predictions of a model as a table.

    Parameters
    ----------
    scores : Scores
    builder : ResponseBuilder
    ids : bytes
        All prediction ids, concatenated.
    contract : Contract
    labels : mapping of str to str
        Other names of the classes.
    """
    size = len(scores.predictions)
    columns: dict[str, Any] = {"prediction": prediction_array(scores.predictions.tolist(), contract, labels)}
    if scores.probabilities is not None and builder.class_names is not None:
        columns["probabilities"] = pa.StructArray.from_arrays(
            [
                pa.array(np.ascontiguousarray(scores.probabilities[:, index]))
                for index in range(len(builder.class_names))
            ],
            [labels.get(name, name) for name in builder.class_names],
        )
    elif builder.half_width is not None:
        bounds = np.column_stack([scores.predictions - builder.half_width, scores.predictions + builder.half_width])
        columns["interval"] = pa.FixedSizeListArray.from_arrays(pa.array(bounds.ravel(), pa.float64()), 2)
    columns["model_version"] = _repeated(builder.version, size)
    columns["prediction_id"] = id_array(ids)
    return pa.table(columns)


def table_of_contents(contents: Sequence[Content], contract: Contract, labels: Mapping[str, str]) -> pa.Table:
    """Return the responses to rows as a table; see `table_of_scores`."""
    columns: dict[str, Any] = {
        "prediction": prediction_array([content["prediction"] for content in contents], contract, labels)
    }
    classes = None if contract.classes is None else [class_name(value) for value in contract.classes]
    if classes is not None and (not contents or any("probabilities" in content for content in contents)):
        by_row = [content.get("probabilities") for content in contents]
        names = [labels.get(name, name) for name in classes]
        values = [None if row is None else dict(zip(names, map(row.get, classes), strict=True)) for row in by_row]
        columns["probabilities"] = pa.array(values, pa.struct([(name, pa.float64()) for name in names]))
    if any("interval" in content for content in contents):
        columns["interval"] = pa.array([content.get("interval") for content in contents], pa.list_(pa.float64(), 2))
    for name in ("model_version", "prediction_id"):
        columns[name] = pa.array([content[name] for content in contents], pa.string())
    columns["model_version"] = columns["model_version"].dictionary_encode()
    others = dict.fromkeys(name for content in contents for name in content if name not in columns)
    columns |= {name: pa.array([content.get(name) for content in contents]) for name in others}
    return pa.table(columns)


def to_bytes(table: pa.Table, media_type: bytes) -> bytes:
    """Serialize a table as an Arrow IPC stream or as Parquet."""
    sink = pa.BufferOutputStream()
    if media_type == PARQUET:
        pq.write_table(table, sink, use_dictionary=["model_version"], write_statistics=False)
    else:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def prediction_array(values: Sequence[Any], contract: Contract, labels: Mapping[str, str]) -> pa.Array:
    """Return predictions in the type of the target; in other names of the classes, as strings."""
    if contract.classes is None:
        return pa.array(values, pa.float64())
    if labels:
        return pa.array([labels.get(class_name(value), class_name(value)) for value in values], pa.string())
    return pa.array(values, ARROW_TYPES[contract.target.kind])


def id_array(ids: bytes) -> pa.Array:
    """Return concatenated prediction ids as an array, without copying them."""
    size = len(ids) // PREDICTION_ID_LENGTH
    ends = np.arange(size + 1, dtype=np.int32) * PREDICTION_ID_LENGTH
    return pa.StringArray.from_buffers(size, pa.py_buffer(ends), pa.py_buffer(ids))


def _repeated(text: str, size: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(size, np.int32)), [text])
