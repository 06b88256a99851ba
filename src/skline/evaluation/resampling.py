"""Scored rows, and the counts from which metrics of many bootstrap resamples are computed at once; NumPy alone.

A resample is a draw of row numbers. Most metrics are a function of how often each row was drawn, so they are computed
from counts instead of row by row: for binary scores, one count for each distinct score and each true class.
"""

from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from skline.contract.spec import Contract
from skline.scoring.scores import Scores

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
#: Row numbers of shape (n_resamples, n_drawn).
Draws = npt.NDArray[np.intp]
Task = Literal["binary", "multiclass", "regression"]
#: Bins of equal count behind the expected calibration error.
BINS = 10


class BinarySample:
    """Probabilities of the positive class with the true classes of the same n rows, and the operating threshold."""

    task: ClassVar[Task] = "binary"

    def __init__(self, truth: npt.NDArray[np.bool_], scores: Floats, threshold: float) -> None:
        self.truth, self.scores, self.threshold = truth, scores, threshold
        self.size = len(truth)

    @property
    def predicted(self) -> npt.NDArray[np.bool_]:
        """Whether each row is predicted positive, of shape (n,)."""
        return self.scores >= self.threshold

    @property
    def rarest_class_rows(self) -> int:
        """Rows of the rarest class, true or predicted, among those that occur."""
        counts = [np.bincount(each, minlength=2) for each in (self.truth, self.predicted)]
        return int(min(count for count in np.concatenate(counts) if count))

    def take(self, rows: npt.NDArray[np.intp]) -> "BinarySample":
        """Return the sample of these rows."""
        return BinarySample(self.truth[rows], self.scores[rows], self.threshold)

    def resample(self, draws: Draws) -> "BinaryResamples":
        """Return the resamples of these draws."""
        return BinaryResamples(self, draws)

    @cached_property
    def ranking(self) -> "Ranking":
        """The rows by distinct score."""
        return Ranking(self.truth, self.scores)

    @cached_property
    def bins(self) -> "CalibrationBins":
        """The rows in bins of equal count by score."""
        return CalibrationBins(self.truth, self.scores)

    @cached_property
    def first_positive(self) -> int:
        """Index of the first distinct score that is predicted positive."""
        return int(np.searchsorted(self.ranking.values, self.threshold, side="left"))

    @cached_property
    def squared_losses(self) -> tuple[Floats, Floats]:
        """Squared error of a negative and of a positive row with each distinct score."""
        values = self.ranking.values
        return values**2, (1 - values) ** 2

    @cached_property
    def log_losses(self) -> tuple[Floats, Floats]:
        """Log loss of a negative and of a positive row with each distinct score, clipped as scikit-learn does."""
        tiny = np.finfo(np.float64).eps
        clipped = np.clip(self.ranking.values, tiny, 1 - tiny)
        return -np.log1p(-clipped), -np.log(clipped)


class BinaryResamples:
    """Resamples of a BinarySample; what several metrics share is computed once."""

    def __init__(self, sample: BinarySample, draws: Draws) -> None:
        self.sample, self.draws = sample, draws
        self.n_drawn = draws.shape[1]

    @cached_property
    def counts(self) -> tuple[Floats, Floats]:
        """Drawn negative and positive rows at each distinct score, rising; each of shape (n_resamples, n_scores)."""
        return self.sample.ranking.count(self.draws)

    @cached_property
    def hits(self) -> Floats:
        """Drawn positive rows that are predicted positive."""
        return _row_sums(self.counts[1][:, self.sample.first_positive :])

    @cached_property
    def predicted(self) -> Floats:
        """Drawn rows that are predicted positive."""
        return self.hits + _row_sums(self.counts[0][:, self.sample.first_positive :])

    @cached_property
    def positive(self) -> Floats:
        """Drawn positive rows."""
        return _row_sums(self.counts[1])

    def mean_loss(self, losses: tuple[Floats, Floats]) -> Floats:
        """Return the mean loss of the drawn rows; `losses` are of a negative and of a positive row at each score."""
        negative, positive = self.counts
        of_negative, of_positive = losses
        loss: Floats = (negative @ of_negative + positive @ of_positive) / self.n_drawn
        return loss


