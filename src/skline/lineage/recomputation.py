"""Compute a logged prediction again, by the artifact that the log names, and compare it with what was logged."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from skline.artifact import Artifact
from skline.contract.request_validation import RowParser
from skline.contract.spec import Row
from skline.entrypoint import one_line
from skline.errors import SklineError
from skline.input_rows import describe
from skline.lineage.predictions import LoggedPrediction
from skline.scoring.equality import MAX_ULPS, arrays_equal
from skline.scoring.golden_verification import parse_rows
from skline.scoring.load import load_plan_or_pipeline
from skline.scoring.plan import Plan
from skline.scoring.scores import Exactness, RowScore

Outcome = Literal["equal", "different", "not comparable"]
#: The scoring paths of predictions that an artifact made: its own two, and that of the fallback `previous`.
MODEL_PATHS = ("plan", "pipeline", "previous")


@dataclass(frozen=True)
class Recomputation:
    """The result of computing a prediction again.

    Attributes
    ----------
    outcome : {"equal", "different", "not comparable"}
    reason : str
        What was compared, or what differs, or why nothing can be compared.
    prediction, probabilities
        What the artifact gives now, as the log writes it; None if nothing was computed.
    """

    outcome: Outcome
    reason: str
    prediction: Any = None
    probabilities: Mapping[str, float] | None = None


class Recomputer:
    """Computes logged predictions of one artifact again, whose plan or pipeline it deserialises.

    Parameters
    ----------
    artifact : Artifact
        Whose digest something besides the log confirms.

    Raises
    ------
    InvalidArtifact
        If this code or the installed libraries cannot read the pipeline.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self._parser = RowParser(artifact.contract)
        try:
            self._loaded, scoring = load_plan_or_pipeline(artifact)
            self._why_no_plan, self._problem = scoring.reason or "", ""
        except Exception as error:  # noqa: BLE001 - whatever verification raises, the pipeline scores
            self._loaded = artifact.load_pipeline()
            self._why_no_plan = self._problem = _describe(error)

    def recompute(self, logged: LoggedPrediction) -> Recomputation:
        """Compute a prediction again from its logged inputs, as a row of its own, and compare it with the logged one.

        Predictions and probabilities must have the same bits. Where the last bits of a row depend on the other rows of
        its batch, which the log does not record, MAX_ULPS units in the last place are allowed.
        """
        if reason := not_comparable(logged, self.artifact):
            return Recomputation("not comparable", reason)
        try:
            row = self._read(logged)
        except ValidationError as error:
            return Recomputation(
                "different",
                f"the logged inputs break the artifact's contract, by which requests are read: {describe(error)}",
            )
        try:
            scored, tolerance, remark = self._score(logged.scoring_path, row)
        except Exception as error:  # noqa: BLE001 - whatever the model raises, there is no prediction now
            return Recomputation("different", f"the model gives no prediction now: {_describe(error)}")
        return self._compare(logged, scored, tolerance, remark)

    def _read(self, logged: LoggedPrediction) -> Row:
        """Read the logged inputs; a challenger may have fewer inputs than the champion, whose row is logged."""
        names = self.artifact.contract.input_names
        return self._parser.parse_row(json.dumps({name: logged.inputs[name] for name in names}))

    def _score(self, path: str, row: Row) -> tuple[RowScore, Exactness, str]:
        """Score a row by a scoring path; return the score, how equal it must be, and a remark."""
        plan = self._loaded if isinstance(self._loaded, Plan) else None
        if path != "pipeline" and plan is not None:
            exact = plan.exactness == "bits" and not plan.depends_on_batch
            return plan.score_row(row), "bits" if exact else "ulp", ""
        by_plan = path == "plan"
        tolerance: Exactness = "bits" if by_plan and self.artifact.golden.exactness == "bits" else "ulp"
        remark = self._problem
        if by_plan:
            remark = f"a plan scored it, and the pipeline scores it here ({self._why_no_plan})"
        return self._pipeline_scorer([row]).row(0), tolerance, remark

    def _compare(self, logged: LoggedPrediction, scored: RowScore, tolerance: Exactness, remark: str) -> Recomputation:
        """Compare a score with the logged prediction."""
        prediction, probabilities = scored
        names = self.artifact.contract.class_names
        by_class = None if probabilities is None or names is None else dict(zip(names, probabilities, strict=True))
        suffix = f"; {remark}" if remark else ""
        if _is_equal(logged, prediction, by_class, "bits"):
            return Recomputation("equal", f"to the last bit{suffix}", prediction, by_class)
        if tolerance == "ulp" and _is_equal(logged, prediction, by_class, "ulp"):
            reason = (
                f"within {MAX_ULPS} units in the last place: the last bits depend on the rows of the same batch{suffix}"
            )
            return Recomputation("equal", reason, prediction, by_class)
        return Recomputation("different", remark, prediction, by_class)

    @cached_property
    def _pipeline_scorer(self) -> Any:
        """The function with which the service scores rows by the pipeline."""
        from skline.scoring.pipeline_scorer import pipeline_scorer

        pipeline = self.artifact.load_pipeline() if isinstance(self._loaded, Plan) else self._loaded
        score = pipeline_scorer(pipeline, self.artifact.contract.inputs)
        # As in the service: the plan of the last step is verified on the first rows.
        score(parse_rows(self.artifact.contract, self.artifact.golden.rows))
        return score


def not_comparable(logged: LoggedPrediction, artifact: Artifact | None) -> str | None:
    """Return why a prediction cannot be computed again from its row; None if it can.

    Parameters
    ----------
    logged : LoggedPrediction
    artifact : Artifact or None
        None while it is not opened: then only what needs no artifact is checked.
    """
    if logged.scoring_path not in MODEL_PATHS:
        return f"the fallback {logged.scoring_path} made this prediction, not an artifact"
    if not logged.artifact_digest:
        return "the log names no artifact"
    if not isinstance(logged.inputs, dict):
        return "the logged inputs are no JSON object: the row was not written by the service, or was changed"
    if artifact is not None:
        missing = [name for name in artifact.contract.input_names if name not in logged.inputs]
        if missing:
            return (
                f"the log does not hold the inputs {', '.join(missing)} (SKLINE_LOG__COLUMNS and "
                "SKLINE_LOG__ENTITY_COLUMN leave inputs out)"
            )
    return None


def _describe(error: Exception) -> str:
    """Return an error in one line; those of skline are written for people."""
    return one_line(error) if isinstance(error, SklineError) else f"{type(error).__name__}: {one_line(error)}"


def _is_equal(
    logged: LoggedPrediction, prediction: Any, probabilities: Mapping[str, float] | None, exactness: Exactness
) -> bool:
    """Return whether a prediction equals the logged one."""
    if (probabilities is None) != (logged.probabilities is None):
        return False
    if probabilities is None:
        return _same_values(logged.prediction, prediction, exactness)
    if not isinstance(logged.probabilities, dict) or logged.probabilities.keys() != probabilities.keys():
        return False
    return _same_values(logged.prediction, prediction, exactness) and all(
        _same_values(logged.probabilities[name], value, exactness) for name, value in probabilities.items()
    )


def _same_values(logged: Any, value: Any, exactness: Exactness) -> bool:
    """Return whether two plain values have the same type and, for floats, the same bits or almost the same."""
    if type(logged) is not type(value):
        return False
    if isinstance(value, float):
        return arrays_equal(np.array([logged]), np.array([value]), exactness)
    return bool(logged == value)
