"""The gates: check a model's figures against the limits of params.yaml. What is missing or NaN does not pass.

Gates of segments, of gaps between groups and of the latency decide by intervals: such a gate passes where the whole
interval keeps the limit, fails where the whole interval misses it, and else is undecided, which does not stop a model.

To add a gate, add its limit to `skline.settings.evaluation.Gates` and a function to `evaluate_gates`.
"""

import math
from collections.abc import Iterator, Mapping
from statistics import NormalDist
from typing import Any

from skline.counting import counted
from skline.errors import SklineError
from skline.evaluation.bootstrap import CONFIDENCE
from skline.evaluation.champion import Comparison
from skline.evaluation.champion_gate import check_champion
from skline.evaluation.gaps import count_pairs, gap_interval, groups_of
from skline.evaluation.metrics import lower_is_better
from skline.evaluation.runtime_costs import ROUNDS, Costs
from skline.evaluation.segments import NO_SEGMENTS
from skline.paths import COSTS
from skline.release.verdict import GateResult
from skline.reporting.format import format_interval, format_number, format_setting
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
        *check_champion(gates, comparison, artifact_sha256, has_segments=_has_segments(details)),
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
    count = "test rows" if finite_number(rows) is None else f"{rows:,} test rows"
    yield _at_least("rows", rows, gates.min_rows, count)
    values = metrics.get("model") or {}
    intervals = details.get("intervals") or {}
    without, ends = intervals.get("without") or [], intervals.get("model") or {}
    broken = [
        name
        for name, value in values.items()
        if finite_number(value) is None
        or (name not in without and any(finite_number(end) is None for end in (ends.get(name) or [None])))
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
    passed: bool | None = gain is not None and gain > 0
    rule = "must be better" + (" beyond chance" if beyond_chance else "")
    if gates.dummy == "better" and gain is not None and gain <= 0 < (finite_number(dummy.get("high")) or 0):
        passed, rule = None, f"{rule}; undecided on these rows"
    yield GateResult(
        gate="dummy",
        passed=passed,
        value=gain,
        limit=0.0,
        reason=f"{metric} is {_describe_gain(dummy, 'a constant prediction')}, {rule}",
    )
    gain = finite_number(linear.get("value"))
    margin = gates.linear_margin
    tolerated = f"up to {format_setting(margin)} worse is tolerated" if margin else "must not be worse"
    yield GateResult(
        gate="linear",
        passed=gain is not None and gain >= -gates.linear_margin,
        value=gain,
        limit=0.0 - gates.linear_margin,  # 0 - 0 is 0, and -0.0 would be shown as "-0"
        reason=f"{metric} is {_describe_gain(linear, 'the linear baseline')}, {tolerated}",
    )


def _describe_gain(difference: Mapping[str, Any], other: str) -> str:
    """Describe how much better or worse a metric is than that of another model."""
    gain = finite_number(difference.get("value"))
    if gain is None:
        return f"not comparable with that of {other}: the difference is not a finite number"
    ends = [_format_signed(difference.get(end)) for end in ("low", "high")]
    comparison = "equal to" if gain == 0 else f"{format_number(abs(gain))} {'better' if gain > 0 else 'worse'} than"
    return f"{comparison} that of {other} (gain {ends[0]} to {ends[1]})"


def _has_segments(details: Mapping[str, Any]) -> bool:
    """Return whether the test part has segments, of any size."""
    return bool(details.get("segments") or details.get("small_segments"))


def _check_segments(gates: Gates, details: Mapping[str, Any], metric: str) -> Iterator[GateResult]:
    """Require the floor of every large segment: fail where one is below it beyond chance.

    The intervals hold for all segments together (Bonferroni): a model that is at the floor in every segment fails with
    a probability of at most 2.5 %.
    """
    floor = gates.worst_segment
    if floor is None:
        return
    if not _has_segments(details):
        yield GateResult(gate="worst segment", passed=False, limit=floor, reason=NO_SEGMENTS)
        return
    segments = [
        segment
        for segment in details.get("segments") or []
        if segment["rows"] >= gates.segment_rows and finite_number(segment.get(metric)) is not None
    ]
    if not segments:
        yield GateResult(
            gate="worst segment",
            passed=None,
            limit=floor,
            reason=f"undecided: no segment has both {gates.segment_rows} rows (gates.segment_rows) and a "
            f"value of {metric}",
        )
        return
    sign = -1.0 if lower_is_better(metric) else 1.0
    margins = [sorted(sign * (end - floor) for end in _widened(segment, metric, len(segments))) for segment in segments]
    below = [segment for segment, (_, best) in zip(segments, margins, strict=True) if best < 0]
    undecided = [segment for segment, (worst, best) in zip(segments, margins, strict=True) if worst < 0 <= best]
    named = min(below or undecided or segments, key=lambda segment: sign * float(segment[metric]))
    reason = f"{metric} is {_segment(named, metric, len(segments))}, must be {'at most' if sign < 0 else 'at least'} "
    reason += f"{format_setting(floor)} in every segment"
    if below:
        reason += f"; {len(below)} of {len(segments)} segments miss it beyond chance"
    elif undecided:
        reason += f"; {len(undecided)} of {len(segments)} segments are undecided: too few rows"
    passed = False if below else None if undecided else True
    yield GateResult(gate="worst segment", passed=passed, value=named[metric], limit=floor, reason=reason)


def _segment(segment: Mapping[str, Any], metric: str, n_segments: int) -> str:
    """Describe a segment's metric with the interval that holds for all segments together."""
    return (
        f"{_format_estimate(segment[metric], _widened(segment, metric, n_segments))} in {segment['column']} "
        f"{segment['value']} ({counted(segment['rows'], 'row')})"
    )


def _widened(segment: Mapping[str, Any], metric: str, n_segments: int) -> tuple[float, float]:
    """Return a segment's interval, widened on each side from 95 % to a level that holds for all segments together."""
    low, high = (segment.get("intervals") or {}).get(metric) or (-math.inf, math.inf)
    tail = (1 - CONFIDENCE) / 2
    factor = NormalDist().inv_cdf(1 - tail / n_segments) / NormalDist().inv_cdf(1 - tail)
    value = float(segment[metric])
    return value - factor * max(value - low, 0.0), value + factor * max(high - value, 0.0)


def _check_gaps(gates: Gates, details: Mapping[str, Any]) -> Iterator[GateResult]:
    """Limit the gaps between the groups of each sensitive column: fail where one exceeds its limit beyond chance.

    The intervals hold for all rates, columns and pairs of groups together: a model whose gaps are all at their limits
    fails with a probability of at most 5 %.
    """
    measured = {rate: [gap for gap in details.get("gaps") or [] if gap["rate"] == rate] for rate in gates.gaps}
    comparisons = max(1, sum(count_pairs(len(gap["groups"])) for gaps in measured.values() for gap in gaps))
    for rate, limit in gates.gaps.items():
        if not measured[rate]:
            reason = f"{rate} was not measured: no column is sensitive=True in src/model/contract.py, or the task has "
            reason += f"no {rate}; mark the column, or remove gates.gaps.{rate}"
            yield GateResult(gate=f"gap {rate}", passed=False, limit=limit, reason=reason)
        for gap in measured[rate]:
            yield _check_gap(gap, limit, comparisons)


def _check_gap(gap: Mapping[str, Any], limit: float, comparisons: int) -> GateResult:
    """Compare the gap of one rate and column with its limit."""
    gate, groups = f"gap {gap['rate']}", groups_of(gap)
    small = ", ".join(f"{name} ({rows})" for name, rows in gap["small"].items())
    few = f"{gap['rate']} is defined on fewer than {gap['min_rows']} rows of {small}"
    if len(groups) < 2:
        reason = f"undecided: {few}" if small else f"{gap['column']} has one group: nothing to compare"
        return GateResult(gate=gate, passed=None, limit=limit, reason=reason)
    low, high = gap_interval(groups, comparisons)
    if finite_number(gap["gap"]) is None or finite_number(low) is None or finite_number(high) is None:
        reason = f"the gap of {gap['rate']} by {gap['column']} is not a finite number"
        return GateResult(gate=gate, passed=False, limit=limit, reason=reason)
    reason = (
        f"{gap['rate']} of {gap['column']} differs by {_format_estimate(gap['gap'], (low, high))} between "
        f"{gap['highest']} and {gap['lowest']}, must be at most {format_setting(limit)}"
    )
    passed = False if low > limit else True if high <= limit else None
    if passed is None:
        reason += "; undecided on these rows"
    if small:
        reason += f"; not compared: {few}"
    return GateResult(gate=gate, passed=passed, value=gap["gap"], limit=limit, reason=reason)


def _check_calibration(gates: Gates, metrics: Mapping[str, Any]) -> Iterator[GateResult]:
    """Limit the distance between predicted and observed rates."""
    if gates.max_ece is not None:
        value = (metrics.get("model") or {}).get("ece")
        reason = f"predicted and observed rates differ by {_format(value)} (root mean square)"
        yield _at_most("calibration", value, gates.max_ece, reason)


def _check_costs(gates: Gates, costs: Costs) -> Iterator[GateResult]:
    """Limit what the model costs to run; the latency by its interval over several rounds."""
    yield _without_measurement(_check_latency(gates.max_latency_ms, costs), "processor time to score one row, in ms")
    size = f"size of the artifact: {costs.artifact_mb:g} MB"
    yield _at_most("size", costs.artifact_mb, gates.max_artifact_mb, size)
    what = "memory to load it and score a row"
    memory = _at_most("memory", costs.memory_mb, gates.max_memory_mb, f"{what}: {costs.memory_mb:g} MB")
    yield _without_measurement(memory, f"{what}, in MB")


def _check_latency(limit: float, costs: Costs) -> GateResult:
    """Compare the processor time of one row with its limit."""
    latency, ends = costs.latency_ms, (costs.latency_low_ms, costs.latency_high_ms)
    broken = any(finite_number(value) is None for value in (latency, *ends))
    passed = False if broken or ends[0] > limit else True if ends[1] <= limit else None
    reason = f"processor time to score one row: {latency:g} ms ({ends[0]:g} to {ends[1]:g} in {ROUNDS} rounds), "
    reason += f"must be at most {format_setting(limit)}" + (
        "; undecided: the rounds differ too much" if passed is None else ""
    )
    return GateResult(gate="latency", passed=passed, value=finite_number(latency), limit=limit, reason=reason)


def describe_result(result: GateResult, costs: Costs) -> str:
    """Return the reason of a gate for the screen, with the measured value that the verdict leaves out."""
    measured = {"latency": costs.latency_ms, "memory": costs.memory_mb}
    if result.passed and result.gate in measured:
        return f"{result.reason}: {measured[result.gate]:g}"
    return result.reason


def _without_measurement(result: GateResult, what: str) -> GateResult:
    """Leave the measured value out of a gate that passed.

    It differs from run to run, and git tracks the verdict, which must be equal for equal models.
    """
    if not result.passed:
        return result
    reason = f"{what}: at most {result.limit:g}; {COSTS} has the value"
    return GateResult(gate=result.gate, passed=True, limit=result.limit, reason=reason)


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
    return f"{reason}{missing}, must be {side} {format_setting(limit)}"


def _format(value: Any) -> str:
    number = finite_number(value)
    return "not a number" if number is None else format_number(number)


def _format_estimate(value: Any, interval: tuple[float, float]) -> str:
    """Format a number with its interval; "no interval" where it is infinite."""
    ends = format_interval(*interval) if all(map(math.isfinite, interval)) else "no interval"
    return f"{_format(value)} ({ends})"


def _format_signed(value: Any) -> str:
    number = finite_number(value)
    return "not a number" if number is None else format_number(number, signed=True)