class MulticlassSample:
    """Probabilities of three or more classes, of shape (n, n_classes), with the true classes of the same n rows."""

    task: ClassVar[Task] = "multiclass"

    def __init__(self, truth: Array, probabilities: Floats, classes: Array) -> None:
        self.truth, self.probabilities, self.classes = truth, probabilities, classes
        self.size = len(truth)

    @property
    def predicted(self) -> Array:
        """The class with the largest probability, of shape (n,)."""
        predicted: Array = self.classes[self.probabilities.argmax(axis=1)]
        return predicted

    @cached_property
    def indicators(self) -> npt.NDArray[np.bool_]:
        """Whether each row is of each class, of shape (n, n_classes)."""
        indicators: npt.NDArray[np.bool_] = self.truth[:, None] == self.classes[None, :]
        return indicators

    @property
    def rarest_class_rows(self) -> int:
        """Rows of the rarest class, true or predicted, among those that occur."""
        counts = [np.unique_counts(each).counts for each in (self.truth, self.probabilities.argmax(axis=1))]
        return int(np.concatenate(counts).min())

    def take(self, rows: npt.NDArray[np.intp]) -> "MulticlassSample":
        """Return the sample of these rows."""
        return MulticlassSample(self.truth[rows], self.probabilities[rows], self.classes)

    def resample(self, draws: Draws) -> "MulticlassResamples":
        """Return the resamples of these draws."""
        return MulticlassResamples(self, draws)

    @cached_property
    def rankings(self) -> list["Ranking"]:
        """The rows by distinct probability of each class."""
        return [Ranking(is_class, p) for is_class, p in zip(self.indicators.T, self.probabilities.T, strict=True)]

    @cached_property
    def class_pairs(self) -> npt.NDArray[np.intp]:
        """Pair of true and predicted class of each row, numbered row by row of the confusion matrix."""
        pairs: npt.NDArray[np.intp] = self.indicators.argmax(axis=1) * len(self.classes) + self.probabilities.argmax(
            axis=1
        )
        return pairs

    @cached_property
    def correct(self) -> Floats:
        """Whether each row's predicted class is its true class, as 0 and 1."""
        correct: Floats = (self.indicators.argmax(axis=1) == self.probabilities.argmax(axis=1)).astype(np.float64)
        return correct

    @cached_property
    def bins(self) -> "CalibrationBins":
        """The rows in bins of equal count by the largest probability."""
        return CalibrationBins(self.correct, self.probabilities.max(axis=1))

    @cached_property
    def brier(self) -> Floats:
        """Each row's squared error of the probabilities, summed over classes."""
        loss: Floats = ((self.probabilities - self.indicators) ** 2).sum(axis=1)
        return loss

    @cached_property
    def log_loss(self) -> Floats:
        """Each row's log loss, of probabilities that are clipped and normalised as scikit-learn does."""
        share = np.clip(self.probabilities, np.finfo(np.float64).eps, 1)
        share /= share.sum(axis=1, keepdims=True)
        loss: Floats = -np.log(share[self.indicators])
        return loss


class MulticlassResamples:
    """Resamples of a MulticlassSample; what several metrics share is computed once."""

    def __init__(self, sample: MulticlassSample, draws: Draws) -> None:
        self.sample, self.draws = sample, draws

    @cached_property
    def counts(self) -> list[tuple[Floats, Floats]]:
        """For each class: drawn rows of other classes and of this one, by distinct probability of the class."""
        return [ranking.count(self.draws) for ranking in self.sample.rankings]

    @cached_property
    def confusion(self) -> Floats:
        """Drawn rows by true and predicted class, of shape (n_resamples, n_classes, n_classes)."""
        n_classes = len(self.sample.classes)
        width = n_classes**2
        pairs = self.sample.class_pairs[self.draws] + np.arange(len(self.draws))[:, None] * width
        counts = np.bincount(pairs.ravel(), minlength=len(self.draws) * width)
        return counts.reshape(len(self.draws), n_classes, n_classes).astype(np.float64)

    @cached_property
    def hits(self) -> Floats:
        """Drawn rows of each class that are predicted as this class, of shape (n_resamples, n_classes)."""
        hits: Floats = np.einsum("bii->bi", self.confusion)
        return hits


