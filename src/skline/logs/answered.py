"""The answers to the rows of one request, as they wait to be written.

They are turned into text by who makes them, while they are in his processor's cache: the writer has a thread of its
own, which would fetch thousands of objects from another cache, with the interpreter's lock in its hands.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import orjson

from skline.contract.spec import Value
from skline.logs.records import ID_DIGITS, Prediction


class Answered:
    """Predictions that differ in few columns, as JSON of these.

    Parameters
    ----------
    shared : Prediction
        What all of them have in common; the fields that differ hold anything.
    rows : sequence of mappings
        The inputs.
    contents : sequence of dict
        The answers: `prediction_id`, `prediction` and, of classifiers, `probabilities`.
    reviewed : sequence of int

    Raises
    ------
    TypeError
        If one of them holds what JSON cannot.

    Attributes
    ----------
    shared : Prediction
    ids : bytes
        All prediction ids, one after the other.
    names : tuple of str
        The columns besides in which they differ.
    text : str
        A JSON array that has, for each of them, an array of what it holds in these columns.
    """

    __slots__ = ("_size", "ids", "names", "shared", "text")

    def __init__(
        self,
        shared: Prediction,
        rows: Sequence[Mapping[str, Value]],
        contents: Sequence[Mapping[str, Any]],
        reviewed: Sequence[int],
    ) -> None:
        columns: dict[str, Any] = {"inputs": rows, "prediction": map(itemgetter("prediction"), contents)}
        if "probabilities" in contents[0]:
            columns["probabilities"] = map(itemgetter("probabilities"), contents)
        if len(set(reviewed)) > 1:
            columns["review"] = reviewed
        self.shared = shared._replace(review=reviewed[0])
        self.ids = "".join(map(itemgetter("prediction_id"), contents)).encode()
        self.names = tuple(columns)
        self.text = orjson.dumps(list(zip(*columns.values(), strict=True))).decode()
        self._size = len(rows)

    def __len__(self) -> int:
        return self._size

    def predictions(self) -> list[Prediction]:
        """Give them one by one; dates and times among the inputs are as JSON has them."""
        ids = self.ids.decode()
        return [
            self.shared._replace(
                prediction_id=ids[place * ID_DIGITS : (place + 1) * ID_DIGITS],
                **dict(zip(self.names, values, strict=True)),
            )
            for place, values in enumerate(orjson.loads(self.text))
        ]
