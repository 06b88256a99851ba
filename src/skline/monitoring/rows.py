"""Predictions of the log as arrays, with their labels."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skline.contract.spec import Column, Contract
from skline.monitoring.clusters import Codes, Floats

#: How DuckDB reads a column of a kind from JSON, all other kinds as text; a value that cannot be cast becomes null.
JSON_TYPES = {"number": "DOUBLE", "integer": "DOUBLE"}
DAY_US = 86_400e6


@dataclass(frozen=True)
class LoggedRows:
    """n predictions with their labels.

    Attributes
    ----------
    times : int64 array, shape (n,)
        In microseconds since 1970, UTC; ascending.
    arms, digests : object arrays, shape (n,)
        The arm of the experiment, or the role; the digest of the artifact.
    reviews : int64 array, shape (n,)
        Why people review the row: 0 not at all, 1 for its score, 2 drawn at random.
    entities : int64 array, shape (n,), or None
        -1 for a row without an entity; None if no row has one.
    scores : float64 array, shape (n,)
        Probability of the second of two classes, the largest of more, or the predicted number.
    probabilities : float64 array, shape (n, n_classes), or None
    predicted : float64 array, shape (n,)
        The index of the predicted class among the contract's classes, or the predicted number.
    truth : float64 array, shape (n,)
        The index of the true class, or the true number; NaN where there is no label.
    inputs : dict of str to array of shape (n,)
        float64 with NaN for numbers and times (days since 1970), else text with None.
    """

    times: npt.NDArray[np.int64]
    arms: npt.NDArray[Any]
    digests: npt.NDArray[Any]
    reviews: npt.NDArray[np.int64]
    entities: Codes | None
    scores: Floats
    probabilities: Floats | None
    predicted: Floats
    truth: Floats
    inputs: dict[str, npt.NDArray[Any]]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.times)

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Which rows have a label, shape (n,)."""
        return np.isfinite(self.truth)

    def take(self, rows: npt.NDArray[Any]) -> "LoggedRows":
        """Return some rows, selected by a bool array or by positions."""
        return LoggedRows(
            self.times[rows], self.arms[rows], self.digests[rows], self.reviews[rows],
            None if self.entities is None else self.entities[rows], self.scores[rows],
            None if self.probabilities is None else self.probabilities[rows], self.predicted[rows], self.truth[rows],
            {name: values[rows] for name, values in self.inputs.items()},
        )  # fmt: skip


@dataclass(frozen=True)
class SampledRows:
    """The rows of several periods, which overlap; each period is a sample of its own.

    Attributes
    ----------
    rows : LoggedRows
        Including those without a score, which have NaN.
    buckets : int64 array, shape (n,)
        The bucket of the hash of each row's id.
    has_label : bool array, shape (n,)
        Which rows have a label, even if it is not a class of the contract.
    """

    rows: LoggedRows
    buckets: npt.NDArray[np.int64]
    has_label: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        table: pa.Table,
        contract: Contract,
        inputs: dict[str, npt.NDArray[Any]],
        probabilities: Mapping[str, pa.Array],
    ) -> "SampledRows":
        """Convert the result of the reader's query.

        Parameters
        ----------
        table : Table
        contract : Contract
        inputs : dict of str to array of shape (n,)
            As in `LoggedRows`.
        probabilities : mapping of str to Array of shape (n,)
            By the name of the class; empty for a regression.
        """
        has_label = table["label"].is_valid().to_numpy()
        rows = to_rows(table, contract, inputs, probabilities)
        return cls(rows, table["bucket"].to_numpy().astype(np.int64), has_label)

    def select(self, since: int, until: int, limit: int, labelled: bool) -> LoggedRows:
        """Return the rows of since ≤ time < until with a bucket below `limit`; rows without a score are left out.

        Parameters
        ----------
        since, until : int
            In microseconds since 1970, UTC.
        limit : int
        labelled : bool
            Whether rows without a label are left out too.
        """
        times = self.rows.times
        chosen = (times >= since) & (times < until) & (self.buckets < limit) & np.isfinite(self.rows.scores)
        if labelled:
            chosen &= self.has_label
        part = self.rows.take(chosen)
        return replace(part, entities=_renumber(part.entities))


