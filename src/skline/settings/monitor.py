"""The section `monitor` of params.yaml: windows, limits and margins of `skline monitor`."""

import datetime as dt
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from skline.settings.base import NonNegative, Positive, SettingsSection, Share

#: Units of a duration such as 7d, in seconds.
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
#: The moment that lies a longer one ago may be none that Python can represent.
MAX_DURATION = dt.timedelta(days=36_500)
Compare = Literal["previous", "season", "training"]


def parse_duration(value: Any) -> Any:
    """Parse a number of seconds, minutes, hours or days, such as 15m or 7d; other types are returned unchanged.

    Raises
    ------
    ValueError
        If a text is no such duration, or is not positive.
    """
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", value)
    if match is None or int(match[1]) == 0:
        raise ValueError(f"{value!r} is no duration; write a positive number and s, m, h or d, such as 7d")
    return dt.timedelta(seconds=int(match[1]) * UNITS[match[2]])


def format_duration(duration: dt.timedelta) -> str:
    """Format a duration in the largest unit that divides it: 7d, 36h, 15m."""
    seconds = int(duration.total_seconds())
    unit = next(name for name in ("d", "h", "m", "s") if seconds % UNITS[name] == 0)
    return f"{seconds // UNITS[unit]}{unit}"


Duration = Annotated[
    dt.timedelta,
    Field(gt=dt.timedelta(0), le=MAX_DURATION),
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration),
]


class Quality(SettingsSection):
    """Allowances for the quality of the inputs; each is exceeded only if the whole 95 % interval lies beyond it."""

    rows: Positive = Field(
        default=0.5, description="Allowed relative difference from the rows of the same hours of earlier weeks"
    )
    missing: Share = Field(default=0.05, description="Allowed increase of the share of missing values of a column")
    unseen: Share = Field(default=0.02, description="Allowed share of categories that training did not see")
    outside: Share = Field(default=0.02, description="Allowed share of numbers outside the range of training")
    rejected: Share = Field(
        default=0.05, description="Allowed share of rows that the service rejected because they break the contract"
    )
    other_contract: Share = Field(
        default=0.0, description="Allowed share of rows of artifacts that were neither released nor registered here"
    )


class Drift(SettingsSection):
    """When a column has drifted: the effect is large enough, and chance does not explain it."""

    effect: Share = Field(
        default=0.1, description="Smallest Kolmogorov-Smirnov distance or total variation that counts"
    )
    alpha: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.01, description="Limit of the p-value, adjusted for the number of columns (Benjamini-Hochberg)"
    )
    ignore: tuple[str, ...] = Field(default=(), description="Columns whose drift is reported and never alarms")


class Performance(SettingsSection):
    """What the metrics of matured labels must reach; decided by their intervals."""

    floors: dict[str, float] | None = Field(
        default=None, description="Minimum of each metric, or maximum for errors and losses; default: gates.floors"
    )
    margin: NonNegative = Field(
        default=0.02, description="Tolerated loss of evaluate.metric against the test part, in units of the metric"
    )
    min_labels: Annotated[int, Field(ge=20)] = Field(default=200, description="Labelled rows that a verdict needs")
    resamples: Annotated[int, Field(ge=100, le=10_000)] = Field(
        default=300, description="Bootstrap resamples for each 95 % interval"
    )
    full_coverage: Share = Field(
        default=0.95, description="Share of labelled rows from which on labels are not reweighted by score band"
    )
    bias: Share = Field(
        default=0.05, description="Tolerated difference between mean prediction and mean label, for probabilities"
    )


class Concept(SettingsSection):
    """Detection of changes in the stream of errors (ADWIN)."""

    delta: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.002, description="Probability of a false detection at a cut of the stream"
    )
    windows: Annotated[int, Field(ge=1, le=52)] = Field(
        default=4, description="Windows of labels that the stream consists of"
    )


class Kpi(SettingsSection):
    """A business figure: the mean of an expression over predictions, for 1,000 predictions.

    The expression may use `prediction`, `score`, `label` and the inputs; `docs/monitoring.md` lists its functions.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
    expression: Annotated[str, Field(min_length=1, max_length=500)]
    unit: str = ""
    minimum: float | None = Field(default=None, description="Alarm if the interval lies below")
    maximum: float | None = Field(default=None, description="Alarm if the interval lies above")


class Operations(SettingsSection):
    """Limits of the service's figures, in the log and in Prometheus; None: reported only."""

    latency_p99_ms: Positive | None = Field(
        default=None, description="Time that 99 % of predictions may take, in milliseconds"
    )
    fallbacks: Share | None = Field(default=0.05, description="Share that a fallback predicted")
    reviews: Share | None = Field(default=None, description="Share that was sent to review")
    prometheus: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s@]+$",
        description="Address of a Prometheus server that scrapes the service, such as http://localhost:9090",
    )
    job: str = Field(default="skline", pattern=r"^[A-Za-z0-9_./-]+$", description="Label `job` of the service there")
    errors: Share | None = Field(default=0.01, description="Share of requests with status 5xx, by Prometheus")
    client_errors: Share | None = Field(default=None, description="Share of requests with status 4xx, by Prometheus")
    log_drops: Share | None = Field(
        default=0.001, description="Share of predictions that were not written to the log, by Prometheus"
    )