class RegressionSample:
    """Predicted and true numbers of the same n rows."""

    task: ClassVar[Task] = "regression"

    def __init__(self, truth: Floats, predictions: Floats) -> None:
        self.truth, self.predictions = truth, predictions
        self.size = len(truth)

    @property
    def rarest_class_rows(self) -> int:
        """All rows: there are no classes."""
        return self.size

    def take(self, rows: npt.NDArray[np.intp]) -> "RegressionSample":
        """Return the sample of these rows."""
        return RegressionSample(self.truth[rows], self.predictions[rows])

    def resample(self, draws: Draws) -> "RegressionResamples":
        """Return the resamples of these draws."""
        return RegressionResamples(self, draws)

    @cached_property
    def centred_truth(self) -> Floats:
        """True numbers less their mean: the variance is the same, and no digits are lost where the mean is large."""
        centred: Floats = self.truth - self.truth.mean()
        return centred

    @cached_property
    def absolute_errors(self) -> Floats:
        """Distance of each prediction from the truth."""
        errors: Floats = np.abs(self.predictions - self.truth)
        return errors


class RegressionResamples:
    """Resamples of a RegressionSample; what several metrics share is computed once."""

    def __init__(self, sample: RegressionSample, draws: Draws) -> None:
        self.sample, self.draws = sample, draws

    @cached_property
    def absolute_errors(self) -> Floats:
        """Absolute errors of the drawn rows, of shape (n_resamples, n_drawn)."""
        return self.sample.absolute_errors[self.draws]

    @cached_property
    def mean_squared_error(self) -> Floats:
        """Mean squared error of each resample."""
        error: Floats = (self.absolute_errors**2).mean(axis=1)
        return error

    @cached_property
    def variance(self) -> Floats:
        """Variance of the drawn true numbers."""
        variance: Floats = self.sample.centred_truth[self.draws].var(axis=1)
        return variance


Sample = BinarySample | MulticlassSample | RegressionSample


def make_sample(truth: Array, scores: Scores, contract: Contract, threshold: float) -> Sample:
    """Return the sample that suits the task; `truth` has shape (n,) and holds the contract's classes or numbers."""
    if scores.probabilities is None:
        return RegressionSample(truth.astype(np.float64), scores.predictions.astype(np.float64))
    if contract.task == "binary":
        return BinarySample(truth == (contract.classes or ())[1], scores.probabilities[:, 1], threshold)
    return MulticlassSample(truth, scores.probabilities, np.asarray(contract.classes))


class Ranking:
    """Rows grouped by distinct score; counts of drawn rows give the areas under the ROC and precision-recall curves."""

    def __init__(self, truth: Array, scores: Floats) -> None:
        self.values, group = np.unique(scores, return_inverse=True)
        self._code = 2 * group.astype(np.intp) + truth

    def count(self, draws: Draws) -> tuple[Floats, Floats]:
        """Count drawn negative and positive rows at each distinct score, rising."""
        n_scores = len(self.values)
        codes = self._code[draws]
        codes += np.arange(len(draws))[:, None] * (2 * n_scores)
        counts = np.bincount(codes.ravel(), minlength=len(draws) * 2 * n_scores).reshape(len(draws), n_scores, 2)
        return counts[..., 0].astype(np.float64), counts[..., 1].astype(np.float64)


def roc_auc(negative: Floats, positive: Floats) -> Floats:
    """Return the area under the ROC curve from counts of shape (n_resamples, n_scores).

    It is the share of pairs of a negative and a positive row that are in their right order, ties counted as halves
    (Hanley and McNeil 1982).
    """
    below = np.cumsum(negative, axis=1)
    pairs = below[:, -1] * positive.sum(axis=1)
    below -= negative / 2
    area: Floats = np.einsum("ij,ij->i", positive, below) / pairs
    return area


