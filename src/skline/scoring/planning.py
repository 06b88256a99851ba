"""Build the plan of a fitted pipeline, and decide whether the plan or the pipeline itself scores.

A plan is chosen only after it gave the pipeline's own results for the golden rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sklearn import get_config

from skline.contract.frames import to_frame
from skline.contract.spec import Column, Value
from skline.scoring.equality import concatenate, score_single_row, scores_equal
from skline.scoring.estimators.dispatch import read_estimator
from skline.scoring.matrix import input_matrix
from skline.scoring.plan import Plan
from skline.scoring.reference import score_with_pipeline
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import Exactness, RowRejected, Scores, UnsupportedStep
from skline.scoring.sklearn_internals import public_type_name

#: Golden rows that the pipeline scores one by one, at 15 ms each. The edge cases come first among the golden rows.
MAX_SINGLE_ROWS = 8
#: Estimators that add the results of threads in the order in which these end.
FORESTS = tuple(
    f"sklearn.ensemble.{kind}{task}" for kind in ("RandomForest", "ExtraTrees") for task in ("Classifier", "Regressor")
)


@dataclass(frozen=True)
class ScoringChoice:
    """How a pipeline is scored; the artifact's manifest records it.

    Attributes
    ----------
    path : {"plan", "pipeline"}
    exactness : {"bits", "ulp"}
        Of the chosen path; for the pipeline, how equal its own results for the same rows are (`pipeline_exactness`).
    reason : str or None
        Why the plan is not used; None if it is.
    """

    path: Literal["plan", "pipeline"]
    exactness: Exactness
    reason: str | None = None


def choose_scoring(
    pipeline: Any, columns: Sequence[Column], golden_rows: Sequence[Mapping[str, Value]]
) -> tuple[ScoringChoice, Plan | None]:
    """Build the pipeline's plan and verify it on the golden rows; never raises because of a plan.

    Returns
    -------
    choice : ScoringChoice
    plan : Plan or None
        The plan, if it was chosen.
    """
    try:
        plan = build_plan(pipeline, columns)
        difference = verify_plan(plan, pipeline, columns, golden_rows)
    except UnsupportedStep as error:
        return ScoringChoice("pipeline", pipeline_exactness(pipeline), str(error)), None
    except Exception as error:  # noqa: BLE001 (the pipeline can serve whatever goes wrong in a plan)
        reason = f"building the plan failed: {type(error).__name__}: {error}"
        return ScoringChoice("pipeline", pipeline_exactness(pipeline), reason), None
    if difference is not None:
        return ScoringChoice("pipeline", pipeline_exactness(pipeline), difference), None
    return ScoringChoice("plan", plan.exactness), plan


def pipeline_exactness(pipeline: Any) -> Exactness:
    """Return how equal a pipeline's results for the same rows are from call to call.

    "ulp" if it contains a forest with several jobs, which adds its trees in the order in which the threads end.
    """
    estimators = [pipeline, *pipeline.get_params().values()]
    forests = [each for each in estimators if public_type_name(each) in FORESTS]
    return "bits" if all(forest.n_jobs in (None, 1) for forest in forests) else "ulp"


def build_plan(pipeline: Any, columns: Sequence[Column]) -> Plan:
    """Build the plan of a fitted pipeline.

    Parameters
    ----------
    pipeline : estimator
        A fitted scikit-learn Pipeline (or a single estimator) that was fitted on frames of these columns.
    columns : sequence of Column
        The inputs, in the order in which the pipeline's frames have them.

    Raises
    ------
    UnsupportedStep
        If a step, a type or a parameter is not one that plans support. The message names it.
    """
    if get_config()["transform_output"] != "default":
        raise UnsupportedStep("scikit-learn's transform_output is set globally; leave it 'default'")
    checks = RowChecks()
    estimator_plan = read_estimator(checks, pipeline, input_matrix(columns))
    return Plan(columns, checks, estimator_plan)


def verify_plan(
    plan: Plan, pipeline: Any, columns: Sequence[Column], golden_rows: Sequence[Mapping[str, Value]]
) -> str | None:
    """Compare the plan with the pipeline on the golden rows, one by one and as a batch.

    Returns
    -------
    str or None
        What differs, as a message; None if nothing does.
    """
    if not golden_rows:
        return "there are no golden rows to verify the plan on; add some"
    scored = []
    expected_rows = _score_each(pipeline, columns, golden_rows, plan.exactness)
    for index, (row, expected) in enumerate(zip(golden_rows, expected_rows, strict=True)):
        if not scores_equal(expected, _scores_or_none(score_single_row, plan, row), plan.exactness):
            return f"the row plan differs from the pipeline on golden row {index}"
        if expected is not None:
            scored.append((row, expected))
    if not scored:
        return "the pipeline raises on every golden row, so they verify nothing; replace them"
    rows = [row for row, _ in scored]
    if plan.exactness == "bits":
        batch = score_with_pipeline(pipeline, columns, rows)
    else:
        batch = concatenate([scores for _, scores in scored])
    frame = to_frame(columns, rows)
    arrays = {column.name: frame[column.name].to_numpy() for column in columns}
    if not (
        scores_equal(batch, plan.score_columns(arrays), plan.exactness)
        and scores_equal(batch, plan.score_rows(rows), plan.exactness)
    ):
        return "the array plan differs from the pipeline on the golden rows"
    return None


def _score_each(
    pipeline: Any, columns: Sequence[Column], rows: Sequence[Mapping[str, Value]], exactness: Exactness
) -> list[Scores | None]:
    """Return the pipeline's scores of each row, None where it raises.

    The steps of a "bits" plan compute every row independently of the others. Such a pipeline scores the first rows one
    by one and the others as a batch, unless one of them makes it raise.
    """
    batch = _scores_or_none(score_with_pipeline, pipeline, columns, rows) if exactness == "bits" else None
    single_rows = rows if batch is None else rows[:MAX_SINGLE_ROWS]
    scores = [_scores_or_none(score_with_pipeline, pipeline, columns, [row]) for row in single_rows]
    if batch is not None:
        scores += [batch[index : index + 1] for index in range(len(single_rows), len(rows))]
    return scores


def _scores_or_none(score: Any, *args: Any) -> Scores | None:
    """Call a scoring function; None if it rejects its input."""
    try:
        scores: Scores = score(*args)
    except (ValueError, RowRejected):
        return None
    return scores
