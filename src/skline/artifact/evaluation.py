"""The model's results on the test part, as far as monitoring compares the model in service with them."""

from collections.abc import Mapping
from typing import Any


def select_results(metrics: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, Any]:
    """Select what the artifact holds of reports/metrics.json and reports/evaluation.json.

    Returns
    -------
    dict
        `metric` (that models are compared by), `threshold`, `rows`, `metrics` and `intervals` by name, `importance`
        (mean permutation importance by input), `scores` (quantiles at equal steps from 0 to 1), and `segments`.
    """
    metric = details.get("metric")
    return {
        "metric": metric,
        "threshold": details.get("threshold"),
        "rows": metrics.get("rows"),
        "metrics": metrics.get("model", {}),
        "intervals": details.get("intervals", {}).get("model", {}),
        "importance": {each["column"]: each["mean"] for each in details.get("importance", [])},
        "scores": details.get("scores", []),
        "segments": [
            {"column": each["column"], "value": each["value"], "rows": each["rows"], "metric": each.get(metric)}
            for each in details.get("segments", [])
        ],
    }
