"""The result of a window: the schema of `metrics.json`, from which pages, alerts and the terminal are made.

Floats are finite or None. Intervals are of 95 %. Shares are between 0 and 1. Times are UTC.
"""

import datetime as dt
from typing import Literal

from pydantic import Field

from skline.monitoring.checks import Check, Part, State
from skline.monitoring.estimates import Estimate, Model

#: Version of the schema. A field that is added keeps the version; one that is removed or changes its meaning raises it.
SCHEMA_VERSION = 1


class Window(Model):
    """Which predictions the result is about.

    Attributes
    ----------
    name : str
        Its folder below reports/monitor: end and length.
    start, end : datetime
        start ≤ time of a prediction < end.
    asof : datetime
        Labels that arrived later are ignored.
    length : str
        Such as 7d.
    compare : str
        The reference of the data drift: training, season or previous.
    model_version, artifact_digest : str
        The artifact whose reference is used.
    rows, sampled_rows : int
        Predictions of the window, and those that are tested: fewer where the window is sampled.
    entities : int or None
        Distinct entities among the sampled rows; None where the log holds none, and rows are taken to be independent.
    """

    name: str
    start: dt.datetime
    end: dt.datetime
    asof: dt.datetime
    length: str
    compare: str
    model_version: str
    artifact_digest: str
    rows: int
    sampled_rows: int
    entities: int | None


class ColumnQuality(Model):
    """Quality of an input; the shares are of all rows, `reference_missing` of the training rows.

    `reference_unseen` is the share of unseen categories that is expected without any change.
    """

    column: str
    kind: str
    missing: Estimate
    reference_missing: float
    unseen: Estimate
    reference_unseen: float = 0.0
    outside: Estimate
    is_constant: bool
    is_empty: bool
    has_vanished: bool


class RejectedRule(Model):
    """Requests, and their rows, that were rejected because they break a rule in a column."""

    rule: str
    column: str
    requests: int
    rows: int


class Quality(Model):
    """Quality of the window's data.

    Attributes
    ----------
    expected_rows : float or None
        Mean of the same hours of earlier seasons; None without any.
    rows_ratio : Estimate
        rows / expected_rows.
    by_contract : dict of str to int
        Rows by artifact digest; "" of fallbacks without an artifact.
    by_version : dict of str to int
        Rows by version, of the monitored artifact and of those that were released or registered here.
    by_unknown : dict of str to int
        Rows by digest, of all other artifacts.
    broken_rows : int
        Rows whose inputs or prediction cannot be read; they are left out.
    conflicting_labels : int
        Predictions with labels that contradict each other; the last one is used.
    rejected : Estimate
        Share of rows that were rejected, among these and the predictions; its interval is that of the requests.
    rejections : tuple of RejectedRule
        The most rows first; a request counts for each rule and column that it breaks.
    """

    rows: int
    expected_rows: float | None
    rows_ratio: Estimate
    by_contract: dict[str, int]
    by_version: dict[str, int] = Field(default_factory=dict)
    by_unknown: dict[str, int] = Field(default_factory=dict)
    broken_rows: int
    conflicting_labels: int
    rejected: Estimate = Estimate()
    rejected_requests: int = 0
    rejected_rows: int = 0
    rejections: tuple[RejectedRule, ...] = ()
    columns: tuple[ColumnQuality, ...] = ()


class ColumnDrift(Model):
    """Distance between the distributions of a column in the window and in the reference.

    Attributes
    ----------
    column, kind : str
        `kind` is that of the contract; the column `(score)` is the model's score.
    rows, effective_rows, reference_rows : int, float, int
        `effective_rows` is what the rows are worth as independent ones.
    measure : {"ks_d", "total_variation"}
    effect : Estimate
    p, p_adjusted : float or None
    psi, wasserstein : float or None
        Reported only. `wasserstein` is in standard deviations of the reference.
    importance : float or None
        Share of the model's permutation importance.
    drifted : bool or None
        Whether both effect and adjusted p-value reach their limits; None with too few rows.
    tested : bool
        False for dates and ignored columns, which never alarm.
    bins : tuple of str
        Labels of the histogram's bins; missing and unseen values have their own.
    edges : tuple of float
        Of numbers: the inner edges of the bins, without the last bin, which holds the missing values; dates and times
        in days since 1970. Empty for categories.
    shares, reference_shares : tuple of float
    """

    column: str
    kind: str
    rows: int
    effective_rows: float
    reference_rows: int
    measure: Literal["ks_d", "total_variation"]
    effect: Estimate
    p: float | None
    p_adjusted: float | None = None
    psi: float | None
    wasserstein: float | None
    importance: float | None = None
    drifted: bool | None = None
    tested: bool = True
    bins: tuple[str, ...]
    edges: tuple[float, ...] = ()
    shares: tuple[float, ...]
    reference_shares: tuple[float, ...]