class Webhook(SettingsSection):
    """Where changes of the states are posted: JSON with the key `text`, as Slack's incoming webhooks take it.

    The address is a secret, so it is in a variable or a file, and never in params.yaml. If it is put there by
    mistake, no error shows it (`repr=False`).
    """

    variable: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = Field(
        default=None, repr=False, description="Name of the environment variable that holds the address"
    )
    file: str | None = Field(default=None, repr=False, description="File that holds the address, and nothing else")
    timeout_seconds: Annotated[float, Field(gt=0, le=30)] = Field(
        default=5.0, description="Seconds to wait for the connection, and for the response"
    )
    attempts: Annotated[int, Field(ge=1, le=5)] = Field(
        default=3,
        description="Attempts to post a message that the receiver did not accept, 1, 2, 4 and 8 seconds apart",
    )
    cooldown: Duration = Field(
        default=dt.timedelta(hours=1), description="Time between two messages; a new alarm or failure is posted at once"
    )

    @property
    def is_on(self) -> bool:
        """Whether an address is named."""
        return self.variable is not None or self.file is not None

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Reject an address instead of the name of its file, and two places of the address."""
        if "://" in (self.file or ""):
            raise ValueError("webhook: file has to be the name of a file that holds the address, not the address")
        if self.variable is not None and self.file is not None:
            raise ValueError("webhook: both variable and file are given; keep one of them")
        return self


class Monitor(SettingsSection):
    """What `skline monitor` compares, and when it warns."""

    window: Duration = Field(default=dt.timedelta(days=7), description="Length of a window, such as 7d")
    compare: Compare = Field(default="training", description="Reference of the data drift")
    season: Duration = Field(default=dt.timedelta(days=7), description="Length after which traffic repeats itself")
    seasons: Annotated[int, Field(ge=1, le=52)] = Field(
        default=4, description="Earlier seasons whose same hours make the seasonal reference"
    )
    label_horizon: Duration = Field(
        default=dt.timedelta(days=1), description="Age from which on a prediction has its label, if it ever gets one"
    )
    min_rows: Annotated[int, Field(ge=50)] = Field(default=300, description="Rows that a verdict needs")
    max_rows: Annotated[int, Field(ge=1_000)] = Field(
        default=100_000, description="Rows that are tested; of a larger window, a sample by the hash of the id"
    )
    persist: Annotated[int, Field(ge=1)] = Field(
        default=2, description="Windows that must exceed a limit for an alarm, among the last of_windows"
    )
    of_windows: Annotated[int, Field(ge=1)] = Field(default=3, description="Windows among which persist are counted")
    keep: Annotated[int, Field(ge=3)] = Field(
        default=1_000, description="Windows that the history keeps, with their reports"
    )
    memory_mb: Annotated[int, Field(ge=256)] = Field(default=1_024, description="Memory of the query engine")
    quality: Quality = Quality()
    drift: Drift = Drift()
    performance: Performance = Performance()
    concept: Concept = Concept()
    operations: Operations = Operations()
    webhook: Webhook = Field(default=Webhook(), repr=False)
    costs: tuple[tuple[float, ...], ...] | None = Field(
        default=None,
        description="Cost of a prediction by true class (row) and predicted class (column), in the order of the "
        "contract's classes; gains are negative",
    )
    kpis: tuple[Kpi, ...] = Field(default=(), description="Business figures, computed from each window")

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Reject settings that contradict each other."""
        if self.persist > self.of_windows:
            raise ValueError(f"persist is {self.persist} of {self.of_windows} windows; it can be {self.of_windows}")
        names = [kpi.name for kpi in self.kpis]
        if len(set(names)) < len(names):
            raise ValueError(f"kpis: the names {', '.join(names)} are not unique; rename one")
        if self.costs is not None and any(len(row) != len(self.costs) for row in self.costs):
            raise ValueError("costs: needs as many columns as rows, one for each class")
        return self
