"""What is made of scores: answers to the rows of a batch, and rows of the log."""

from dataclasses import dataclass
from time import perf_counter

from serving.answers import Answers, Content
from serving.bodies import Row
from serving.security.guard import Visit
from skline.logs.records import Prediction
from skline.scoring.answers import Scores


@dataclass(frozen=True)
class Batch:
    """Answers to rows: the scores, who gave them, and what each row is answered."""

    scores: Scores
    answers: Answers
    contents: list[Content]


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
