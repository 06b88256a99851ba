"""Classifiers and regressors around another one: calibration, thresholds, frozen estimators, targets."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from skline.scoring.answers import Exactness, FloatArray, NotPlannable, RowAnswer, Scores
from skline.scoring.cells import Array, Batch, Source
from skline.scoring.matrix import Matrix, Reading
from skline.scoring.model import Link, Margin, Model, Value
from skline.scoring.read.functions import UFUNCS

ReadModel = Callable[[Reading, Any, Matrix], Model]


def read_threshold(reading: Reading, estimator: Any, matrix: Matrix, read: ReadModel) -> Model:
    """FixedThresholdClassifier and TunedThresholdClassifierCV: another rule for the class."""
    inner = read(reading, getattr(estimator, "estimator_", estimator.estimator), matrix)
    tuned = hasattr(estimator, "best_threshold_")
    position = estimator._curve_scorer._get_pos_label() if tuned else estimator.pos_label
    methods = np.atleast_1d(estimator._get_response_method()).tolist()
    by_chance = methods[0] == "predict_proba"
    if by_chance is False and not inner.link.decides:
        raise NotPlannable(f"{type(estimator).__name__} uses {methods[0]} of an estimator that has none planned")
    threshold = estimator.best_threshold_ if tuned else estimator.threshold
    if isinstance(threshold, str):
        threshold = 0.5 if by_chance else 0.0
    return Model(inner.margin, Threshold(inner.link, float(threshold), position, by_chance=by_chance))


class Threshold(Link):
    """The class from a score that is at least the threshold; the probabilities stay."""

    def __init__(self, inner: Link, threshold: float, positive: Any, *, by_chance: bool) -> None:
        if inner.classes is None or len(inner.classes) != 2:
            raise NotPlannable("a threshold needs two classes")
        self.inner = inner
        self.classes: Array | None = inner.classes
        self.batchwise = inner.batchwise
        self.decides = inner.decides
        self.threshold = threshold
        self.by_chance = by_chance
        self.column = 1 if positive is None else int(np.flatnonzero(inner.classes == positive)[0])
        order = [1 - self.column, self.column]
        self._classes = inner.classes[order]
        self._labels = self._classes.tolist()

    @override
    def answer(self, margin: Any) -> RowAnswer:
        _, chances = self.inner.answer(margin)
        signed = margin if self.column else -margin
        score = chances[self.column] if self.by_chance and chances is not None else signed
        return self._labels[score >= self.threshold], chances

    @override
    def answers(self, margins: Any) -> Scores:
        chances = self.inner.answers(margins).probabilities
        if self.by_chance and chances is not None:
            scores = chances[:, self.column]
        else:
            scores = margins if self.column else -margins
        return Scores(self._classes[(scores >= self.threshold).astype(np.intp)], chances)


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


def read_frozen(reading: Reading, estimator: Any, matrix: Matrix, read: ReadModel) -> Model:
    """FrozenEstimator: the estimator in it."""
    return read(reading, estimator.estimator, matrix)


def read_transformed_target(reading: Reading, estimator: Any, matrix: Matrix, read: ReadModel) -> Model:
    """TransformedTargetRegressor whose inverse is a NumPy function that is known."""
    inner = read(reading, estimator.regressor_, matrix)
    if type(inner.link) is not Value:
        raise NotPlannable("TransformedTargetRegressor is planned around regressors alone")
    inverse = getattr(estimator.transformer_, "inverse_func", "no function")
    known = [ufunc for ufunc in UFUNCS if ufunc is inverse]
    if estimator.transformer is not None or not (known or inverse is None) or estimator._training_dim != 1:
        raise NotPlannable("TransformedTargetRegressor is planned with inverse_func=np.expm1, np.exp and their like")
    return Model(inner.margin, Inverse(inner.link, known[0] if known else None))


class Inverse(Link):
    """A regressor's number, put through a NumPy function."""

    classes: Array | None = None
    batchwise = False
    decides = False

    def __init__(self, inner: Link, inverse: Any) -> None:
        self.inner = inner
        self.inverse = inverse

    @override
    def answer(self, margin: Any) -> RowAnswer:
        value = self.inner.answer(margin)[0]
        return (value if self.inverse is None else self.inverse(value).item()), None

    @override
    def answers(self, margins: Any) -> Scores:
        values = self.inner.answers(margins).predictions
        return Scores(values if self.inverse is None else self.inverse(values), None)
