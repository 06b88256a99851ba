"""Metrics estimated without labels: confidence-based performance estimation (CBPE; NannyML, Kuberski et al. 2022).

A calibrated probability p says that the row is positive with probability p: each row counts as p of a positive and
1 - p of a negative one. The estimate holds only while the probabilities are calibrated. A change of the relation
between inputs and label (concept drift) leaves it where it was, so it never raises an alarm.
"""

import numpy as np
import numpy.typing as npt

from skline.evaluation.bootstrap import percentile_interval
from skline.evaluation.resampling import average_precision, roc_auc
from skline.monitoring.clusters import Floats
from skline.monitoring.estimates import estimate
from skline.monitoring.label_results import EstimatedMetric

RESAMPLES = 100


def expected_binary_metrics(scores: Floats, threshold: float) -> dict[str, float]:
    """Return the expected metrics of calibrated probabilities of the positive class, shape (n,)."""
    return _expected_metrics(scores, np.unique(scores, return_inverse=True)[1], threshold)


def _expected_metrics(scores: Floats, group: npt.NDArray[np.intp], threshold: float) -> dict[str, float]:
    """Return the expected metrics of scores; `group` is the rank of each, in which numbers may be left out."""
    positive: Floats = np.bincount(group, weights=scores)[None, :].astype(np.float64)
    negative: Floats = np.bincount(group, weights=1 - scores)[None, :].astype(np.float64)
    predicted = scores >= threshold
    hits, all_positive, all_predicted = float(scores[predicted].sum()), float(scores.sum()), float(predicted.sum())
    clipped = np.clip(scores, 1e-15, 1 - 1e-15)
    both = 0 < all_positive < len(scores)
    return {
        "roc_auc": float(roc_auc(negative, positive)[0]) if both and group.min() < group.max() else 0.5,
        "pr_auc": float(average_precision(negative, positive)[0]) if both else float("nan"),
        "brier": float((scores * (1 - scores)).mean()),
        "log_loss": float(-(clipped * np.log(clipped) + (1 - clipped) * np.log1p(-clipped)).mean()),
        "precision": hits / all_predicted if all_predicted else float("nan"),
        "recall": hits / all_positive if all_positive else float("nan"),
        "f1": 2 * hits / (all_positive + all_predicted) if all_positive + all_predicted else float("nan"),
    }


def estimate_binary(scores: Floats, threshold: float, seed: int) -> list[EstimatedMetric]:
    """Estimate the metrics of a binary classifier, with intervals over resampled rows."""
    if len(scores) < 2:
        return []
    random = np.random.default_rng(seed)
    group = np.unique(scores, return_inverse=True)[1]  # sorted once, not in each draw
    rows = (random.integers(0, len(scores), len(scores)) for _ in range(RESAMPLES))
    draws = [_expected_metrics(scores[drawn], group[drawn], threshold) for drawn in rows]
    metrics = []
    for name, value in expected_binary_metrics(scores, threshold).items():
        ends = percentile_interval(np.array([draw[name] for draw in draws])) or (None, None)
        metrics.append(EstimatedMetric(name=name, estimate=estimate(value, *ends)))
    return metrics
