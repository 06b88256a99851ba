"""The results of a window about labels: performance, concept drift, estimates and arms; parts of `WindowResult`.

Floats are finite or None. Intervals are of 95 %. Shares are between 0 and 1. Times are UTC.
"""

import datetime as dt
from typing import Literal

from skline.monitoring.estimates import Estimate, ResultPart


class MetricResult(ResultPart):
    """A metric on matured labels.

    Attributes
    ----------
    better : {"higher", "lower", None}
    estimate : Estimate
        Reweighted where `Performance.weighted`.
    unweighted : float or None
        The figure of the labelled rows as they are.
    sampled : Estimate
        Of the reviewed predictions that were drawn at random.
    reference : Estimate
        On the test part, from the artifact.
    """

    name: str
    label: str
    better: Literal["higher", "lower"] | None
    estimate: Estimate
    unweighted: float | None = None
    sampled: Estimate = Estimate()
    reference: Estimate = Estimate()
    floor: float | None = None


class SegmentResult(ResultPart):
    """Metric and label coverage of a segment."""

    column: str
    value: str
    rows: int
    labelled: int
    estimate: Estimate = Estimate()


class Coverage(ResultPart):
    """Label coverage of predictions that are old enough, by a band of scores."""

    low: float
    high: float
    rows: int
    labelled: int


class CalibrationBin(ResultPart):
    """Mean score and share of positive labels of a bin of scores."""

    score: float
    rate: float
    rows: int


class CurvePoint(ResultPart):
    """The metric of a period of labelled predictions (prequential curve)."""

    start: dt.datetime
    rows: int
    value: float


class Performance(ResultPart):
    """Metrics of the predictions that are older than the label horizon.

    Attributes
    ----------
    start, end : datetime
        The window, shifted by the label horizon.
    metric : str
        The one that models are compared by.
    rows, labelled : int
        Predictions, and those with a label.
    weighted : bool
        Labels are reweighted to the scores of all predictions, because too few have one.
    uncovered : float
        Share of the predictions in score bands without any label; nothing is known about them.
    entities : int or None
        Where given, intervals are drawn by entity.
    sampled : int
        Labelled predictions that were drawn for review at random.
    test_rows : int
        Rows of the test part; 0 if unknown.
    """

    start: dt.datetime
    end: dt.datetime
    metric: str
    rows: int
    labelled: int
    weighted: bool
    uncovered: float
    entities: int | None
    sampled: int = 0
    test_rows: int = 0
    metrics: tuple[MetricResult, ...] = ()
    segments: tuple[SegmentResult, ...] = ()
    bands: tuple[Coverage, ...] = ()
    calibration: tuple[CalibrationBin, ...] = ()
    curve: tuple[CurvePoint, ...] = ()


class ResidualDrift(ResultPart):
    """Change of the mean error of a segment, against the reference windows."""

    column: str
    value: str
    rows: int
    difference: Estimate


class Concept(ResultPart):
    """Changes in the stream of errors.

    Attributes
    ----------
    labels : int
        Length of the stream.
    detected_at : datetime or None
        Time of the prediction at which the last rise of the error was detected in this window.
    before, after : float or None
        Mean error before and after.
    detections : int
        Rises of the error in the whole stream.
    """

    labels: int
    detected_at: dt.datetime | None
    before: float | None
    after: float | None
    detections: int
    residuals: tuple[ResidualDrift, ...] = ()


class EstimatedMetric(ResultPart):
    """A metric estimated without labels (CBPE), and the realized one where it is known."""

    name: str
    estimate: Estimate
    realized: float | None = None


class ArmResult(ResultPart):
    """Figures of an arm of an experiment; `champion` holds all predictions if there is none."""

    arm: str
    rows: int
    labelled: int
    positive_rate: Estimate
    bias: Estimate
    mean_score: float | None
    mean_label: float | None
