"""The gates: check a model's figures against the limits of params.yaml. What is missing or NaN does not pass.

To add a gate, add its limit to `skline.settings.evaluation.Gates` and a function to `evaluate_gates`.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from skline.errors import SklineError
from skline.evaluation.champion import Comparison
from skline.evaluation.metrics import lower_is_better
from skline.evaluation.runtime_costs import Costs
from skline.release.verdict import GateResult
from skline.reporting.format import format_interval, format_number
from skline.settings.evaluation import Gates


def evaluate_gates(
    gates: Gates,
    metrics: Mapping[str, Any],
    details: Mapping[str, Any],
    comparison: Comparison | SklineError | None,
    costs: Costs,
    artifact_sha256: str,
) -> tuple[GateResult, ...]:
    """Check every gate.

    Parameters
    ----------
    gates : Gates
    metrics, details : mapping
        reports/metrics.json and reports/evaluation.json.
    comparison : Comparison, SklineError or None
        With the champion; the error if that was not possible, None if there is no champion.
    costs : Costs
    artifact_sha256 : str
        Of the artifact that is assessed.
    """
    metric = str(details.get("metric"))
    return (
        *_check_support(gates, metrics, details),
        *_check_floors(gates, metrics),
        *_check_baselines(gates, details, metric),
        *_check_champion(gates, comparison, artifact_sha256),
        *_check_segments(gates, details, metric),
        *_check_gaps(gates, details),
        *_check_calibration(gates, metrics),
        *_check_costs(gates, costs),
    )


def is_improved(comparison: Comparison | SklineError | None, artifact_sha256: str) -> bool | None:
    """Return whether a model is better than the champion beyond chance; None where nothing was compared."""
    if not isinstance(comparison, Comparison) or comparison.sha256 == artifact_sha256 or comparison.difference is None:
        return None
    return comparison.difference.low > 0


def finite_number(value: Any) -> float | None:
    """Return a finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _check_support(gates: Gates, metrics: Mapping[str, Any], details: Mapping[str, Any]) -> Iterator[GateResult]:
    """Require enough rows, and every metric to be a number with an interval."""
    rows = metrics.get("rows")
    yield _at_least("rows", rows, gates.min_rows, f"{rows:,} test rows" if finite_number(rows) else "test rows")
    values = metrics.get("model") or {}
    intervals = (details.get("intervals") or {}).get("model") or {}
    broken = [
        name
        for name, value in values.items()
        if finite_number(value) is None or any(finite_number(end) is None for end in (intervals.get(name) or [None]))
    ]
    yield GateResult(
        gate="numbers",
        passed=bool(values) and not broken,
        reason=f"not a finite number, or without an interval: {', '.join(broken)}"
        if broken
        else f"all {len(values)} metrics are finite numbers with intervals"
        if values
        else "there are no metrics",
    )


def _check_floors(gates: Gates, metrics: Mapping[str, Any]) -> Iterator[GateResult]:
    """Require the limits that params.yaml gives for metrics."""
    values = metrics.get("model") or {}
    for name, limit in gates.floors.items():
        value = values.get(name)
        check = _at_most if lower_is_better(name) else _at_least
        yield check(f"floor {name}", value, limit, f"{name} is {_format(value)}")


def _check_baselines(gates: Gates, details: Mapping[str, Any], metric: str) -> Iterator[GateResult]:
    """Require the model to be better than a constant prediction, and not worse than a linear model."""
    against = details.get("against") or {}
    dummy, linear = against.get("dummy") or {}, against.get("linear") or {}
    beyond_chance = gates.dummy == "beyond_chance"
    gain = finite_number(dummy.get("low" if beyond_chance else "value"))
    yield GateResult(
        gate="dummy",
        passed=gain is not None and gain > 0,
        value=gain,
        limit=0.0,
        reason=f"{metric} is better than that of a constant prediction by {_format(dummy.get('value'))}"
        f" ({_format(dummy.get('low'))} to {_format(dummy.get('high'))}), must be above 0"
        + (" beyond chance" if beyond_chance else ""),
    )
    yield _at_least(
        "linear",
        linear.get("value"),
        0.0 - gates.linear_margin,
        f"{metric} is better than that of the linear baseline by {_format(linear.get('value'))}",
    )