def average_precision(negative: Floats, positive: Floats) -> Floats:
    """Return precision at each distinct score weighted by the recall it adds, from counts (n_resamples, n_scores)."""
    falling = positive[:, ::-1]
    hits = np.cumsum(falling, axis=1)
    predicted = hits + np.cumsum(negative[:, ::-1], axis=1)
    precision = np.divide(hits, predicted, out=np.zeros_like(hits), where=predicted > 0)
    area: Floats = np.einsum("ij,ij->i", falling, precision) / hits[:, -1]
    return area


class CalibrationBins:
    """The calibration error in bins of equal count: the root mean square gap of predicted and observed rate.

    The observed rate of a bin deviates from the true one by chance, which adds its variance to the square of the gap.
    This variance is subtracted, so that the square of the error has no bias (Bröcker 2012, "Estimating reliability and
    resolution of probability forecasts"; Kumar, Liang and Ma 2019, "Verified uncertainty calibration"); where more than
    the square is subtracted, the error is 0. Rows are assumed to be independent.

    Parameters
    ----------
    truth : array of shape (n,)
        Whether each row is of the predicted class.
    scores : float64 array of shape (n,)
        Its predicted probability.
    """

    def __init__(self, truth: Array, scores: Floats) -> None:
        self._n_bins = max(1, min(BINS, len(scores) // 2))
        self._bin = np.empty(len(scores), dtype=np.intp)
        for number, members in enumerate(np.array_split(np.argsort(scores, kind="stable"), self._n_bins)):
            self._bin[members] = number
        self._gap = scores - truth

    @property
    def error(self) -> float:
        """The calibration error of the sample."""
        return float(self.resampled_error(np.arange(len(self._gap), dtype=np.intp)[None, :])[0])

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return an interval of the calibration error.

        The gap of a bin is taken for normal, with mean m and variance v: its square less v then has the variance
        4 m² v + 2 v². The percentile bootstrap never holds 0, because resampling adds chance of its own.
        """
        from scipy.stats import norm

        counts, squares, noise = self._squared_gaps(np.arange(len(self._gap), dtype=np.intp)[None, :])
        weights, true_squares = counts / counts.sum(), np.maximum(squares - noise, 0)
        square = float((counts * (squares - noise)).sum() / counts.sum())
        variance = float((weights**2 * (4 * true_squares * noise + 2 * noise**2)).sum())
        half_width = float(norm.isf((1 - confidence) / 2)) * np.sqrt(variance)
        return float(np.sqrt(max(square - half_width, 0.0))), float(np.sqrt(max(square + half_width, 0.0)))

    def resampled_error(self, draws: Draws) -> Floats:
        """Return the calibration error of each resample, in the bins of the whole sample."""
        counts, squares, noise = self._squared_gaps(draws)
        square = (counts * (squares - noise)).sum(axis=1) / draws.shape[1]
        error: Floats = np.sqrt(np.maximum(square, 0))
        return error

    def _squared_gaps(self, draws: Draws) -> tuple[Floats, Floats, Floats]:
        """Return the drawn rows of each bin, the squares of the bins' mean gaps, and the variances of these means.

        Each has shape (n_resamples, n_bins). A bin of which one row or none was drawn has no variance: it counts as 0.
        """
        bins = (self._bin[draws] + np.arange(len(draws))[:, None] * self._n_bins).ravel()
        gaps, shape = self._gap[draws].ravel(), (len(draws), self._n_bins)
        size = shape[0] * shape[1]
        counts = np.bincount(bins, minlength=size).reshape(shape).astype(np.float64)
        means = np.bincount(bins, gaps, minlength=size).reshape(shape) / np.maximum(counts, 1)
        mean_squares = np.bincount(bins, gaps**2, minlength=size).reshape(shape) / np.maximum(counts, 1)
        noise = np.maximum(mean_squares - means**2, 0) / np.maximum(counts - 1, 1)
        return counts, means**2, noise


def _row_sums(counts: Floats) -> Floats:
    sums: Floats = counts.sum(axis=1)
    return sums
