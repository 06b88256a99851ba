"""The answers to the rows of one request, kept together until they are written.

Making a row of the log of each, only to write them all into one statement, was a sixth of what held the interpreter's
lock while batches were answered.
"""

from collections.abc import Mapping, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any, overload

import orjson

from skline.contract.spec import Value
from skline.logs.records import Prediction

#: The columns in which predictions of one request differ, and whether they are kept as JSON text.
DIFFERING = {"prediction_id": False, "inputs": True, "prediction": True, "probabilities": True, "review": False}


class Answered(Sequence[Prediction]):
    """The answers to the rows of one request, as predictions that are made when somebody asks for one.

    Parameters
    ----------
    shared : Prediction
        What all of them have in common; the fields that differ hold anything.
    rows : sequence of mappings
        The inputs.
    contents : sequence of dict
        The answers: `prediction_id`, `prediction` and, of classifiers, `probabilities`.
    reviewed : sequence of int
    """

    __slots__ = ("contents", "reviewed", "rows", "shared")

    def __init__(
        self,
        shared: Prediction,
        rows: Sequence[Mapping[str, Value]],
        contents: Sequence[Mapping[str, Any]],
        reviewed: Sequence[int],
    ) -> None:
        self.shared, self.rows, self.contents, self.reviewed = shared, rows, contents, reviewed

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> list[Prediction]: ...
    def __getitem__(self, index: int | slice) -> Prediction | list[Prediction]:
        """Make one of them, or some."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        content = self.contents[index]
        return self.shared._replace(
            prediction_id=content["prediction_id"],
            inputs=self.rows[index],
            prediction=content["prediction"],
            probabilities=content.get("probabilities"),
            review=self.reviewed[index],
        )

    def as_json(self, start: int, stop: int) -> bytes:
        """Write what differs in some of them as a JSON array of arrays, in the order of DIFFERING.

        Raises
        ------
        TypeError
            If one of them holds what JSON cannot.
        """
        contents = self.contents[start:stop]
        ids, predictions = map(itemgetter("prediction_id"), contents), map(itemgetter("prediction"), contents)
        chances = map(itemgetter("probabilities"), contents) if "probabilities" in contents[0] else repeat(None)
        columns = ids, self.rows[start:stop], predictions, chances, self.reviewed[start:stop]
        return orjson.dumps(list(zip(*columns)))  # noqa: B905 - repeat has no end
