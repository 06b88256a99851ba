"""Why a check is undecided: too few predictions, labels that are too new or too few, nothing to compare with."""

from skline.counting import counted
from skline.monitoring.checks import Check
from skline.monitoring.label_results import Performance
from skline.settings.monitor import Monitor, format_duration

#: Parts that are decided by labels.
BY_LABELS = ("performance", "concept", "bias")


def with_reason(check: Check, rows: int, measured: Performance | None, settings: Monitor) -> Check:
    """Return the check; an undecided one without a message says why.

    Parameters
    ----------
    check : Check
    rows : int
        Predictions of the window.
    measured : Performance or None
        On the predictions that are older than the label horizon.
    settings : Monitor
    """
    if check.raised is not None or check.message:
        return check
    if check.part in BY_LABELS:
        reason = _lack_of_labels(rows, measured, settings)
    elif check.rule == "rows":
        reason = "there are no rows of earlier seasons to compare the number of rows with"
    else:
        reason = _lack_of_rows(rows if check.rows is None else check.rows, settings.min_rows)
    return check.model_copy(update={"message": reason})


def _lack_of_labels(rows: int, measured: Performance | None, settings: Monitor) -> str:
    if measured is None:
        return "it could not be computed"
    horizon = f"monitor.label_horizon ({format_duration(settings.label_horizon)})"
    needed = settings.performance.min_labels
    if not measured.rows:
        return f"0 of {rows:,} predictions are older than {horizon}"
    if measured.labelled < needed:
        known = f"{measured.labelled:,} of {measured.rows:,} predictions that are older than {horizon} have a label"
        return f"{known}; monitor.performance.min_labels is {needed:,}"
    return "the labels do not suffice for an interval"


def _lack_of_rows(rows: int, needed: int) -> str:
    """Return the reason; empty where there are enough rows, and something else is missing."""
    return f"{counted(rows, 'row')}; monitor.min_rows is {needed:,}" if rows < needed else ""
