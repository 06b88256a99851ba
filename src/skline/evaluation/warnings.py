"""What a reader of the verdict must know about a model although no gate limits it: gates compare with baselines.

Reference: given the validation rows, the coverage of a split conformal interval varies around its level like a Beta
variable, whose variance is about level · (1 - level) / rows (Vovk 2012, "Conditional validity of inductive conformal
predictors").
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from skline.evaluation.intervals import Z95
from skline.reporting.format import format_number

#: Recall below which a model is said to find hardly any positive row.
FEW_FOUND = 0.1


def find_warnings(metrics: Mapping[str, Any], details: Mapping[str, Any], parts: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the warnings about a model, one sentence or two each.

    Parameters
    ----------
    metrics, details, parts : mapping
        reports/metrics.json, evaluation.json and split.json.
    """
    return (
        *_warn_of_recall(metrics, details),
        *_warn_of_r2(metrics, parts),
        *_warn_of_coverage(details, parts),
    )


def _warn_of_recall(metrics: Mapping[str, Any], details: Mapping[str, Any]) -> Iterator[str]:
    """Warn of a binary model that predicts the positive class for hardly any of its rows."""
    recall, threshold = (metrics.get("model") or {}).get("recall"), details.get("threshold")
    if threshold is not None and recall is not None and recall < FEW_FOUND:
        yield (
            f"recall is {format_number(recall)} at the threshold {threshold:g}: the prediction is positive for fewer "
            "than one in ten of the positive rows. `skline threshold` shows what other thresholds give, and "
            "train.threshold in params.yaml sets one; probabilities do not depend on it"
        )


def _warn_of_r2(metrics: Mapping[str, Any], parts: Mapping[str, Any]) -> Iterator[str]:
    """Warn of a model that is worse than the mean of the rows that it is tested on."""
    r2 = (metrics.get("model") or {}).get("r2")
    if r2 is not None and r2 < 0:
        yield (
            f"R² is {format_number(r2)}: the test part's own mean would predict it better than the model. "
            f"{_describe_means(parts)}No gate fails for it where the baselines are worse still"
        )


def _warn_of_coverage(details: Mapping[str, Any], parts: Mapping[str, Any]) -> Iterator[str]:
    """Warn of prediction intervals that hold fewer true values than designed, beyond chance in either part."""
    covered = details.get("coverage")
    if not covered:
        return
    level, share = covered["level"], covered["coverage"]
    by_chance = math.hypot(share - covered["low"], Z95 * math.sqrt(level * (1 - level) / covered["rows"]))
    if level - share > by_chance:
        yield (
            f"the prediction interval is designed to hold {level:.0%} of true values and holds {share:.1%} "
            f"({covered['low']:.1%} to {covered['high']:.1%}) of the test part: do not rely on it. "
            f"{_describe_means(parts)}Intervals hold for rows like those of the validation part: where the target "
            "drifts, move the cuts so that this part is closer to the test part, or set a higher train.interval"
        )


def _describe_means(parts: Mapping[str, Any]) -> str:
    """Return the target's mean in each part as a sentence and a space; empty where it is not known."""
    means = {
        name: parts[name]["target_mean"]
        for name in ("train", "validation", "test")
        if "target_mean" in parts.get(name, {})
    }
    listed = ", ".join(f"{format_number(mean)} in {name}" for name, mean in means.items())
    return f"The target's mean is {listed}. " if listed else ""