def _renumber(entities: Codes | None) -> Codes | None:
    """Number entities in the order of their first row; None if no row has one."""
    if entities is None or not (entities >= 0).any():
        return None
    present = entities >= 0
    _, first, groups = np.unique(entities[present], return_index=True, return_inverse=True)
    numbers = np.full(len(entities), -1, dtype=np.int64)
    numbers[present] = np.argsort(np.argsort(first))[groups]
    return numbers


def to_rows(
    table: pa.Table, contract: Contract, inputs: dict[str, npt.NDArray[Any]], by_class: Mapping[str, pa.Array]
) -> LoggedRows:
    """Convert the result of the reader's query, as `SampledRows.of` does; a row without a score has NaN."""
    probabilities = None
    predicted, truth = (_numbers(table[name], contract) for name in ("prediction", "label"))
    scores = predicted
    if contract.class_names is not None:
        fields = [by_class[name].to_numpy(zero_copy_only=False) for name in contract.class_names]
        probabilities = np.array(fields, dtype=np.float64).T
        scores = probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities.max(axis=1, initial=0.0)
    entities = table["entity"].combine_chunks().dictionary_encode().indices
    has_entities = entities.null_count < len(entities)
    return LoggedRows(
        times=table["time"].to_numpy(),
        arms=_objects(table["arm"]),
        digests=_objects(table["artifact_digest"]),
        reviews=table["review"].to_numpy(),
        entities=entities.fill_null(-1).to_numpy().astype(np.int64) if has_entities else None,
        scores=scores,
        probabilities=probabilities,
        predicted=predicted,
        truth=truth,
        inputs=inputs,
    )


def parse_classes(texts: Sequence[str | None], classes: Sequence[Any]) -> Floats:
    """Return the index of each class from its JSON text; NaN for null and for what is no class."""
    numbers = {json.dumps(value, ensure_ascii=False): float(index) for index, value in enumerate(classes)}
    return np.array([np.nan if text is None else numbers.get(text, np.nan) for text in texts], dtype=np.float64)


def _numbers(column: pa.ChunkedArray, contract: Contract) -> Floats:
    """Return predictions or labels as indices of classes, or as numbers."""
    encoded = column.combine_chunks().dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    if contract.classes is not None:
        values = parse_classes(texts, contract.classes)
    else:
        values = np.array([_to_float(text) for text in texts], dtype=np.float64)
    indices = encoded.indices.fill_null(len(values)).to_numpy()
    numbers: Floats = np.append(values, np.nan)[indices]
    return numbers


def _to_float(text: str) -> float:
    value = json.loads(text)
    return float(value) if isinstance(value, int | float) else float("nan")


def logged_column(values: pa.Array, column: Column) -> npt.NDArray[Any]:
    """Return an input of the log as an array; a time as days since 1970."""
    if column.kind in JSON_TYPES:
        numbers = values.to_numpy(zero_copy_only=False).astype(np.float64)
        return np.where(np.isfinite(numbers), numbers, np.nan)
    if column.kind in ("date", "datetime"):
        return days_since_1970(values.to_pylist())
    return _objects(values)


def days_since_1970(texts: Sequence[str | None]) -> Floats:
    """Return ISO 8601 dates and times as days since 1970; NaN for null and for what is no date."""
    import pandas as pd

    moments = pd.to_datetime(pd.Series(list(texts), dtype="str"), errors="coerce", utc=True, format="ISO8601")
    days = moments.astype("datetime64[us, UTC]").astype("int64").to_numpy().astype(np.float64) / DAY_US
    return np.where(moments.isna().to_numpy(), np.nan, days)


def _objects(values: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return text as an object array; equal texts are one object, which is faster and takes less memory."""
    encoded = (values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values).dictionary_encode()
    texts = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
    objects: npt.NDArray[Any] = texts[encoded.indices.fill_null(len(texts) - 1).to_numpy()]
    return objects
