"""The result of a window: the schema of `metrics.json`, from which pages, alerts and the terminal are made.

Floats are finite or None. Intervals are of 95 %. Shares are between 0 and 1. Times are UTC.
"""

import datetime as dt

from skline.monitoring.checks import Check, Part, State
from skline.monitoring.data_results import Drift, Quality
from skline.monitoring.estimates import Estimate, ResultPart
from skline.monitoring.label_results import ArmResult, Concept, EstimatedMetric, MetricResult, Performance

#: Version of the schema. A field that is added keeps the version; one that is removed or changes its meaning raises it.
SCHEMA_VERSION = 1


class Window(ResultPart):
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


class KpiResult(ResultPart):
    """A business figure for 1,000 predictions; `arm` or `segment` name the rows, both None for all of them."""

    name: str
    unit: str
    arm: str | None = None
    segment: str | None = None
    rows: int
    per_thousand: Estimate
    error: str | None = None


class Operations(ResultPart):
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


class Problem(ResultPart):
    """A part or column that could not be computed, and why; the others are not affected."""

    part: Part
    subject: str
    message: str


class WindowResult(ResultPart):
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
