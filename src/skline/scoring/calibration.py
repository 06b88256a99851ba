"""CalibratedClassifierCV: the mean of calibrated probabilities of one or several models."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from skline.scoring.answers import Exactness, FloatArray, NotPlannable, RowAnswer, Scores
from skline.scoring.matrix import Matrix, Reading
from skline.scoring.model import Link, Margin, Model, ReadModel
from skline.scoring.source import Array, Batch, Source


def read_calibrated(reading: Reading, estimator: Any, matrix: Matrix, read: ReadModel) -> Model:
    """CalibratedClassifierCV by sigmoid or isotonic regression: the mean over its calibrated classifiers."""
    members = estimator.calibrated_classifiers_
    inner: dict[int, Model] = {}
    models, calibrators = [], []
    for member in members:
        if member.method not in ("sigmoid", "isotonic"):
            raise NotPlannable(
                f"CalibratedClassifierCV(method={member.method!r}) is not planned; use sigmoid or isotonic"
            )
        if not np.array_equal(member.estimator.classes_, estimator.classes_):
            raise NotPlannable("CalibratedClassifierCV has a member that has not seen every class; use more rows")
        model = inner.setdefault(id(member.estimator), read(reading, member.estimator, matrix))
        models.append(model)
        calibrators.append([_calibrator(calibrator) for calibrator in member.calibrators])
    link = Calibrated(estimator.classes_, [model.link for model in models], calibrators)
    return Model(Together([model.margin for model in models]), link)


class Together(Margin):
    """The margins of several models, as a tuple."""

    def __init__(self, margins: Sequence[Margin]) -> None:
        self.margins = margins
        self.exactness: Exactness = "bits" if all(m.exactness == "bits" for m in margins) else "ulp"

    @override
    def emit(self, source: Source) -> str:
        names = ", ".join(source.of(margin) for margin in self.margins)
        return source.assign(f"({names},)")

    @override
    def values(self, batch: Batch) -> Any:
        return tuple(batch.of(margin) for margin in self.margins)


class Calibrated(Link):
    """The mean of calibrated probabilities."""

    decides = False

    def __init__(self, classes: Array, links: Sequence[Link], calibrators: Sequence[Sequence[Any]]) -> None:
        self.classes: Array | None = classes
        self.links = links
        self.calibrators = calibrators
        self.binary = len(classes) == 2
        self.batchwise = not self.binary or any(link.batchwise for link in links)
        self._labels = classes.tolist()

    @override
    def answer(self, margin: Any) -> RowAnswer:
        if not self.binary:
            return self.answers(tuple(np.array([part]) for part in margin)).row(0)
        first, second = 0.0, 0.0
        for part, link, (calibrate,) in zip(margin, self.links, self.calibrators, strict=True):
            chance = calibrate.one(part if link.decides else _second(link.answer(part)))
            first += _at_most_one(1.0 - chance)
            second += _at_most_one(chance)
        chances = first / len(self.links), second / len(self.links)
        return self._labels[chances[1] > chances[0]], chances

    @override
    def answers(self, margins: Any) -> Scores:
        total = np.zeros((len(margins[0]), len(self._labels)))
        for part, link, calibrators in zip(margins, self.links, self.calibrators, strict=True):
            total += self._member(part, link, calibrators)
        total /= len(self.links)
        return Scores(np.asarray(self.classes)[np.argmax(total, axis=1)], total)

    def _member(self, margins: Any, link: Link, calibrators: Sequence[Any]) -> FloatArray:
        """One member's calibrated probabilities, (n, classes)."""
        scores: Any = margins if link.decides else link.answers(margins).probabilities
        chances = np.zeros((len(scores), len(self._labels)))
        if self.binary:
            chances[:, 1] = calibrators[0].many(scores if link.decides else scores[:, 1])
            chances[:, 0] = 1.0 - chances[:, 1]
        else:
            for column, calibrator in enumerate(calibrators):
                chances[:, column] = calibrator.many(scores[:, column])
            totals = chances.sum(axis=1)[:, None]
            uniform = np.full_like(chances, 1 / len(self._labels))
            chances = np.divide(chances, totals, out=uniform, where=totals != 0)
        chances[(chances > 1.0) & (chances <= 1.0 + 1e-5)] = 1.0
        return chances


def _second(answer: RowAnswer) -> float:
    """The probability of the second class."""
    return (answer[1] or ())[1]


def _at_most_one(chance: float) -> float:
    return 1.0 if 1.0 < chance <= 1.0 + 1e-5 else chance


class Sigmoid:
    """expit(-(a x + b)), for one score or many."""

    def __init__(self, a: float, b: float) -> None:
        from scipy.special import expit

        self.a, self.b, self.expit = a, b, expit

    def one(self, score: float) -> float:
        """The calibrated probability of one score."""
        return float(self.expit(-(self.a * score + self.b)))

    def many(self, scores: FloatArray) -> Any:
        """Calibrated probabilities of scores of shape (n,)."""
        return self.expit(-(self.a * scores + self.b))


class Isotonic:
    """Linear interpolation between the thresholds, clipped to their range, for one score or many."""

    def __init__(self, low: float, high: float, xs: FloatArray, ys: FloatArray) -> None:
        self.low, self.high, self.xs, self.ys = low, high, xs, ys

    def one(self, score: float) -> float:
        """The calibrated probability of one score."""
        return float(self.many(np.array([score]))[0])

    def many(self, scores: FloatArray) -> Any:
        """Calibrated probabilities of scores of shape (n,)."""
        return np.interp(np.clip(scores, self.low, self.high), self.xs, self.ys)


def _calibrator(calibrator: Any) -> Sigmoid | Isotonic:
    """Read one fitted calibrator."""
    name = type(calibrator).__name__
    if name == "_SigmoidCalibration":
        return Sigmoid(float(calibrator.a_), float(calibrator.b_))
    if name != "IsotonicRegression" or calibrator.out_of_bounds != "clip":
        raise NotPlannable(f"CalibratedClassifierCV holds the calibrator {name}, which no plan knows")
    xs, ys = calibrator.X_thresholds_, calibrator.y_thresholds_
    if xs.dtype != np.float64 or ys.dtype != np.float64:
        raise NotPlannable("CalibratedClassifierCV was calibrated in float32; use an estimator that scores in float64")
    return Isotonic(calibrator.X_min_, calibrator.X_max_, xs, ys)