def _check_champion(
    gates: Gates, comparison: Comparison | SklineError | None, artifact_sha256: str
) -> Iterator[GateResult]:
    """Require the model to be no worse than the champion, on all rows and in every segment."""
    if comparison is None:
        yield GateResult(gate="champion", passed=True, reason="there is no champion yet: nothing is released")
        return
    if isinstance(comparison, SklineError):
        yield GateResult(gate="champion", passed=False, reason=str(comparison))
        return
    if comparison.sha256 == artifact_sha256:
        yield GateResult(gate="champion", passed=True, reason=f"this artifact is the champion {comparison.version}")
        return
    difference, rules = comparison.difference, gates.champion
    limit = 0.0 if rules.require == "better" else -rules.margin
    if difference is None or finite_number(difference.low) is None or finite_number(difference.value) is None:
        reason = f"the difference from {comparison.version} is not a finite number"
        yield GateResult(gate="champion", passed=False, limit=limit, reason=reason)
        return
    conclusion = "no difference"
    if difference.low > 0:
        conclusion = "better beyond chance"
    elif difference.high < 0:
        conclusion = "worse beyond chance"
    yield GateResult(
        gate="champion",
        passed=difference.low > limit,
        value=difference.low,
        limit=limit,
        reason=f"{difference.metric} gains {format_number(difference.value, signed=True)} "
        f"({format_interval(difference.low, difference.high, signed=True)}) over {comparison.version} "
        f"on the same {difference.rows:,} rows: {conclusion}; the low end must be above {limit:g}",
    )
    worse = [each for each in comparison.worse_segments if each.significant]
    named = ", ".join(
        f"{each.column} {each.value} {format_number(each.difference.value, signed=True)}" for each in worse
    )
    yield GateResult(
        gate="champion by segment",
        passed=not worse,
        value=worse[0].difference.value if worse else None,
        limit=-rules.segment_margin,
        reason=f"much worse than {comparison.version} in {named}"
        if worse
        else f"none of {comparison.compared_segments} segments is worse by more than {rules.segment_margin:g} "
        "beyond chance",
    )


def _check_segments(gates: Gates, details: Mapping[str, Any], metric: str) -> Iterator[GateResult]:
    """Require the worst large segment to reach its floor."""
    if gates.worst_segment is None:
        return
    segments = [
        segment
        for segment in details.get("segments") or []
        if segment["rows"] >= gates.segment_rows and finite_number(segment.get(metric)) is not None
    ]
    if not segments:
        yield GateResult(
            gate="worst segment",
            passed=False,
            limit=gates.worst_segment,
            reason=f"no segment has both {gates.segment_rows} rows (gates.segment_rows) and a value of {metric}",
        )
        return
    worst = (max if lower_is_better(metric) else min)(segments, key=lambda segment: float(segment[metric]))
    reason = (
        f"{metric} is worst in {worst['column']} {worst['value']}: {format_number(worst[metric])} "
        f"on {worst['rows']:,} rows"
    )
    check = _at_most if lower_is_better(metric) else _at_least
    yield check("worst segment", worst[metric], gates.worst_segment, reason)


def _check_gaps(gates: Gates, details: Mapping[str, Any]) -> Iterator[GateResult]:
    """Limit the gap between groups of each sensitive column, for each rate that has a limit."""
    for rate, limit in gates.gaps.items():
        gaps = [gap for gap in details.get("gaps") or [] if gap["rate"] == rate]
        if not gaps:
            reason = f"{rate} was not measured: no column is sensitive=True, or its groups are too small"
            yield GateResult(gate=f"gap {rate}", passed=False, limit=limit, reason=reason)
        for gap in gaps:
            reason = (
                f"{rate} of {gap['column']} differs by {_format(gap['gap'])} between {gap['highest']} and "
                f"{gap['lowest']}"
            )
            yield _at_most(f"gap {rate}", gap["gap"], limit, reason)


def _check_calibration(gates: Gates, metrics: Mapping[str, Any]) -> Iterator[GateResult]:
    """Limit the distance between predicted and observed rates."""
    if gates.max_ece is not None:
        value = (metrics.get("model") or {}).get("ece")
        reason = f"predicted and observed rates differ by {_format(value)} on average"
        yield _at_most("calibration", value, gates.max_ece, reason)


def _check_costs(gates: Gates, costs: Costs) -> Iterator[GateResult]:
    """Limit what the model costs to run."""
    for gate, value, limit, what, unit in (
        ("latency", costs.latency_ms, gates.max_latency_ms, "median time to score one row", "ms"),
        ("size", costs.artifact_mb, gates.max_artifact_mb, "size of the artifact", "MB"),
        ("memory", costs.memory_mb, gates.max_memory_mb, "memory to load it and score a row", "MB"),
    ):
        yield _at_most(gate, value, limit, f"{what}: {value:g} {unit}")


def _at_least(gate: str, value: Any, limit: float, reason: str) -> GateResult:
    """Pass a finite number that is not below the limit."""
    number = finite_number(value)
    passed = number is not None and number >= limit
    return GateResult(
        gate=gate, passed=passed, value=number, limit=limit, reason=_reason(reason, number, "at least", limit)
    )


def _at_most(gate: str, value: Any, limit: float, reason: str) -> GateResult:
    """Pass a finite number that is not above the limit."""
    number = finite_number(value)
    passed = number is not None and number <= limit
    return GateResult(
        gate=gate, passed=passed, value=number, limit=limit, reason=_reason(reason, number, "at most", limit)
    )


def _reason(reason: str, number: float | None, side: str, limit: float) -> str:
    missing = ": not a finite number" if number is None else ""
    return f"{reason}{missing}, must be {side} {limit:g}"


def _format(value: Any) -> str:
    number = finite_number(value)
    return "not a number" if number is None else format_number(number)
