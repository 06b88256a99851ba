"""Business figures: the mean of an expression, or of a cost matrix, for 1,000 predictions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skline.monitoring.checks import Check, is_beyond
from skline.monitoring.clusters import Codes, Floats
from skline.monitoring.estimates import Estimate, mean_estimate
from skline.monitoring.expressions import InvalidExpression, evaluate, names_in, parse_expression
from skline.monitoring.result import KpiResult
from skline.settings.monitor import Kpi

PER = 1_000
#: Name of the figure that the cost matrix makes.
COST = "cost"


def evaluate_kpi(
    kpi: Kpi,
    columns: Mapping[str, Any],
    labelled: npt.NDArray[np.bool_],
    groups: Iterable[tuple[str | None, str | None, npt.NDArray[np.bool_]]],
    entities: Codes | None,
) -> list[KpiResult]:
    """Evaluate an expression for all rows, and for groups of them.

    Parameters
    ----------
    kpi : Kpi
    columns : mapping of str to array of shape (n,)
        `prediction`, `score`, `label` and the inputs.
    labelled : bool array, shape (n,)
        Rows without a label are left out if the expression reads `label`.
    groups : iterable of (arm, segment, bool array of shape (n,))
    entities : int64 array, shape (n,), or None

    Returns
    -------
    One result a group. An expression that cannot be evaluated gives one result with its error.
    """
    try:
        tree = parse_expression(kpi.expression)
        values = evaluate(tree, columns)
        figures = np.broadcast_to(np.asarray(values, dtype=np.float64), labelled.shape)
    except (InvalidExpression, TypeError, ValueError) as error:
        return [KpiResult(name=kpi.name, unit=kpi.unit, rows=0, per_thousand=Estimate(), error=str(error))]
    counted = np.isfinite(figures) & (labelled | ("label" not in names_in(tree)))
    return [
        mean_kpi(kpi.name, kpi.unit, figures, counted & rows, entities, arm, segment) for arm, segment, rows in groups
    ]


def mean_kpi(
    name: str,
    unit: str,
    figures: Floats,
    rows: npt.NDArray[np.bool_],
    entities: Codes | None,
    arm: str | None = None,
    segment: str | None = None,
) -> KpiResult:
    """Return the mean figure for 1,000 predictions with its normal interval, on effective rows."""
    chosen = figures[rows]
    return KpiResult(
        name=name,
        unit=unit,
        arm=arm,
        segment=segment,
        rows=len(chosen),
        per_thousand=mean_estimate(PER * chosen, None if entities is None else entities[rows]),
    )


def cost_of(truth: Codes, predicted: Codes, costs: Sequence[Sequence[float]]) -> Floats:
    """Return the cost of each row, by its true and its predicted class; NaN where one is unknown (-1)."""
    matrix = np.asarray(costs, dtype=np.float64)
    known = (truth >= 0) & (predicted >= 0)
    figures: Floats = np.where(known, matrix[np.maximum(truth, 0), np.maximum(predicted, 0)], np.nan)
    return figures


def kpi_checks(kpis: Sequence[Kpi], results: Sequence[KpiResult], min_rows: int) -> list[Check]:
    """Return a check for each figure that has a limit, of all rows; the whole interval must lie beyond it."""
    checks = []
    for kpi in kpis:
        result = next((each for each in results if each.name == kpi.name and not each.arm and not each.segment), None)
        if result is None or (kpi.minimum is None and kpi.maximum is None):
            continue
        mean, raised = result.per_thousand, None
        if result.rows >= min_rows:
            raised = is_beyond(mean, minimum=kpi.minimum, maximum=kpi.maximum)
        is_above = kpi.minimum is None or bool(is_beyond(mean, maximum=kpi.maximum))
        limit = kpi.maximum if is_above else kpi.minimum
        message = f"{kpi.name} is {mean.value:.4g} {kpi.unit} per 1,000, beyond {limit:.4g}" if raised else ""
        checks.append(
            Check.of(
                mean, part="kpi", rule="limit", subject=kpi.name, raised=raised, limit=limit, rows=result.rows,
                message=message,
            )
        )  # fmt: skip
    return checks
