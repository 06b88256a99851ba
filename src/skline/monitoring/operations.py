"""Figures of the service: from the log latency, fallbacks and reviews; from Prometheus errors and dropped log rows."""

from collections.abc import Mapping, Sequence

import numpy as np

from skline.monitoring.checks import Check, is_beyond
from skline.monitoring.estimates import Estimate, wilson
from skline.monitoring.prometheus import RequestCounts
from skline.monitoring.result import Operations
from skline.settings.monitor import Operations as Limits

#: Scoring paths of the model in service; all others are fallbacks.
MODEL_PATHS = ("plan", "pipeline")
#: The rule that every service serves the release.
RELEASE_RULE = "release"
#: Subjects of the checks of figures from Prometheus, whose intervals tell whether there are enough requests.
PROMETHEUS_SUBJECTS = ("server errors", "client errors", "dropped log rows")


def describe_operations(
    by_path: Mapping[str, int],
    by_version: Mapping[str, int],
    reviewed: int,
    latency_ms: Mapping[str, float],
    counts: RequestCounts | None = None,
) -> Operations:
    """Return the figures of a window from its counts, and quantiles of the latency in milliseconds by name (p50 …)."""
    rows = sum(by_path.values())
    fallbacks = rows - sum(by_path.get(path, 0) for path in MODEL_PATHS)
    figures = Operations(
        latency_ms={name: float(value) for name, value in latency_ms.items() if np.isfinite(value)},
        by_path=dict(by_path),
        fallbacks=wilson(fallbacks / rows, rows) if rows else Estimate(),
        reviews=wilson(reviewed / rows, rows) if rows else Estimate(),
        by_version=dict(by_version),
    )
    if counts is None:
        return figures
    predictions = None if counts.logged is None else counts.logged + (counts.dropped or 0.0)
    return figures.model_copy(
        update={
            "requests": counts.requests,
            "errors": _share(counts.errors, counts.requests),
            "client_errors": _share(counts.client_errors, counts.requests),
            "log_drops": _share(counts.dropped, predictions),
        }
    )


def _share(part: float | None, whole: float | None) -> Estimate:
    """Return a share with its interval; none if the whole is not known or 0. A part without values is 0."""
    if not whole:
        return Estimate()
    return wilson(min((part or 0.0) / whole, 1.0), whole)


def _prometheus_shares(operations: Operations, limits: Limits) -> list[tuple[str, Estimate, float | None]]:
    """Return the shares from Prometheus with their limits; none if the settings name no server."""
    if limits.prometheus is None:
        return []
    shares = (operations.errors, operations.client_errors, operations.log_drops)
    return list(zip(PROMETHEUS_SUBJECTS, shares, (limits.errors, limits.client_errors, limits.log_drops), strict=True))


def release_checks(rejections: Sequence[str]) -> list[Check]:
    """Return a warning if services here do not serve the release; `rejections` says which, and why."""
    if not rejections:
        return []
    return [
        Check(
            part="operations", rule=RELEASE_RULE, subject="release", raised=True, severity="warning",
            message="; ".join(rejections),
        )
    ]  # fmt: skip


def operations_checks(operations: Operations, limits: Limits, rows: int, min_rows: int) -> list[Check]:
    """Return a check for each figure that has a limit."""
    checks = []
    for subject, share, limit in (
        ("fallbacks", operations.fallbacks, limits.fallbacks),
        ("reviews", operations.reviews, limits.reviews),
        *_prometheus_shares(operations, limits),
    ):
        if limit is not None:
            is_enough = rows >= min_rows or subject in PROMETHEUS_SUBJECTS
            raised = is_beyond(share, maximum=limit) if is_enough else None
            message = f"{100 * (share.value or 0.0):.1f} % are {subject}, beyond {100 * limit:.1f} %" if raised else ""
            checks.append(
                Check.of(
                    share, part="operations", rule="share", subject=subject, raised=raised, limit=limit, rows=rows,
                    message=message,
                )
            )  # fmt: skip
    if limits.latency_p99_ms is not None:
        latency = operations.latency_ms.get("p99")
        raised = None if latency is None or rows < min_rows else latency > limits.latency_p99_ms
        message = f"the 99th percentile of the latency is {latency:.4g} ms" if raised and latency is not None else ""
        checks.append(
            Check(part="operations", rule="latency", subject="p99", raised=raised, value=latency,
                  limit=limits.latency_p99_ms, rows=rows, message=message)
        )  # fmt: skip
    return checks
