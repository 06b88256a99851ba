"""Which way a pipeline is scored: by its plan, if that is proved equal, or by the pipeline itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from skline.contract.frames import to_frame
from skline.contract.spec import Column, Value
from skline.scoring.answers import Exactness, NotPlannable, RowRefused, Scores
from skline.scoring.equality import equal, joined, one_row
from skline.scoring.plan import Plan, build_plan
from skline.scoring.reference import score_with_pipeline

#: So many golden rows are asked of the pipeline one by one, which takes it 15 ms each; the edge cases stand first.
ALONE = 8


@dataclass(frozen=True)
class Choice:
    """How a pipeline is to be scored; it stands in the artifact's manifest.

    `exactness` is that of the path which was chosen: the pipeline is "bits" by definition. `reason` says
    in words why the plan is not used; None if it is.
    """

    path: Literal["plan", "pipeline"]
    exactness: Exactness
    reason: str | None = None


def choose(pipeline: Any, columns: Sequence[Column], golden_rows: Sequence[Mapping[str, Value]]) -> Choice:
    """Plan the pipeline and prove the plan on golden rows; never raises because of a plan."""
    return prepare(pipeline, columns, golden_rows)[0]


def prepare(
    pipeline: Any, columns: Sequence[Column], golden_rows: Sequence[Mapping[str, Value]]
) -> tuple[Choice, Plan | None]:
    """Return the choice, and the plan if it was chosen."""
    try:
        plan = build_plan(pipeline, columns)
        difference = prove(plan, pipeline, columns, golden_rows)
    except NotPlannable as error:
        return Choice("pipeline", "bits", str(error)), None
    except Exception as error:  # noqa: BLE001 (whatever goes wrong in a plan, the pipeline can still serve)
        return Choice("pipeline", "bits", f"reading the pipeline failed: {type(error).__name__}: {error}"), None
    if difference is not None:
        return Choice("pipeline", "bits", difference), None
    return Choice("plan", plan.exactness), plan


def prove(
    plan: Plan, pipeline: Any, columns: Sequence[Column], golden_rows: Sequence[Mapping[str, Value]]
) -> str | None:
    """Compare the plan with the pipeline on rows, one by one and all at once.

    Returns
    -------
    str or None
        What differs, in words; None if nothing does.
    """
    if not golden_rows:
        return "there are no golden rows to prove the plan on; add some"
    alone = []
    answers = _ask_each(pipeline, columns, golden_rows, plan.exactness)
    for index, (row, expected) in enumerate(zip(golden_rows, answers, strict=True)):
        if not equal(expected, _attempt(one_row, plan, row), plan.exactness):
            return f"the row plan differs from the pipeline on golden row {index}"
        if expected is not None:
            alone.append((row, expected))
    if not alone:
        return "the pipeline raises on every golden row, so they prove nothing; replace them"
    rows = [row for row, _ in alone]
    if plan.exactness == "bits":
        whole = score_with_pipeline(pipeline, columns, rows)
    else:
        whole = joined([scores for _, scores in alone])
    frame = to_frame(columns, rows)
    arrays = {column.name: frame[column.name].to_numpy() for column in columns}
    if not (
        equal(whole, plan.score_columns(arrays), plan.exactness) and equal(whole, plan.score_rows(rows), plan.exactness)
    ):
        return "the array plan differs from the pipeline on the golden rows"
    return None


def _ask_each(
    pipeline: Any, columns: Sequence[Column], rows: Sequence[Mapping[str, Value]], exactness: Exactness
) -> list[Scores | None]:
    """Return the pipeline's answer to each row, None where it raises.

    A plan exact to the bits comes of steps that compute every row by itself. Such a pipeline is asked for the first
    rows one by one and for the others at once, unless one of them makes it raise.
    """
    whole = _attempt(score_with_pipeline, pipeline, columns, rows) if exactness == "bits" else None
    singly = rows if whole is None else rows[:ALONE]
    answers = [_attempt(score_with_pipeline, pipeline, columns, [row]) for row in singly]
    if whole is not None:
        answers += [whole[index : index + 1] for index in range(len(singly), len(rows))]
    return answers


def _attempt(score: Any, *args: Any) -> Scores | None:
    """Scores, or None where the row is refused."""
    try:
        scores: Scores = score(*args)
    except (ValueError, RowRefused):
        return None
    return scores