class Drift(Model):
    """Data drift of all columns, the largest effect first.

    Attributes
    ----------
    reference : str
        training, season or previous.
    importance : float or None
        The share of the model's permutation importance that drifted columns have, each weighted by its effect, from 0
        to 1: whether the drift matters. None if the artifact holds no importances.
    obstacle : str or None
        Why nothing was compared; None if something was.
    seasonal : tuple of ColumnDrift
        The same against the seasonal reference, for readers; empty if there is none, or it is the reference.
    """

    reference: str
    reference_rows: int
    importance: float | None
    obstacle: str | None = None
    columns: tuple[ColumnDrift, ...] = ()
    seasonal: tuple[ColumnDrift, ...] = ()


class MetricResult(Model):
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


class SegmentResult(Model):
    """Metric and label coverage of a segment."""

    column: str
    value: str
    rows: int
    labelled: int
    estimate: Estimate = Estimate()


class Coverage(Model):
    """Label coverage of predictions that are old enough, by a band of scores."""

    low: float
    high: float
    rows: int
    labelled: int


class CalibrationBin(Model):
    """Mean score and share of positive labels of a bin of scores."""

    score: float
    rate: float
    rows: int


class CurvePoint(Model):
    """The metric of a period of labelled predictions (prequential curve)."""

    start: dt.datetime
    rows: int
    value: float


class Performance(Model):
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
    metrics: tuple[MetricResult, ...] = ()
    segments: tuple[SegmentResult, ...] = ()
    bands: tuple[Coverage, ...] = ()
    calibration: tuple[CalibrationBin, ...] = ()
    curve: tuple[CurvePoint, ...] = ()


class ResidualDrift(Model):
    """Change of the mean error of a segment, against the reference windows."""

    column: str
    value: str
    rows: int
    difference: Estimate


class Concept(Model):
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


class EstimatedMetric(Model):
    """A metric estimated without labels (CBPE), and the realized one where it is known."""

    name: str
    estimate: Estimate
    realized: float | None = None


class ArmResult(Model):
    """Figures of an arm of an experiment; `champion` holds all predictions if there is none."""

    arm: str
    rows: int
    labelled: int
    positive_rate: Estimate
    bias: Estimate
    mean_score: float | None
    mean_label: float | None


class KpiResult(Model):
    """A business figure for 1,000 predictions; `arm` or `segment` name the rows, both None for all of them."""

    name: str
    unit: str
    arm: str | None = None
    segment: str | None = None
    rows: int
    per_thousand: Estimate
    error: str | None = None


class Operations(Model):
    """Figures of the service: the first five from the log, the others from Prometheus, if the settings name a server.

    Attributes
    ----------
    requests : float or None
        Number of requests in the window, estimated by Prometheus.
    errors, client_errors : Estimate
        Shares of the requests with status 5xx and 4xx.
    log_drops : Estimate
        Share of the predictions that were not written to the log.
    """

    latency_ms: dict[str, float]
    by_path: dict[str, int]
    fallbacks: Estimate
    reviews: Estimate
    by_version: dict[str, int]
    requests: float | None = None
    errors: Estimate = Estimate()
    client_errors: Estimate = Estimate()
    log_drops: Estimate = Estimate()


class Problem(Model):
    """A part or column that could not be computed, and why; the others are not affected."""

    part: Part
    subject: str
    message: str


class WindowResult(Model):
    """The whole result of a window.

    Attributes
    ----------
    state : State
        The worst of the checks; insufficient_data if there are too few predictions to tell anything.
    sentence : str
        What changed, since when, whether it matters, and what to do.
    checks : tuple of Check
        The serious ones first.
    """

    schema_version: int = SCHEMA_VERSION
    written_at: dt.datetime
    window: Window
    state: State
    sentence: str
    states: dict[Part, State]
    checks: tuple[Check, ...]
    quality: Quality
    drift: Drift | None = None
    performance: Performance | None = None
    concept: Concept | None = None
    estimates: tuple[EstimatedMetric, ...] = ()
    arms: tuple[ArmResult, ...] = ()
    kpis: tuple[KpiResult, ...] = ()
    operations: Operations | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def main_metric(self) -> MetricResult | None:
        """The metric that models are compared by; None without labels."""
        metrics = () if self.performance is None else self.performance.metrics
        return next((each for each in metrics if each.name == self.performance.metric), None)  # type: ignore[union-attr]
