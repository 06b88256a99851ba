"""Answers while an experiment runs: the arm that an entity belongs to answers, and the champion wherever it fails.

Apart from `serving.predictor`, which has nothing to do with any of this as long as there is no experiment.
"""

import logging
from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.answers import Answers, Content, check_row, check_rows, score_of, scores_of
from serving.bodies import Row
from serving.errors import RequestRefused
from serving.model import Model
from serving.records import Batch, Writer, batch_of, no_rows, record
from serving.security.guard import Visit
from serving.settings import ServiceSettings
from serving.trial import Place, Trial
from skline.logs.records import Prediction, new_prediction_id, new_prediction_ids, now_us
from skline.scoring.answers import RowAnswer, Scores
from skline.scoring.microbatch import Closed, QueueFull

if TYPE_CHECKING:
    from serving.predictor import Predictor

log = logging.getLogger("skline.serving")

#: Which rows of a batch, their scores, who writes their answers, and who gave them (None: a fallback).
Part = tuple[list[int], Scores, Answers, Model | None]


class Trials:
    """Carries experiments out for a predictor."""

    def __init__(self, predictor: "Predictor", settings: ServiceSettings) -> None:
        self._predictor = predictor
        self._header = settings.entity_header.lower().encode()
        self._column = settings.log.entity_column

    async def answer_row(
        self, champion: Model, trial: Trial, row: Row, visit: Visit | None, *, explain: bool
    ) -> Content:
        """Answer one row; see `Predictor.answer_row`."""
        predictor = self._predictor
        sent = self._sent(visit)
        place = trial.assign(self._entity(sent, row))
        answer, answers, by = await self._score_row(champion, trial, place, row)
        content = answers.one(answer, new_prediction_id())
        score, now, reviewed = score_of(answer), now_us(), 0
        if predictor.reviews:
            reviewed = predictor.review.of(score, now)
            content["review"] = bool(reviewed)
        predictor.metrics.row(row, answer[0], score)
        written = record(row, content, answers, now, reviewed, visit)
        written = _placed(written, trial, place, sent, challenger=by is trial.challenger)
        await predictor.write_down([written])
        if trial.shadow is not None and trial.allowed:
            trial.shadow.offer([written])
        if explain:
            content |= await predictor.explained(by, trial.reads(row) if by is trial.challenger else row)
        return content

    async def answer_batch(
        self, champion: Model, trial: Trial, rows: Sequence[Row], visit: Visit | None, write: Writer | None
    ) -> Batch:
        """Answer rows, each by the arm of its entity; see `Predictor.answer_batch`."""
        if not rows:
            return no_rows(champion.answers, write)
        predictor = self._predictor
        sent = self._sent(visit)
        places = [trial.assign(self._entity(sent, row)) for row in rows]
        parts: list[Part] = []
        for arm in ("champion", "challenger"):
            where = [index for index, place in enumerate(places) if place.arm == arm]
            if where:
                parts.append((where, *await self._score_rows(champion, trial, [places[i] for i in where],
                                                             [rows[i] for i in where])))  # fmt: skip
        contents, records = await predictor.beside(self._contents, trial, rows, places, parts, sent, visit)
        merged = _merged([(where, scores) for where, scores, _, _ in parts])
        who = _both([answers for _, _, answers, _ in parts])
        tallied = predictor.metrics.tally(rows, merged, scores_of(merged))
        batch = await predictor.beside(batch_of, merged, who, contents, records, write, tallied)
        await predictor.finish(batch)
        if trial.shadow is not None and trial.allowed:
            trial.shadow.offer(records)
        return batch

    def _contents(
        self,
        trial: Trial,
        rows: Sequence[Row],
        places: Sequence[Place],
        parts: Sequence[Part],
        sent: str | None,
        visit: Visit | None,
    ) -> tuple[list[Content], list[Prediction]]:
        """What each row is answered, and what is written down of it."""
        predictor = self._predictor
        now, ids = now_us(), new_prediction_ids(len(rows))
        contents: list[Content] = [{}] * len(rows)
        records: list[Any] = [None] * len(rows)
        for where, scores, answers, by in parts:
            some = answers.many(scores, [ids[index] for index in where])
            for index, content, value in zip(where, some, scores_of(scores).tolist(), strict=True):
                reviewed = 0
                if predictor.reviews:
                    reviewed = int(predictor.review.of(value, now))
                    content["review"] = bool(reviewed)
                contents[index] = content
                written = record(rows[index], content, answers, now, reviewed, visit)
                records[index] = _placed(written, trial, places[index], sent, challenger=by is trial.challenger)
        return contents, records

    async def _score_row(
        self, champion: Model, trial: Trial, place: Place, row: Row
    ) -> tuple[RowAnswer, Answers, Model | None]:
        """Ask the arm, then the champion; None is who answered if it was a fallback."""
        begun, failed = perf_counter(), False
        if place.arm == "challenger":
            challenger = trial.challenger
            try:
                answer = await challenger.scorer.score_row(trial.reads(row))
                check_row(answer)
            except Exception as error:  # noqa: BLE001 - whatever it is, the champion may answer
                failed = _failed(error, challenger)
            else:
                trial.count(place, 1, perf_counter() - begun, [score_of(answer)])
                return answer, challenger.answers, challenger
        spent = perf_counter() - begun
        answer, answers = await self._predictor.score_row(champion, row)
        own = answers is champion.answers
        if place.arm == "challenger":
            trial.count(place, 1, spent, [], failed=failed, replaced=True)
        else:
            trial.count(place, 1, perf_counter() - begun, [score_of(answer)] if own else [], failed=not own,
                        replaced=not own)  # fmt: skip
        return answer, answers, champion if own else None

    async def _score_rows(
        self, champion: Model, trial: Trial, places: list[Place], rows: list[Row]
    ) -> tuple[Scores, Answers, Model | None]:
        """Ask one arm for its rows of a batch, then the champion."""
        predictor = self._predictor
        arm, begun, failed = places[0].arm, perf_counter(), False
        spent: float | None = None
        scores: Scores | None = None
        if arm == "challenger":
            read = [trial.reads(row) for row in rows]
            try:
                scores = await predictor.in_turn(trial.challenger.scorer.score_rows, read)
                check_rows(scores)
            except Exception as error:  # noqa: BLE001 - see above
                scores, failed = None, _failed(error, trial.challenger)
            spent = perf_counter() - begun
        answers, by = trial.challenger.answers, trial.challenger
        if scores is None:
            scores, answers = await predictor.score_rows(champion, rows)
            by = champion
        own = answers is by.answers
        replaced = by.artifact is not trial.challenger.artifact if arm == "challenger" else not own
        each = (perf_counter() - begun if spent is None else spent) / len(rows)
        values = [] if replaced else scores_of(scores).tolist()
        for index, place in enumerate(places):
            trial.count(place, 1, each, values[index : index + 1], failed=failed or (arm == "champion" and not own),
                        replaced=replaced)  # fmt: skip
        return scores, answers, by if own else None

    def _sent(self, visit: Visit | None) -> str | None:
        """The entity that the request's header names."""
        given = None if visit is None else visit.sent.get(self._header)
        return given.decode("latin-1") if given else None

    def _entity(self, sent: str | None, row: Row) -> object:
        """Whom a row is about."""
        return sent if sent is not None or self._column is None else row.get(self._column)


