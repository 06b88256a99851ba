"""Metrics of many resamples of the same rows at once; NumPy alone.

A resample is a draw of row numbers. Every metric here is a function of how often each row was drawn, so it is computed
from counts: of binary scores, one count for each distinct score and each truth. The definitions are those of
`skline.evaluation.metrics`; a resample of all rows, each drawn once, gives the same numbers.
"""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from skline.contract.spec import Contract
from skline.scoring.answers import Scores

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

#: Metrics that are better when they are larger, and when they are smaller.
HIGHER = frozenset({"roc_auc", "pr_auc", "accuracy", "f1", "precision", "recall", "r2"})
LOWER = frozenset({"brier", "log_loss", "ece", "rmse", "mae", "median_ae"})
BINS = 10


class Sampled(Protocol):
    """Scores beside the truth, of n rows."""

    size: int

    def metrics(self, rows: npt.NDArray[np.intp], only: str | None = None) -> dict[str, Floats]:
        """Compute metrics of resamples.

        Parameters
        ----------
        rows : array of shape (n_resamples, n_drawn)
            Row numbers.
        only : str, optional
            The one metric that is wanted; others may be left out.

        Returns
        -------
        Metric → float64 of shape (n_resamples,); NaN where a resample has no value, such as of one class alone.
        """
        ...


def sampled(truth: Array, scores: Scores, contract: Contract, threshold: float) -> Sampled:
    """Return what suits the task; `truth` has shape (n,) and holds the contract's classes or numbers."""
    if scores.probabilities is None:
        return Regression(truth.astype(np.float64), scores.predictions.astype(np.float64))
    if contract.task == "binary":
        return Binary(truth == (contract.classes or ())[1], scores.probabilities[:, 1], threshold)
    return Multiclass(truth, scores.probabilities, np.asarray(contract.classes))


class Ranked:
    """Truth beside one score: areas under the ROC and the precision-recall curve."""

    def __init__(self, truth: Array, scores: Floats) -> None:
        values, group = np.unique(scores, return_inverse=True)
        self.values, self.groups = values, len(values)
        self.code = 2 * group.astype(np.intp) + truth

    def counts(self, rows: npt.NDArray[np.intp]) -> tuple[Floats, Floats]:
        """How often a row that is not, and one that is, was drawn at each distinct score, rising."""
        width = 2 * self.groups
        codes = self.code[rows]
        codes += np.arange(len(rows))[:, None] * width
        counts = np.bincount(codes.ravel(), minlength=len(rows) * width).reshape(len(rows), self.groups, 2)
        return counts[..., 0].astype(np.float64), counts[..., 1].astype(np.float64)


def roc_auc(negative: Floats, positive: Floats) -> Floats:
    """Share of pairs in their right order, ties as halves (Hanley and McNeil 1982), from counts (b, groups)."""
    below = np.cumsum(negative, axis=1)
    pairs = below[:, -1] * positive.sum(axis=1)
    below -= negative / 2
    area: Floats = np.einsum("ij,ij->i", positive, below) / pairs
    return area


def average_precision(negative: Floats, positive: Floats) -> Floats:
    """Precision at each distinct score, weighted by what it adds to recall, from counts (b, groups)."""
    falling = positive[:, ::-1]
    hits = np.cumsum(falling, axis=1)
    said = hits + np.cumsum(negative[:, ::-1], axis=1)
    precision = np.divide(hits, said, out=np.zeros_like(hits), where=said > 0)
    area: Floats = np.einsum("ij,ij->i", falling, precision) / hits[:, -1]
    return area


class Binned:
    """The expected calibration error, in the bins of the rows as they are."""

    def __init__(self, truth: Array, scores: Floats) -> None:
        self.bin = np.empty(len(scores), dtype=np.intp)
        for number, members in enumerate(np.array_split(np.argsort(scores, kind="stable"), BINS)):
            self.bin[members] = number
        self.gap = scores - truth

    def error(self, rows: npt.NDArray[np.intp]) -> Floats:
        """Mean distance between predicted and observed rate."""
        bins = self.bin[rows] + np.arange(len(rows))[:, None] * BINS
        sums = np.bincount(bins.ravel(), self.gap[rows].ravel(), minlength=len(rows) * BINS)
        error: Floats = np.abs(sums.reshape(len(rows), BINS)).sum(axis=1) / rows.shape[1]
        return error


