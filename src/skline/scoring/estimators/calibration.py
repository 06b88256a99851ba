"""Plan of CalibratedClassifierCV: the mean of the calibrated probabilities of one or several classifiers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from skline.scoring.code_writer import Array, BatchContext, CodeWriter
from skline.scoring.estimators.base import EstimatorPlan, Link, Margin, ReadEstimator
from skline.scoring.logistic import exact_logistic
from skline.scoring.matrix import Matrix
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import Exactness, FloatArray, RowScore, Scores, UnsupportedStep
from skline.scoring.sklearn_internals import calibrated_members, public_type_name, sigmoid_parameters


def read_calibrated(checks: RowChecks, estimator: Any, matrix: Matrix, read: ReadEstimator) -> EstimatorPlan:
    """Read a CalibratedClassifierCV that uses sigmoid or isotonic regression."""
    plans_by_estimator: dict[int, EstimatorPlan] = {}
    plans, calibrators = [], []
    for member in calibrated_members(estimator):
        if member.method not in ("sigmoid", "isotonic"):
            raise UnsupportedStep(
                f"plans do not support CalibratedClassifierCV(method={member.method!r}); use sigmoid or isotonic"
            )
        if not np.array_equal(member.estimator.classes_, estimator.classes_):
            raise UnsupportedStep(
                "CalibratedClassifierCV has a member that was fitted without one of the classes; use more rows"
            )
        if id(member.estimator) not in plans_by_estimator:
            plans_by_estimator[id(member.estimator)] = read(checks, member.estimator, matrix)
        plans.append(plans_by_estimator[id(member.estimator)])
        calibrators.append([_read_calibrator(calibrator) for calibrator in member.calibrators])
    link = CalibratedLink(estimator.classes_, [plan.link for plan in plans], calibrators)
    return EstimatorPlan(StackedMargins([plan.margin for plan in plans]), link)


class StackedMargins(Margin):
    """The margins of several estimators, as a tuple."""

    def __init__(self, margins: Sequence[Margin]) -> None:
        self.margins = margins
        self.exactness: Exactness = "bits" if all(m.exactness == "bits" for m in margins) else "ulp"

    @override
    def emit(self, writer: CodeWriter) -> str:
        names = ", ".join(writer.emit(margin) for margin in self.margins)
        return writer.assign(f"({names},)")

    @override
    def evaluate(self, batch: BatchContext) -> Any:
        return tuple(batch.evaluate(margin) for margin in self.margins)


class CalibratedLink(Link):
    """The mean of calibrated probabilities.

    Parameters
    ----------
    classes : ndarray
    links : sequence of Link
        One for each member.
    calibrators : sequence of sequences of calibrators
        For each member one calibrator if there are two classes, else one a class.
    """

    has_decision_function = False

    def __init__(self, classes: Array, links: Sequence[Link], calibrators: Sequence[Sequence[Any]]) -> None:
        self.classes: Array | None = classes
        self.links = links
        self.calibrators = calibrators
        self.is_binary = len(classes) == 2
        self.depends_on_batch = not self.is_binary or any(link.depends_on_batch for link in links)
        self._labels = classes.tolist()

    @override
    def row_score(self, margin: Any) -> RowScore:
        if not self.is_binary:
            return self.batch_scores(tuple(np.array([part]) for part in margin)).row(0)
        first, second = 0.0, 0.0
        for part, link, (calibrator,) in zip(margin, self.links, self.calibrators, strict=True):
            score = part if link.has_decision_function else _second_probability(link.row_score(part))
            probability = calibrator.calibrate_one(score)
            first += _clip_to_one(1.0 - probability)
            second += _clip_to_one(probability)
        probabilities = first / len(self.links), second / len(self.links)
        return self._labels[probabilities[1] > probabilities[0]], probabilities

    @override
    def batch_scores(self, margins: Any) -> Scores:
        total = np.zeros((len(margins[0]), len(self._labels)))
        for part, link, calibrators in zip(margins, self.links, self.calibrators, strict=True):
            total += self._member_probabilities(part, link, calibrators)
        total /= len(self.links)
        return Scores(np.asarray(self.classes)[np.argmax(total, axis=1)], total)

    def _member_probabilities(self, margins: Any, link: Link, calibrators: Sequence[Any]) -> FloatArray:
        """Return one member's calibrated probabilities, shape (n, classes)."""
        scores: Any = margins if link.has_decision_function else link.batch_scores(margins).probabilities
        probabilities = np.zeros((len(scores), len(self._labels)))
        if self.is_binary:
            probabilities[:, 1] = calibrators[0].calibrate(scores if link.has_decision_function else scores[:, 1])
            probabilities[:, 0] = 1.0 - probabilities[:, 1]
        else:
            for column, calibrator in enumerate(calibrators):
                probabilities[:, column] = calibrator.calibrate(scores[:, column])
            totals = probabilities.sum(axis=1)[:, None]
            uniform = np.full_like(probabilities, 1 / len(self._labels))
            probabilities = np.divide(probabilities, totals, out=uniform, where=totals != 0)
        # scikit-learn clips in the same way: rounding may leave a probability slightly above 1.
        probabilities[(probabilities > 1.0) & (probabilities <= 1.0 + 1e-5)] = 1.0
        return probabilities


def _second_probability(row_score: RowScore) -> float:
    """Return the probability of the second class."""
    return (row_score[1] or ())[1]


def _clip_to_one(probability: float) -> float:
    return 1.0 if 1.0 < probability <= 1.0 + 1e-5 else probability


class SigmoidCalibrator:
    """The logistic function of -(a x + b)."""

    def __init__(self, a: float, b: float) -> None:
        self.a, self.b, self.logistic = a, b, exact_logistic()

    def calibrate_one(self, score: float) -> float:
        """Return the calibrated probability of one score."""
        return float(self.logistic.of_one(-(self.a * score + self.b)))

    def calibrate(self, scores: FloatArray) -> Any:
        """Return the calibrated probabilities of scores of shape (n,)."""
        return self.logistic.of_array(-(self.a * scores + self.b))


class IsotonicCalibrator:
    """Linear interpolation between the thresholds, clipped to their range."""

    def __init__(self, low: float, high: float, xs: FloatArray, ys: FloatArray) -> None:
        self.low, self.high, self.xs, self.ys = low, high, xs, ys

    def calibrate_one(self, score: float) -> float:
        """Return the calibrated probability of one score."""
        return float(self.calibrate(np.array([score]))[0])

    def calibrate(self, scores: FloatArray) -> Any:
        """Return the calibrated probabilities of scores of shape (n,)."""
        return np.interp(np.clip(scores, self.low, self.high), self.xs, self.ys)


def _read_calibrator(calibrator: Any) -> SigmoidCalibrator | IsotonicCalibrator:
    """Read one fitted calibrator."""
    parameters = sigmoid_parameters(calibrator)
    if parameters is not None:
        return SigmoidCalibrator(*parameters)
    is_isotonic = public_type_name(calibrator) == "sklearn.isotonic.IsotonicRegression"
    if not is_isotonic or calibrator.out_of_bounds != "clip":
        raise UnsupportedStep(f"plans do not support the calibrator {type(calibrator).__name__}")
    xs, ys = calibrator.X_thresholds_, calibrator.y_thresholds_
    if xs.dtype != np.float64 or ys.dtype != np.float64:
        raise UnsupportedStep(
            "CalibratedClassifierCV was calibrated in float32; use an estimator that scores in float64"
        )
    return IsotonicCalibrator(calibrator.X_min_, calibrator.X_max_, xs, ys)
