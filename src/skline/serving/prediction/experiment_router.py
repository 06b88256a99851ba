"""Predict while an experiment runs: by the arm of each entity, and by the champion where the challenger fails."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from skline.clock import now_us
from skline.contract.spec import Row
from skline.ids import new_prediction_ids
from skline.logs.records import Prediction
from skline.scoring.microbatch import BatcherClosed, QueueFull
from skline.scoring.scores import RowScore, Scores
from skline.serving.errors import RequestError
from skline.serving.experiments.experiment import ArmName, Assignment, RunningExperiment
from skline.serving.models.model import LoadedModel
from skline.serving.models.response import Content, ResponseBuilder, check_row, check_rows, score_of, scores_of
from skline.serving.prediction.explanations import ExplanationService
from skline.serving.prediction.log_records import make_record
from skline.serving.prediction.recorder import PredictedBatch, Recorder, Serialize, add_lookups, empty_batch
from skline.serving.prediction.scoring import ScoringWithFallback, Unscored
from skline.serving.security.context import RequestContext
from skline.serving.settings import ServiceSettings

log = logging.getLogger("skline.serving")

ARMS: tuple[ArmName, ArmName] = ("champion", "challenger")


@dataclass(frozen=True)
class ArmResult:
    """Scores of one arm's rows in a batch.

    Attributes
    ----------
    indices : list of int
        Positions of the rows in the batch.
    scores : Scores
        In the order of `indices`.
    builder : ResponseBuilder
        Of the model or the fallback that predicted.
    role : str
        challenger if the challenger predicted; champion if the champion or a fallback did.
    """

    indices: list[int]
    scores: Scores
    builder: ResponseBuilder
    role: ArmName


class ExperimentRouter:
    """Predicts for requests while an experiment runs.

    The challenger gets the rows whose entity is assigned to it, everything else is the champion's. The log keeps both
    the arm that a row was assigned to, and the role of the model that predicted.
    """

    def __init__(
        self,
        scoring: ScoringWithFallback,
        recorder: Recorder,
        explanations: ExplanationService,
        settings: ServiceSettings,
    ) -> None:
        self._scoring, self._recorder, self._explanations = scoring, recorder, explanations
        self._entity_column = settings.log.entity_column

    async def predict_row(
        self,
        champion: LoadedModel,
        experiment: RunningExperiment,
        row: Row,
        context: RequestContext | None,
        *,
        explain: bool,
    ) -> Content:
        """Predict for one row; raises as `Predictor.predict_json` does."""
        assignment = experiment.assign(self._entity(context, row))
        scored, builder, role = await self._score_row(champion, experiment, assignment, row)
        content, now, review = self._recorder.build_row(row, scored, builder)
        add_lookups([content], [row])
        record = make_record(row, content, builder, now, review, context, content.get("lookups"))
        record = _with_assignment(record, experiment, assignment, role)
        await self._recorder.log([record])
        if experiment.shadow is not None and experiment.allowed:
            experiment.shadow.submit([record])
        if explain:
            if role == "challenger":
                content |= await self._explanations.explain(experiment.challenger, experiment.select_inputs(row))
            else:
                by_champion = builder is champion.response_builder
                content |= await self._explanations.explain(champion if by_champion else None, row)
        return content

    async def predict_batch(
        self,
        champion: LoadedModel,
        experiment: RunningExperiment,
        get_rows: Callable[[], Sequence[Row]],
        context: RequestContext | None,
        serialize: Serialize | None,
    ) -> PredictedBatch:
        """Predict for the rows that `get_rows` returns, each by the arm of its entity.

        Raises as `Predictor.predict_json` does.
        """
        results = list[ArmResult]()
        # One slot for parsing and both arms: a service that is too busy refuses the request before any arm is tried.
        async with self._scoring.slot():
            rows = await self._scoring.run_within_timeout(get_rows)
            if not rows:
                return empty_batch(champion.response_builder, serialize)
            assignments = [experiment.assign(self._entity(context, row)) for row in rows]
            observed = experiment.draw_entity(assignments)
            for arm in ARMS:
                indices = [index for index, assignment in enumerate(assignments) if assignment.arm == arm]
                if indices:
                    arm_assignments, arm_rows = [assignments[i] for i in indices], [rows[i] for i in indices]
                    scores, builder, role = await self._score_rows(
                        champion, experiment, arm_assignments, arm_rows, observed
                    )
                    results.append(ArmResult(indices, scores, builder, role))
        batch, records = await self._scoring.run_in_batch_thread(
            self._build_batch, experiment, rows, assignments, results, context, serialize
        )
        await self._recorder.record_batch(batch)
        if experiment.shadow is not None and experiment.allowed:
            experiment.shadow.submit(records)
        return batch

    async def _score_row(
        self, champion: LoadedModel, experiment: RunningExperiment, assignment: Assignment, row: Row
    ) -> tuple[RowScore, ResponseBuilder, ArmName]:
        """Score a row by its arm, then by the champion and its fallbacks; count it for the arm.

        A failure of the challenger counts if the champion scores the row: a row that no model can score is no fault of
        an arm. A full queue counts for neither arm.
        """
        started, challenger = perf_counter(), experiment.challenger
        spent, failed = 0.0, False
        if assignment.arm == "challenger":
            try:
                scored = await challenger.scorer.score_row(experiment.select_inputs(row))
                check_row(scored)
            except (QueueFull, BatcherClosed):
                experiment.count_busy([assignment])
            except Exception as error:  # noqa: BLE001 - the champion may succeed
                spent, failed = perf_counter() - started, True
                _log_failure(error, challenger)
            else:
                experiment.count(
                    [assignment], [score_of(scored)], observed=assignment.entity, seconds=perf_counter() - started
                )
                return scored, challenger.response_builder, "challenger"
        result = await self._scoring.score_row_by_model(champion, row)
        if isinstance(result, Unscored):
            if assignment.arm == "champion" and result.error_type == "busy":
                experiment.count_busy([assignment])
            elif assignment.arm == "champion":
                experiment.count(
                    [assignment], None, observed=assignment.entity, seconds=perf_counter() - started, failed=True
                )
            return *(await self._scoring.score_row_by_fallback(result)), "champion"
        if failed:
            experiment.count([assignment], None, observed=assignment.entity, seconds=spent, failed=True)
        elif assignment.arm == "champion":
            experiment.count(
                [assignment], [score_of(result[0])], observed=assignment.entity, seconds=perf_counter() - started
            )
        return *result, "champion"

    async def _score_rows(
        self,
        champion: LoadedModel,
        experiment: RunningExperiment,
        assignments: Sequence[Assignment],
        rows: Sequence[Row],
        observed: int | None,
    ) -> tuple[Scores, ResponseBuilder, ArmName]:
        """Score the rows of one arm as `_score_row` does; the caller holds a slot.

        A request that takes longer than its timeout is a failure of its arm. That of the challenger counts at once:
        its thread may still be busy, and the champion's timeout then passes too.
        """
        challenger, failed = experiment.challenger, False
        if assignments[0].arm == "challenger":
            inputs = [experiment.select_inputs(row) for row in rows]
            try:
                scores = await self._scoring.run_within_timeout(challenger.scorer.score_rows, inputs)
                check_rows(scores)
            except Exception as error:  # noqa: BLE001 - the champion may succeed
                _log_failure(error, challenger)
                if isinstance(error, RequestError) and error.status == 503:
                    experiment.count(assignments, None, observed=observed, failed=True)
                else:
                    failed = True
            else:
                experiment.count(assignments, scores_of(scores).tolist(), observed=observed)
                return scores, challenger.response_builder, "challenger"
        is_champion = assignments[0].arm == "champion"
        try:
            result = await self._scoring.run_within_timeout(self._scoring.score_by_model, champion, rows)
        except RequestError as error:
            if error.status == 503 and is_champion:
                experiment.count(assignments, None, observed=observed, failed=True)
            raise
        if isinstance(result, Unscored):
            if is_champion:
                experiment.count(assignments, None, observed=observed, failed=True)
            return *(await self._scoring.score_by_fallback(result)), "champion"
        if is_champion or failed:
            own_scores = scores_of(result[0]).tolist() if is_champion else None
            experiment.count(assignments, own_scores, observed=observed, failed=failed)
        return *result, "champion"

    def _build_batch(
        self,
        experiment: RunningExperiment,
        rows: Sequence[Row],
        assignments: Sequence[Assignment],
        results: Sequence[ArmResult],
        context: RequestContext | None,
        serialize: Serialize | None,
    ) -> tuple[PredictedBatch, list[Prediction]]:
        """Build the responses and the log records of a batch, in the order of its rows."""
        now, ids = now_us(), new_prediction_ids(len(rows))
        contents: list[Content] = [{}] * len(rows)
        records: list[Any] = [None] * len(rows)
        for result in results:
            arm_ids, builder = [ids[index] for index in result.indices], result.builder
            arm_contents, reviews = self._recorder.build_rows(
                result.scores, scores_of(result.scores), builder, arm_ids, now
            )
            add_lookups(arm_contents, [rows[index] for index in result.indices])
            for index, content, review in zip(result.indices, arm_contents, reviews, strict=True):
                contents[index] = content
                record = make_record(rows[index], content, builder, now, review, context, content.get("lookups"))
                records[index] = _with_assignment(record, experiment, assignments[index], result.role)
        scores, builder = _merge_in_order(results), _combined_builder([result.builder for result in results])
        batch = self._recorder.finish_batch(rows, scores, scores_of(scores), builder, contents, records, serialize)
        return batch, records

    def _entity(self, context: RequestContext | None, row: Row) -> object:
        """Return the entity of a row: that of the request's header, or else that of the configured column."""
        if context is not None and context.entity is not None:
            return context.entity
        return None if self._entity_column is None else row.get(self._entity_column)