class Binary(Sampled):
    """Probabilities of the positive class, and a threshold."""

    def __init__(self, truth: npt.NDArray[np.bool_], scores: Floats, threshold: float) -> None:
        self.size = len(truth)
        self._ranked = Ranked(truth, scores)
        self._binned = Binned(truth, scores)
        values = self._ranked.values
        self._cut = int(np.searchsorted(values, threshold, side="left"))
        tiny = np.finfo(np.float64).eps
        kept = np.clip(values, tiny, 1 - tiny)
        self._loss = {"brier": (values**2, (1 - values) ** 2), "log_loss": (-np.log1p(-kept), -np.log(kept))}

    @override
    def metrics(self, rows: npt.NDArray[np.intp], only: str | None = None) -> dict[str, Floats]:
        if only == "ece":
            return {"ece": self._binned.error(rows)}
        negative, positive = self._ranked.counts(rows)
        found: dict[str, Floats] = {}
        with np.errstate(invalid="ignore", divide="ignore"):
            if only in (None, "roc_auc"):
                found["roc_auc"] = roc_auc(negative, positive)
            if only in (None, "pr_auc"):
                found["pr_auc"] = average_precision(negative, positive)
            for name, (of_negative, of_positive) in self._loss.items():
                found[name] = (negative @ of_negative + positive @ of_positive) / rows.shape[1]
            if only is None:
                found["ece"] = self._binned.error(rows)
            hits, alarms = positive[:, self._cut :].sum(axis=1), negative[:, self._cut :].sum(axis=1)
            truly, said = positive.sum(axis=1), hits + alarms
            found["f1"] = 2 * hits / (truly + said)
            found["precision"] = np.where(said > 0, hits / said, 0.0)
            found["recall"] = hits / truly
            found["positive_rate"] = said / rows.shape[1]
        return found


class Multiclass(Sampled):
    """Probabilities of three or more classes; means over classes give each the same weight."""

    def __init__(self, truth: Array, probabilities: Floats, classes: Array) -> None:
        self.size, self._count = len(truth), len(classes)
        hits = truth[:, None] == classes[None, :]
        said = probabilities.argmax(axis=1)
        self._ranked = [Ranked(h, p) for h, p in zip(hits.T, probabilities.T, strict=True)]
        self._pair = hits.argmax(axis=1) * self._count + said
        self._right = (hits.argmax(axis=1) == said).astype(np.float64)
        self._binned = Binned(self._right, probabilities.max(axis=1))
        share = np.clip(probabilities, np.finfo(np.float64).eps, 1)
        share /= share.sum(axis=1, keepdims=True)
        self._brier = ((probabilities - hits) ** 2).sum(axis=1)
        self._log_loss = -np.log(share[hits])

    @override
    def metrics(self, rows: npt.NDArray[np.intp], only: str | None = None) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        with np.errstate(invalid="ignore", divide="ignore"):
            if only in (None, "roc_auc", "pr_auc"):
                areas = [ranked.counts(rows) for ranked in self._ranked]
                found["roc_auc"] = np.mean([roc_auc(*counts) for counts in areas], axis=0)
                found["pr_auc"] = np.mean([average_precision(*counts) for counts in areas], axis=0)
            found["brier"] = self._brier[rows].mean(axis=1)
            found["log_loss"] = self._log_loss[rows].mean(axis=1)
            found["ece"] = self._binned.error(rows)
            found["accuracy"] = self._right[rows].mean(axis=1)
            width = self._count**2
            pairs = self._pair[rows] + np.arange(len(rows))[:, None] * width
            counts = np.bincount(pairs.ravel(), minlength=len(rows) * width)
            table = counts.reshape(len(rows), self._count, self._count).astype(np.float64)
            hits = np.einsum("bii->bi", table)
            truly, said = table.sum(axis=2), table.sum(axis=1)
            found["f1"] = (2 * hits / (truly + said)).mean(axis=1)
            found["precision"] = np.where(said > 0, hits / said, 0.0).mean(axis=1)
            found["recall"] = (hits / truly).mean(axis=1)
        return found


class Regression(Sampled):
    """Predicted numbers."""

    def __init__(self, truth: Floats, predictions: Floats) -> None:
        self.size = len(truth)
        self._truth = truth - truth.mean()  # the same spread, and no digits lost where the mean is large
        self._error = np.abs(predictions - truth)

    @override
    def metrics(self, rows: npt.NDArray[np.intp], only: str | None = None) -> dict[str, Floats]:
        errors = self._error[rows]
        squared = (errors**2).mean(axis=1)
        found = {"rmse": np.sqrt(squared), "mae": errors.mean(axis=1)}
        if only in (None, "median_ae"):
            found["median_ae"] = np.median(errors, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = self._truth[rows].var(axis=1)
            found["r2"] = np.where(spread > 0, 1 - squared / spread, np.nan)
        return found
