"""The sections of params.yaml for evaluation: `evaluate` (what is measured) and `gates` (what a model must reach)."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from skline.settings.base import NonNegative, Positive, SettingsSection, Share

Gap = Literal["selection_rate", "true_positive_rate", "false_positive_rate", "error"]


class Evaluate(SettingsSection):
    """How the model is evaluated on the test part."""

    metric: str | None = Field(
        default=None, description="Metric that models are compared by; default: roc_auc, for a regression rmse"
    )
    baseline_rows: Annotated[int, Field(ge=100)] = Field(
        default=50_000, description="Maximum number of training rows that the linear baseline is fitted on"
    )
    resamples: Annotated[int, Field(ge=100, le=100_000)] = Field(
        default=1_000, description="Bootstrap resamples for each 95 % interval"
    )
    min_segment_rows: Annotated[int, Field(ge=1)] = Field(
        default=200,
        description="Smaller segments are not reported, and groups are not compared by a rate of fewer rows",
    )
    crossings: tuple[tuple[str, str], ...] = Field(
        default=(), description="Pairs of segment columns whose combinations are reported too"
    )
    importance_rows: Annotated[int, Field(ge=0)] = Field(
        default=3_000, description="Test rows for permutation importance; 0 disables it"
    )
    leak_rows: Annotated[int, Field(ge=0)] = Field(
        default=8_000, description="Rows of each part for adversarial validation; 0 disables it"
    )
    seeds: Annotated[int, Field(ge=0, le=50)] = Field(
        default=0, description="Number of refits with other seeds; each takes as long as the training stage"
    )
    learning_curve: bool = Field(
        default=False, description="Refit on 10, 25 and 50 % of the training rows; takes as long as one fit"
    )

    @model_validator(mode="before")
    @classmethod
    def _reject_threshold(cls, values: Any) -> Any:
        if isinstance(values, dict) and "threshold" in values:
            raise ValueError("the threshold is set in training: move it to the section train, as train.threshold")
        return values


class ChampionGate(SettingsSection):
    """What a model must reach in comparison with the champion, on test rows that the champion was not fitted on."""

    require: Literal["not_worse", "better"] = Field(
        default="not_worse", description="better: the interval of the difference must lie above zero"
    )
    margin: NonNegative = Field(
        default=0.005, description="not_worse: largest loss of the metric that is tolerated, with 97.5 % confidence"
    )
    segment_margin: NonNegative = Field(
        default=0.05, description="Largest loss that is tolerated in a segment, with statistical confidence"
    )


class Gates(SettingsSection):
    """What a model must reach; a metric that is missing, NaN or computed on too few rows fails its gate."""

    floors: dict[str, float] = Field(
        default_factory=dict, description="Minimum of each metric, or maximum for errors and losses"
    )
    min_rows: Annotated[int, Field(ge=2)] = Field(
        default=200, description="Minimum number of test rows, and of those to compare with the champion on"
    )
    dummy: Literal["beyond_chance", "better"] = Field(
        default="beyond_chance",
        description="beyond_chance: surely better than a constant; better, for few rows: not surely worse",
    )
    linear_margin: NonNegative = Field(
        default=0.0, description="Largest loss that is tolerated in comparison with the linear baseline"
    )
    champion: ChampionGate = ChampionGate()
    worst_segment: float | None = Field(
        default=None, description="Floor of the metric in every segment; decided by intervals"
    )
    segment_rows: Annotated[int, Field(ge=1)] = Field(
        default=500, description="Minimum number of rows of a segment that the gates consider"
    )
    gaps: dict[Gap, Share] = Field(
        default_factory=dict,
        description="Largest difference between groups of a sensitive column, by rate; decided by intervals",
    )
    max_ece: Share | None = Field(default=None, description="Largest calibration error (ece)")
    max_latency_ms: Positive = Field(default=50.0, description="Processor time to score one row, in milliseconds")
    max_artifact_mb: Positive = Field(default=250.0, description="Size of the artifact")
    max_memory_mb: Positive = Field(default=1_000.0, description="Memory for loading the model and one prediction")
