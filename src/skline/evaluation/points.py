"""Points for `dvc plots`: small tables, one a plot, the same files for every task.

dvc.yaml names them once and for all; what does not suit a task is a table without rows, which DVC draws as nothing,
where a file that is missing would be a warning at every `dvc plots`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import metrics as sk

#: More points than this are not to be told apart on a screen.
MOST = 400

#: Every table that dvc.yaml draws, with its columns.
TABLES = {
    "roc": ["false_positive_rate", "true_positive_rate"],
    "precision_recall": ["recall", "precision"],
    "calibration": ["predicted", "observed", "rows"],
    "confusion": ["actual", "predicted", "rows"],
    "residuals": ["predicted", "actual"],
    "threshold": ["threshold", "precision", "recall", "f1"],
}


def complete(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Add, without rows, the tables of `TABLES` that the task has no use for."""
    return {name: tables.get(name, pd.DataFrame(columns=columns)) for name, columns in TABLES.items()} | tables


def binary_points(
    truth: npt.NDArray[Any], scores: npt.NDArray[np.float64], threshold: float
) -> dict[str, pd.DataFrame]:
    """Return the tables of a binary model's plots, from probabilities of the positive class."""
    false_rate, true_rate, _ = sk.roc_curve(truth, scores)
    precision, recall, _ = sk.precision_recall_curve(truth, scores)
    return {
        "roc": thinned(pd.DataFrame({"false_positive_rate": false_rate, "true_positive_rate": true_rate})),
        "precision_recall": thinned(pd.DataFrame({"recall": recall[::-1], "precision": precision[::-1]})),
        "calibration": calibration(truth, scores),
        "confusion": confusion(truth, scores >= threshold),
        "threshold": thresholds(truth, scores),
    }


def thresholds(truth: npt.NDArray[Any], scores: npt.NDArray[np.float64]) -> pd.DataFrame:
    """Return precision, recall and F1 of saying yes from each threshold on; the middle 99 % of scores."""
    precision, recall, values = sk.precision_recall_curve(truth, scores)
    low, high = np.quantile(scores, [0.005, 0.995])
    kept = (values >= low) & (values <= high)
    precision, recall, values = precision[:-1][kept], recall[:-1][kept], values[kept]
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    return thinned(pd.DataFrame({"threshold": values, "precision": precision, "recall": recall, "f1": f1}))


def calibration(truth: npt.NDArray[Any], scores: npt.NDArray[np.float64], bins: int = 10) -> pd.DataFrame:
    """Return predicted and observed rate in bins of equal count."""
    groups = [rows for rows in np.array_split(np.argsort(scores, kind="stable"), bins) if len(rows)]
    return pd.DataFrame(
        {
            "predicted": [scores[rows].mean() for rows in groups],
            "observed": [truth[rows].mean() for rows in groups],
            "rows": [len(rows) for rows in groups],
        }
    )


def confusion(truth: npt.NDArray[Any], said: npt.NDArray[Any]) -> pd.DataFrame:
    """Return how many rows there are of each pair of actual and predicted."""
    pairs = pd.DataFrame({"actual": truth, "predicted": said})
    return pairs.value_counts(sort=False).reset_index(name="rows")


def residuals(truth: npt.NDArray[np.float64], predictions: npt.NDArray[np.float64]) -> pd.DataFrame:
    """Return predicted against actual values, an even choice of rows in the order of the predictions."""
    order = np.argsort(predictions, kind="stable")
    return thinned(pd.DataFrame({"predicted": predictions[order], "actual": truth[order]}))


def thinned(points: pd.DataFrame) -> pd.DataFrame:
    """Keep at most `MOST` rows, evenly spread, the first and the last among them."""
    if len(points) <= MOST:
        return points
    return points.iloc[np.unique(np.linspace(0, len(points) - 1, MOST).round().astype(int))]
