"""The sections of params.yaml that say how a model is judged (`evaluate`) and what it must reach (`gates`)."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from skline.section import NotNegative, Positive, Section, Share

Gap = Literal["selection_rate", "true_positive_rate", "false_positive_rate", "error"]


class Evaluate(Section):
    """How the model is judged."""

    metric: str | None = Field(
        default=None, description="What models are compared by; default: roc_auc, for a regression rmse"
    )
    baseline_rows: Annotated[int, Field(ge=100)] = Field(
        default=50_000, description="The linear baseline is fitted on at most this many training rows"
    )
    resamples: Annotated[int, Field(ge=100, le=100_000)] = Field(
        default=1_000, description="Bootstrap resamples behind each 95 % interval"
    )
    min_segment_rows: Annotated[int, Field(ge=1)] = Field(default=200, description="Smaller segments are not reported")
    crossings: tuple[tuple[str, str], ...] = Field(
        default=(), description="Pairs of segment columns whose combinations are reported too"
    )
    importance_rows: Annotated[int, Field(ge=0)] = Field(
        default=3_000, description="Test rows in which inputs are permuted; 0: no importance"
    )
    leak_rows: Annotated[int, Field(ge=0)] = Field(
        default=8_000, description="Rows of each part that a model must tell apart; 0: no adversarial validation"
    )
    seeds: Annotated[int, Field(ge=0, le=50)] = Field(
        default=0, description="Fit so many times again with other seeds; each takes as long as the training stage"
    )
    learning_curve: bool = Field(
        default=False, description="Fit again on 10, 25 and 50 % of the training rows; takes as long as one fit"
    )

    @model_validator(mode="before")
    @classmethod
    def _threshold_is_of_training(cls, given: Any) -> Any:
        if isinstance(given, dict) and "threshold" in given:
            raise ValueError("the threshold is set in training: move it to the section train, as train.threshold")
        return given


class Champion(Section):
    """What a model must reach beside the one that serves now, on the same test rows."""

    require: Literal["not_worse", "better"] = Field(
        default="not_worse", description="better: the interval of the difference must lie above zero"
    )
    margin: NotNegative = Field(default=0.005, description="not_worse: by more than this, with 97.5 % confidence")
    segment_margin: NotNegative = Field(
        default=0.05, description="A segment that is worse by more than this, beyond chance, refuses the model"
    )


class Gates(Section):
    """What a model must reach; whatever is missing, NaN or of too few rows has not reached it."""

    floors: dict[str, float] = Field(
        default_factory=dict, description="Metric: the least it may be, or the most for errors and losses"
    )
    min_rows: Annotated[int, Field(ge=2)] = Field(default=200, description="Test rows that a judgement needs")
    dummy: Literal["beyond_chance", "better"] = Field(
        default="beyond_chance", description="How much better than a constant answer it must be"
    )
    linear_margin: NotNegative = Field(default=0.0, description="How much worse than the linear baseline it may be")
    champion: Champion = Champion()
    worst_segment: float | None = Field(default=None, description="Floor of the metric in every segment")
    segment_rows: Annotated[int, Field(ge=1)] = Field(default=500, description="Rows a segment needs to be judged")
    gaps: dict[Gap, Share] = Field(
        default_factory=dict, description="Largest difference between groups of a sensitive column, by rate"
    )
    max_ece: Share | None = Field(default=None, description="Largest expected calibration error")
    max_latency_ms: Positive = Field(default=50.0, description="Median time of scoring one row")
    max_artifact_mb: Positive = Field(default=250.0, description="Size of the artifact")
    max_memory_mb: Positive = Field(default=1_000.0, description="Memory that loading it and one answer take")
