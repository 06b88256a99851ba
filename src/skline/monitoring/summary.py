"""The window in words: one sentence, and a short table for the terminal."""

from collections.abc import Sequence

from skline.counting import counted
from skline.entrypoint import visible
from skline.monitoring.checks import PARTS, STATES, Check, Part, State, worst
from skline.monitoring.data_results import Drift
from skline.monitoring.operations import RELEASE_RULE
from skline.monitoring.reference import SCORE
from skline.monitoring.result import WindowResult

#: What to do first, by the part that is worst.
ADVICE: dict[Part, str] = {
    "performance": "compare the segments, and retrain or roll back",
    "concept": "look at the latest errors, and consider retraining",
    "quality": "ask the sender of the data",
    "drift": "look at the columns' histograms; retrain if the metric falls too",
    "bias": "recalibrate or retrain",
    "kpi": "look at the segments of the figure",
    "operations": "look at the service's logs",
}
#: What to do first where a rule of the part asks for something else.
ADVICE_BY_RULE = {
    RELEASE_RULE: "do what the reason says, or `skline rollback --to NUMBER` to a release that the service serves",
    "other_contract": "find the service that writes to this log, or get its line of releases/registered.jsonl",
}
#: The most telling part first.
ORDER: tuple[Part, ...] = ("performance", "quality", "concept", "bias", "kpi", "drift", "operations")
#: From this share of the importance on, drift is said to matter.
MATTERS = 0.05
MAX_LINES = 12


def part_states(checks: Sequence[Check]) -> dict[Part, State]:
    """Return the state of each part: the worst of its checks.

    A part without checks has no state. A part is undecided only if none of its checks is decided.
    """
    states: dict[Part, State] = {}
    for part in PARTS:
        own = [check.state for check in checks if check.part == part]
        if not own:
            continue  # such as business figures, where params name none
        decided = [state for state in own if state != "insufficient_data"]
        states[part] = worst(decided) if decided else "insufficient_data"
    return states


def overall_state(states: dict[Part, State], rows: int, min_rows: int) -> State:
    """Return the state of the window: the worst part; insufficient_data if there are too few predictions."""
    decided = worst(state for state in states.values() if state != "insufficient_data")
    return "insufficient_data" if decided == "ok" and rows < min_rows else decided


def sentence(state: State, checks: Sequence[Check], drift: Drift | None, rows: int) -> str:
    """Return what changed, since when, whether it matters, and what to do."""
    serious = sorted(
        (check for check in checks if check.raised and check.state in ("warning", "alarm")),
        key=lambda check: (-STATES.index(check.state), ORDER.index(check.part)),
    )
    if state == "insufficient_data":
        return f"There are too few predictions to tell ({rows:,}): wait, or look at why they are missing."
    if not serious:
        return f"Nothing has changed beyond its limit in {counted(rows, 'prediction')}."
    first = serious[0]
    others = len(serious) - 1
    text = f"{first.state.capitalize()}: {describe_finding(first)}"
    if others:
        text += f" (and {counted(others, 'more finding')})"
    return f"{text}. {_matters(serious, drift)} Next: {ADVICE_BY_RULE.get(first.rule, ADVICE[first.part])}."


def describe_finding(check: Check) -> str:
    """Return what a raised check found, and since when, without a full stop."""
    text = check.message or f"{check.subject} exceeds its limit ({check.rule})"
    if check.since is None or check.rule == RELEASE_RULE:  # whether services follow is known only for the present
        return text
    return f"{text}, in the windows from {check.since:%Y-%m-%d %H:%M} on"


def _matters(serious: Sequence[Check], drift: Drift | None) -> str:
    parts = {check.part for check in serious}
    if parts & {"performance", "kpi", "bias"}:
        return "It matters: results on labels are affected."
    if any(check.rule == RELEASE_RULE for check in serious):
        return "It matters: the predictions are not those of the released model."
    if any(check.part == "drift" and check.subject == SCORE for check in serious):
        return "It matters: the predictions themselves have shifted."
    if drift is None or drift.importance is None:
        return "Whether it matters is unknown."
    verdict = "It matters" if drift.importance >= MATTERS else "It hardly matters"
    return f"{verdict}: the columns that drifted hold {100 * drift.importance:.1f} % of the importance of all."


def table(result: WindowResult) -> str:
    """Return the parts with their states, why they are undecided, and the most serious findings, as text."""
    lines = [f"{part:<12} {state}{_why_undecided(result, part)}" for part, state in result.states.items()]
    raised = [check for check in result.checks if check.raised]
    if raised:
        lines.append("")
    lines += [
        f"{check.state:<8} {check.part}/{check.subject}: {check.message or check.rule}" for check in raised[:MAX_LINES]
    ]
    if len(raised) > MAX_LINES:
        lines.append(f"… and {len(raised) - MAX_LINES} more, in metrics.json")
    if other := describe_other_versions(result):
        lines += ["", other]
    lines += [f"problem  {each.part}/{each.subject}: {each.message}" for each in result.problems]
    return "\n".join(lines)


def describe_other_versions(result: WindowResult) -> str:
    """Return how many rows other versions of the project predicted, as before a release; empty if none did."""
    others = {name: rows for name, rows in result.quality.by_version.items() if name != result.window.model_version}
    listed = ", ".join(f"{rows:,} by {visible(name)}" for name, rows in others.items())
    return f"{sum(others.values()):,} rows were predicted by other versions of the model: {listed}" if others else ""


def _why_undecided(result: WindowResult, part: Part) -> str:
    """Return why nothing was decided about a part, after a colon; empty if something was."""
    if result.states[part] != "insufficient_data":
        return ""
    reasons = dict.fromkeys(check.message for check in result.checks if check.part == part and check.message)
    return ": " + "; ".join(reasons) if reasons else ""