def _log_failure(error: Exception, challenger: LoadedModel) -> None:
    """Log that the challenger failed, without the values of a row."""
    problem = str(error) if isinstance(error, RequestError) else f"failed with {type(error).__name__}"
    log.warning("the challenger %s: %s; the champion predicts instead", challenger.artifact.version, problem)


def _with_assignment(
    record: Prediction, experiment: RunningExperiment, assignment: Assignment, role: ArmName
) -> Prediction:
    """Add the experiment to a log record: `arm` is the assigned arm, `role` the arm whose model predicted."""
    return record._replace(
        role=role,
        experiment=experiment.experiment.name,
        arm=assignment.arm,
        bucket=assignment.bucket,
    )


def _merge_in_order(results: Sequence[ArmResult]) -> Scores:
    """Merge the scores of both arms in the order of the rows."""
    if len(results) == 1:
        return results[0].scores
    order = np.argsort(np.concatenate([result.indices for result in results]), kind="stable")
    predictions = np.concatenate([result.scores.predictions for result in results])[order]
    probabilities = [result.scores.probabilities for result in results if result.scores.probabilities is not None]
    return Scores(predictions, np.concatenate(probabilities)[order] if probabilities else None)


def _combined_builder(builders: Sequence[ResponseBuilder]) -> ResponseBuilder:
    """Return the builder that stands for a whole batch: that of its only arm, or one with both versions."""
    if len(builders) == 1:
        return builders[0]
    return ResponseBuilder("+".join(builder.version for builder in builders), None, path="experiment")
