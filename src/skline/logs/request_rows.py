"""The predictions of one request as one JSON text, ready for the log.

Serialised by the producing thread while the objects are still in its CPU cache; the writer thread would hold the GIL
while fetching them again.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import orjson

from skline.contract.spec import Value
from skline.ids import PREDICTION_ID_LENGTH
from skline.logs.records import Prediction


class RequestRows:
    """Predictions that differ in few columns.

    Parameters
    ----------
    shared : Prediction
        The values that all rows share; its fields that differ between rows are ignored.
    inputs : sequence of mapping
    contents : sequence of dict
        `prediction_id`, `prediction`, of classifiers `probabilities`, and after look-ups `lookups` of each row.
    reviews : sequence of int
        The column `review`.

    Raises
    ------
    TypeError
        If a value cannot be written as JSON.

    Attributes
    ----------
    shared : Prediction
    ids : bytes
        All prediction ids, concatenated.
    columns : tuple of str
        The columns besides `prediction_id` in which rows differ.
    text : str
        JSON array with an array of each row's values in `columns`.
    """

    __slots__ = ("_size", "columns", "ids", "shared", "text")

    def __init__(
        self,
        shared: Prediction,
        inputs: Sequence[Mapping[str, Value]],
        contents: Sequence[Mapping[str, Any]],
        reviews: Sequence[int],
    ) -> None:
        values: dict[str, Any] = {"inputs": inputs, "prediction": map(itemgetter("prediction"), contents)}
        if "probabilities" in contents[0]:
            values["probabilities"] = map(itemgetter("probabilities"), contents)
        if "lookups" in contents[0]:
            values["lookups"] = map(itemgetter("lookups"), contents)
        if len(set(reviews)) > 1:
            values["review"] = reviews
        self.shared = shared._replace(review=reviews[0])
        self.ids = "".join(map(itemgetter("prediction_id"), contents)).encode()
        self.columns = tuple(values)
        self.text = orjson.dumps(list(zip(*values.values(), strict=True))).decode()
        self._size = len(inputs)

    @classmethod
    def of_text(cls, shared: Prediction, ids: bytes, columns: tuple[str, ...], text: str) -> "RequestRows":
        """Return rows whose text is written already; see the attributes."""
        rows = cls.__new__(cls)
        rows.shared, rows.ids, rows.columns, rows.text = shared, ids, columns, text
        rows._size = len(ids) // PREDICTION_ID_LENGTH
        return rows

    def with_entity(self, entity: str | None) -> "RequestRows":
        """Return the same rows with another entity: its hash, as a store takes it."""
        return self.of_text(self.shared._replace(entity=entity), self.ids, self.columns, self.text)

    def __len__(self) -> int:
        return self._size

    def predictions(self) -> list[Prediction]:
        """Return the predictions one by one; dates and times among the inputs are strings, as in JSON."""
        ids = self.ids.decode()
        return [
            self.shared._replace(
                prediction_id=ids[row * PREDICTION_ID_LENGTH : (row + 1) * PREDICTION_ID_LENGTH],
                **dict(zip(self.columns, values, strict=True)),
            )
            for row, values in enumerate(orjson.loads(self.text))
        ]
