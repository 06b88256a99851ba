"""What is made of scores: answers to the rows of a batch, and rows of the log."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from operator import itemgetter
from time import perf_counter
from typing import Any

import numpy as np

from serving.answers import Answers, Content, write
from serving.bodies import Row
from serving.metrics import Tallied
from serving.security.guard import Visit
from skline.logs.answered import Answered
from skline.logs.records import Prediction
from skline.scoring.answers import Scores

#: Gives the rows of a batch.
Read = Callable[[], Sequence[Row]]
#: Writes the whole answer to a batch.
Writer = Callable[[Sequence[Content]], bytes]

#: Makes a Prediction of a tuple: `Prediction._make` without a check of its length.
_prediction: Callable[[tuple[Any, ...]], Prediction] = partial(tuple.__new__, Prediction)
_REVIEW = Prediction._fields.index("review")
#: What the fields after `review` hold as long as there is no experiment.
_UNUSED = tuple(Prediction._field_defaults[name] for name in Prediction._fields[_REVIEW + 1 :])


@dataclass(frozen=True)
class Batch:
    """Answers to rows.

    Attributes
    ----------
    answers : Answers
        Who gave them.
    contents : list of dict
        What each row is answered, unless it was written.
    records : sequence of Prediction, or Answered
        What is to be written down.
    written : bytes
        The whole answer, where it was asked for.
    tallied : Tallied or None
        What is to be counted; None if there are no rows.
    """

    scores: Scores
    answers: Answers
    contents: list[Content]
    records: Sequence[Prediction] | Answered
    written: bytes
    tallied: Tallied | None


@dataclass(frozen=True)
class Unanswered:
    """Rows that the model did not answer, and why."""

    rows: Sequence[Row]
    reason: str


def no_rows(answers: Answers, write: Writer | None) -> Batch:
    """Answer a batch without rows."""
    return batch_of(Scores(np.empty(0), None), answers, [], [], write, None)


def batch_of(
    scores: Scores,
    answers: Answers,
    contents: list[Content],
    records: Sequence[Prediction] | Answered,
    write: Writer | None,
    tallied: Tallied | None,
) -> Batch:
    """Write the answer if that is asked for.

    What it was written from stays behind then: it is thrown away sooner by the thread that made it, than fetched for
    that into another's cache.
    """
    if write is None:
        return Batch(scores, answers, contents, records, b"", tallied)
    return Batch(scores, answers, [], records, write(contents), tallied)


def as_json(contents: Sequence[Content]) -> bytes:
    """Write the answer to a batch."""
    return write({"predictions": contents})


def record(row: Row, content: Content, answers: Answers, now: int, reviewed: int, visit: Visit | None) -> Prediction:
    """One answer as a row of the log."""
    return Prediction(
        content["prediction_id"],
        now,
        answers.version,
        answers.digest,
        answers.path,
        row,
        content["prediction"],
        content.get("probabilities"),
        None if visit is None else int((perf_counter() - visit.began) * 1e6),
        None if visit is None else visit.trace.request_id.decode(),
        review=reviewed,
    )


def records_of_one(
    rows: Sequence[Row],
    contents: Sequence[Content],
    answers: Answers,
    now: int,
    reviewed: Sequence[int],
    visit: Visit | None,
    *,
    whole: bool,
) -> Sequence[Prediction] | Answered:
    """Answers of one request as rows of the log, as one entry of it if they may be `whole`."""
    if whole:
        nobody: Content = {"prediction_id": "", "prediction": 0}
        with suppress(TypeError):  # JSON cannot hold one; which, is found out, and counted, by the log
            return Answered(record({}, nobody, answers, now, 0, visit), rows, contents, reviewed)
    each = zip(rows, contents, reviewed, strict=True)
    return [record(row, content, answers, now, reason, visit) for row, content, reason in each]


def records_of_each(
    rows: Sequence[Row],
    contents: Sequence[Content],
    answers: Answers,
    now: int,
    reviewed: Sequence[int],
    visits: Sequence[Visit],
) -> list[Prediction]:
    """Answers of one request a row as rows of the log; what they share is the same object in each."""
    moment = perf_counter()
    latencies = [int((moment - visit.began) * 1e6) for visit in visits]
    requests = [visit.trace.request_id.decode() for visit in visits]
    ids, predictions = map(itemgetter("prediction_id"), contents), map(itemgetter("prediction"), contents)
    chances = repeat(None) if answers.labels is None else map(itemgetter("probabilities"), contents)
    before = map(repeat, (now, answers.version, answers.digest, answers.path))
    unused = map(repeat, _UNUSED)
    columns = zip(
        ids, *before, rows, predictions, chances, latencies, requests, repeat(None), repeat(None), reviewed, *unused
    )
    return list(map(_prediction, columns))