def _failed(error: Exception, challenger: Model) -> bool:
    """Say in the log that the champion answers instead; whether that is a failure, and not mere lack of room."""
    busy = isinstance(error, QueueFull | Closed)
    if not busy:
        words = "gave no finite number" if isinstance(error, RequestRefused) else f"failed with {type(error).__name__}"
        log.warning("the challenger %s %s; the champion answers", challenger.artifact.version, words)
    return not busy


def _placed(record: Prediction, trial: Trial, place: Place, entity: str | None, *, challenger: bool) -> Prediction:
    """Write down where a row belongs; role says who answered it, arm who should have."""
    return record._replace(
        entity=entity,
        role="challenger" if challenger else "champion",
        experiment=trial.experiment.name,
        arm=place.arm,
        bucket=place.bucket,
    )


def _merged(parts: list[tuple[list[int], Scores]]) -> Scores:
    """Put the scores of both arms into the order of the rows."""
    if len(parts) == 1:
        return parts[0][1]
    order = np.argsort(np.concatenate([where for where, _ in parts]), kind="stable")
    predictions = np.concatenate([scores.predictions for _, scores in parts])[order]
    chances = [scores.probabilities for _, scores in parts if scores.probabilities is not None]
    return Scores(predictions, np.concatenate(chances)[order] if chances else None)


def _both(answers: list[Answers]) -> Answers:
    """Who answers a batch of which both arms answered parts; each row of it names its own."""
    if len(answers) == 1:
        return answers[0]
    versions = "+".join(one.version for one in answers)
    return Answers(versions, None, path="experiment")
