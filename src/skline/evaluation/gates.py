"""The gates: what was found, beside what params.yaml asks for. Whatever is missing or NaN has not passed."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from skline.errors import SklineError
from skline.evaluation.champion import Comparison
from skline.evaluation.costs import Costs
from skline.evaluation.sampled import LOWER
from skline.evaluation.verdict import Finding
from skline.numbers import interval, short
from skline.settings_evaluation import Gates


def judge(
    gates: Gates,
    metrics: Mapping[str, Any],
    details: Mapping[str, Any],
    comparison: Comparison | SklineError | None,
    costs: Costs,
    artifact_sha256: str,
) -> tuple[Finding, ...]:
    """Put every gate's question.

    Parameters
    ----------
    gates : Gates
    metrics, details : mapping
        reports/metrics.json and reports/evaluation.json.
    comparison : Comparison, SklineError or None
        With the champion; the error if that was not possible, None if there is no champion.
    costs : Costs
    artifact_sha256 : str
        Of the artifact that is judged.
    """
    metric = str(details.get("metric"))
    return (
        *_support(gates, metrics, details),
        *_floors(gates, metrics),
        *_baselines(gates, details, metric),
        *_champion(gates, comparison, artifact_sha256),
        *_segments(gates, details, metric),
        *_gaps(gates, details),
        *_calibration(gates, metrics),
        *(
            _at_most(gate, found, limit, f"{what}: {found:g} {unit}")
            for gate, found, limit, what, unit in (
                ("latency", costs.latency_ms, gates.max_latency_ms, "median time for one row", "ms"),
                ("size", costs.artifact_mb, gates.max_artifact_mb, "size of the artifact", "MB"),
                ("memory", costs.memory_mb, gates.max_memory_mb, "memory to load it and answer", "MB"),
            )
        ),
    )


def number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _at_least(gate: str, value: Any, limit: float, reason: str) -> Finding:
    """Pass a finite number from the limit on."""
    found = number(value)
    passed = found is not None and found >= limit
    return Finding(gate=gate, passed=passed, found=found, limit=limit, reason=_said(reason, found, "at least", limit))


def _at_most(gate: str, value: Any, limit: float, reason: str) -> Finding:
    """Pass a finite number up to the limit."""
    found = number(value)
    passed = found is not None and found <= limit
    return Finding(gate=gate, passed=passed, found=found, limit=limit, reason=_said(reason, found, "at most", limit))


def _said(reason: str, found: float | None, side: str, limit: float) -> str:
    return (reason if found is not None else f"{reason}: there is no number") + f", must be {side} {limit:g}"


def _support(gates: Gates, metrics: Mapping[str, Any], details: Mapping[str, Any]) -> Iterator[Finding]:
    """Ask for enough rows, and for every metric to be a number with an interval."""
    rows = metrics.get("rows")
    yield _at_least("rows", rows, gates.min_rows, f"{rows:,} test rows" if number(rows) else "test rows")
    judged = metrics.get("model") or {}
    ends = (details.get("intervals") or {}).get("model") or {}
    broken = [
        name
        for name, value in judged.items()
        if number(value) is None or any(number(end) is None for end in (ends.get(name) or [None]))
    ]
    yield Finding(
        gate="numbers",
        passed=bool(judged) and not broken,
        reason=f"no finite number or no interval: {', '.join(broken)}"
        if broken
        else f"all {len(judged)} metrics are finite numbers with intervals"
        if judged
        else "there are no metrics",
    )


def _floors(gates: Gates, metrics: Mapping[str, Any]) -> Iterator[Finding]:
    """Ask for what params.yaml names."""
    judged = metrics.get("model") or {}
    for name, limit in gates.floors.items():
        value = judged.get(name)
        words = f"{name} is {_short(value)}"
        yield (_at_most if name in LOWER else _at_least)(f"floor {name}", value, limit, words)


def _baselines(gates: Gates, details: Mapping[str, Any], metric: str) -> Iterator[Finding]:
    """Ask for more than a constant answer, and for no less than a linear model."""
    against = details.get("against") or {}
    dummy, linear = against.get("dummy") or {}, against.get("linear") or {}
    beyond_chance = gates.dummy == "beyond_chance"
    gain = number(dummy.get("low" if beyond_chance else "value"))
    yield Finding(
        gate="dummy",
        passed=gain is not None and gain > 0,
        found=gain,
        limit=0.0,
        reason=f"{metric} is better than a constant answer's by {_short(dummy.get('value'))}"
        f" ({_short(dummy.get('low'))} to {_short(dummy.get('high'))}), must be above 0"
        + (" beyond chance" if beyond_chance else ""),
    )
    yield _at_least(
        "linear",
        linear.get("value"),
        0.0 - gates.linear_margin,
        f"{metric} is better than the linear baseline's by {_short(linear.get('value'))}",
    )


def _champion(gates: Gates, comparison: Comparison | SklineError | None, sha256: str) -> Iterator[Finding]:
    """Ask for no less than what serves now."""
    if comparison is None:
        yield Finding(gate="champion", passed=True, reason="there is no champion yet: nothing is released")
        return
    if isinstance(comparison, SklineError):
        yield Finding(gate="champion", passed=False, reason=str(comparison))
        return
    if comparison.sha256 == sha256:
        yield Finding(gate="champion", passed=True, reason=f"this artifact is the champion {comparison.version}")
        return
    found, rules = comparison.difference, gates.champion
    limit = 0.0 if rules.require == "better" else -rules.margin
    if found is None or number(found.low) is None or number(found.value) is None:
        words = f"the difference from {comparison.version} is no number"
        yield Finding(gate="champion", passed=False, limit=limit, reason=words)
        return
    improved = "better beyond chance" if found.low > 0 else "worse beyond chance" if found.high < 0 else "no difference"
    yield Finding(
        gate="champion",
        passed=found.low > limit,
        found=found.low,
        limit=limit,
        reason=f"{found.metric} gains {short(found.value, signed=True)} "
        f"({interval(found.low, found.high, signed=True)}) over {comparison.version} on the same {found.rows:,} rows: "
        f"{improved}; the low end must be above {limit:g}",
    )
    sure = [each for each in comparison.worse_segments if each.sure]
    named = ", ".join(f"{each.column} {each.value} {short(each.difference.value, signed=True)}" for each in sure)
    yield Finding(
        gate="champion by segment",
        passed=not sure,
        found=sure[0].difference.value if sure else None,
        limit=-rules.segment_margin,
        reason=f"much worse than {comparison.version} in {named}"
        if sure
        else f"none of {comparison.judged_segments} segments is worse by more than {rules.segment_margin:g} "
        "beyond chance",
    )


def improved(comparison: Comparison | SklineError | None, sha256: str) -> bool | None:
    """Whether a model is better than the champion beyond chance; None where nothing was compared."""
    if not isinstance(comparison, Comparison) or comparison.sha256 == sha256 or comparison.difference is None:
        return None
    return comparison.difference.low > 0


def _segments(gates: Gates, details: Mapping[str, Any], metric: str) -> Iterator[Finding]:
    """Ask the floor of the worst segment."""
    if gates.worst_segment is None:
        return
    large = [each for each in details.get("segments") or [] if each["rows"] >= gates.segment_rows]
    judged = [each for each in large if number(each.get(metric)) is not None]
    if not judged:
        yield Finding(
            gate="worst segment",
            passed=False,
            limit=gates.worst_segment,
            reason=f"no segment has {gates.segment_rows} rows and a {metric}; there is nothing to judge",
        )
        return
    worst = (max if metric in LOWER else min)(judged, key=lambda each: float(each[metric]))
    words = f"{metric} is worst in {worst['column']} {worst['value']}: {short(worst[metric])} on {worst['rows']:,} rows"
    yield (_at_most if metric in LOWER else _at_least)("worst segment", worst[metric], gates.worst_segment, words)


def _gaps(gates: Gates, details: Mapping[str, Any]) -> Iterator[Finding]:
    """Ask for the largest gap between groups of sensitive columns, of each rate that has a limit."""
    for rate, limit in gates.gaps.items():
        found = [gap for gap in details.get("gaps") or [] if gap["rate"] == rate]
        if not found:
            reason = f"no {rate} was measured: no column is sensitive=True, or its groups are too small"
            yield Finding(gate=f"gap {rate}", passed=False, limit=limit, reason=reason)
        for gap in found:
            words = (
                f"{rate} of {gap['column']} differs by {_short(gap['gap'])} between {gap['highest']} and "
                f"{gap['lowest']}"
            )
            yield _at_most(f"gap {rate}", gap["gap"], limit, words)


def _calibration(gates: Gates, metrics: Mapping[str, Any]) -> Iterator[Finding]:
    """Ask how far probabilities are from rates."""
    if gates.max_ece is not None:
        value = (metrics.get("model") or {}).get("ece")
        words = f"predicted and observed rates differ by {_short(value)} on average"
        yield _at_most("calibration", value, gates.max_ece, words)


def _short(value: Any) -> str:
    found = number(value)
    return "no number" if found is None else short(found)
