"""Figures of the service from the log: latency, and the shares of fallbacks and reviews."""

from collections.abc import Mapping

import numpy as np

from skline.monitoring.checks import Check, is_beyond
from skline.monitoring.estimates import Estimate, wilson
from skline.monitoring.result import Operations
from skline.settings.monitor import Operations as Limits

#: Scoring paths of the model in service; all others are fallbacks.
MODEL_PATHS = ("plan", "pipeline")


def describe_operations(
    by_path: Mapping[str, int], by_version: Mapping[str, int], reviewed: int, latency_ms: Mapping[str, float]
) -> Operations:
    """Return the figures of a window from its counts, and quantiles of the latency in milliseconds by name (p50 …)."""
    rows = sum(by_path.values())
    fallbacks = rows - sum(by_path.get(path, 0) for path in MODEL_PATHS)
    return Operations(
        latency_ms={name: float(value) for name, value in latency_ms.items() if np.isfinite(value)},
        by_path=dict(by_path),
        fallbacks=wilson(fallbacks / rows, rows) if rows else Estimate(),
        reviews=wilson(reviewed / rows, rows) if rows else Estimate(),
        by_version=dict(by_version),
    )


def operations_checks(operations: Operations, limits: Limits, rows: int, min_rows: int) -> list[Check]:
    """Return a check for each figure that has a limit."""
    checks = []
    for subject, share, limit in (
        ("fallbacks", operations.fallbacks, limits.fallbacks),
        ("reviews", operations.reviews, limits.reviews),
    ):
        if limit is not None:
            raised = is_beyond(share, maximum=limit) if rows >= min_rows else None
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
