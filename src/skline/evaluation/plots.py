"""Points for `dvc plots`: small tables, one a plot, the same files for every task.

dvc.yaml names all tables. A table that does not suit the task has no rows, which DVC draws as nothing; a missing file
would be a warning at every `dvc plots`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import metrics as sk

from skline.evaluation.resampling import BinarySample, MulticlassSample, Sample

#: Vega-Lite template of the confusion matrix, which dvc.yaml names; DVC's own needs one line for each row of the data.
CONFUSION_TEMPLATE = Path(__file__).with_name("confusion.json")
#: More points than this cannot be distinguished on a screen.
MAX_POINTS = 400

#: Every table that dvc.yaml draws, with its columns.
TABLES = {
    "roc": ["false_positive_rate", "true_positive_rate"],
    "precision_recall": ["recall", "precision"],
    "calibration": ["predicted", "observed", "rows"],
    "confusion": ["actual", "predicted", "rows"],
    "residuals": ["predicted", "actual"],
    "threshold": ["threshold", "precision", "recall", "f1"],
}


def plot_tables(sample: Sample) -> dict[str, pd.DataFrame]:
    """Return every table of `TABLES`; those that do not suit the sample's task have no rows."""
    if isinstance(sample, BinarySample):
        tables = binary_tables(sample)
    elif isinstance(sample, MulticlassSample):
        tables = {"confusion": confusion(sample.truth, sample.predicted)}
    else:
        tables = {"residuals": residuals(sample.truth, sample.predictions)}
    return {name: tables.get(name, pd.DataFrame(columns=columns)) for name, columns in TABLES.items()}


def binary_tables(sample: BinarySample) -> dict[str, pd.DataFrame]:
    """Return the tables of a binary model."""
    false_rate, true_rate, _ = sk.roc_curve(sample.truth, sample.scores)
    precision, recall, _ = sk.precision_recall_curve(sample.truth, sample.scores)
    return {
        "roc": thin_out(pd.DataFrame({"false_positive_rate": false_rate, "true_positive_rate": true_rate})),
        "precision_recall": thin_out(pd.DataFrame({"recall": recall[::-1], "precision": precision[::-1]})),
        "calibration": calibration(sample.truth, sample.scores),
        "confusion": confusion(sample.truth, sample.predicted),
        "threshold": thresholds(sample.truth, sample.scores),
    }


def thresholds(truth: npt.NDArray[Any], scores: npt.NDArray[np.float64]) -> pd.DataFrame:
    """Return precision, recall and F1 at each threshold among the middle 99 % of scores."""
    table = f1_by_threshold(truth, scores)
    low, high = np.quantile(scores, [0.005, 0.995])
    return thin_out(table[table["threshold"].between(low, high)].reset_index(drop=True))


def f1_by_threshold(truth: npt.NDArray[Any], scores: npt.NDArray[np.float64]) -> pd.DataFrame:
    """Return precision, recall and F1 at each distinct score as the threshold, rising."""
    precision, recall, values = sk.precision_recall_curve(truth, scores)
    precision, recall = precision[:-1], recall[:-1]  # the last point belongs to no threshold
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    return pd.DataFrame({"threshold": values, "precision": precision, "recall": recall, "f1": f1})


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


def confusion(truth: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> pd.DataFrame:
    """Return the number of rows with each pair of actual and predicted class."""
    pairs = pd.DataFrame({"actual": truth, "predicted": predicted})
    return pairs.value_counts(sort=False).reset_index(name="rows")


def residuals(truth: npt.NDArray[np.float64], predictions: npt.NDArray[np.float64]) -> pd.DataFrame:
    """Return predicted and actual values of rows that are evenly spaced in the order of the predictions."""
    order = np.argsort(predictions, kind="stable")
    return thin_out(pd.DataFrame({"predicted": predictions[order], "actual": truth[order]}))


def thin_out(points: pd.DataFrame) -> pd.DataFrame:
    """Keep at most `MAX_POINTS` rows, evenly spaced, the first and the last among them."""
    if len(points) <= MAX_POINTS:
        return points
    return points.iloc[np.unique(np.linspace(0, len(points) - 1, MAX_POINTS).round().astype(int))]
