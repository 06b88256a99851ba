"""The section `train` of params.yaml: parameters, search, calibration, operating threshold, interval."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from skline.settings.base import NonNegative, Positive, SettingsSection, Share
from skline.settings.monitor import Duration, format_duration


class Range(SettingsSection):
    """Numbers from `low` to `high`, integers if both are; with `log` they are drawn uniformly on a log scale."""

    low: int | float = Field(description="Smallest value")
    high: int | float = Field(description="Largest value")
    log: bool = Field(default=False, description="Draw uniformly on a log scale")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"with log: true, low must be above 0, got {self.low}")
        return self


class Search(SettingsSection):
    """A search for better parameters, by cross-validation on the training part."""

    candidates: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=0, description="Configurations to try, including the default one; 0 disables the search"
    )
    folds: Annotated[int, Field(ge=2, le=20)] = Field(default=3, description="Times each configuration is fitted")
    seconds: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Start no further candidate after these seconds; the result then depends on the machine",
    )
    metric: str | None = Field(
        default=None, description="A scorer of scikit-learn; by default log loss (classes) or RMSE (numbers)"
    )
    space: dict[str, Annotated[list[Any], Field(min_length=1)] | Range] = Field(
        default_factory=dict,
        description="step__parameter: [values] or {low, high, log}; by default a space that suits the estimator",
    )


class Objective(SettingsSection):
    """The objective that the operating threshold of a binary model optimises on the validation part."""

    objective: Literal["fbeta", "cost", "recall"] = Field(
        description="fbeta: best F score; cost: lowest cost; recall: best precision above a minimum of the recall"
    )
    beta: Positive = Field(default=1.0, description="fbeta: recall weighs beta times as much as precision")
    false_positive: NonNegative = Field(default=1.0, description="cost: of a false positive")
    false_negative: NonNegative = Field(default=1.0, description="cost: of a false negative")
    floor: Share = Field(default=0.8, description="recall: the minimum; precision is optimised above it")

    @model_validator(mode="after")
    def _check_cost(self) -> Self:
        if self.objective == "cost" and not self.false_positive + self.false_negative:
            raise ValueError("a cost objective needs a false_positive or a false_negative above 0")
        return self

    def describe(self) -> str:
        """Return the objective as a phrase, for reports."""
        match self.objective:
            case "fbeta":
                return f"best F{self.beta:g}"
            case "cost":
                costs = f"{self.false_positive:g} per false positive, {self.false_negative:g} per false negative"
                return f"lowest cost, {costs}"
        return f"best precision at a recall of at least {self.floor:g}"


#: Tags of the two forms of a threshold, so that an error message is about the form that was given.
NUMBER_TAG, OBJECTIVE_TAG = "(number)", "(objective)"


def _number_or_objective(value: object) -> object:
    """Reject what is neither, with a message about both; the range of a number is checked later."""
    if isinstance(value, int | float | dict | Objective):
        return value
    try:
        return float(str(value))
    except ValueError:
        raise ValueError(
            "neither a number from 0 to 1 nor an objective, which is written {objective: fbeta}, {objective: cost} or "
            "{objective: recall}"
        ) from None


def _threshold_tag(value: object) -> str:
    return OBJECTIVE_TAG if isinstance(value, dict | Objective) else NUMBER_TAG


ThresholdSetting = Annotated[
    Annotated[Share, Tag(NUMBER_TAG)] | Annotated[Objective, Tag(OBJECTIVE_TAG)],
    Discriminator(_threshold_tag),
    BeforeValidator(_number_or_objective),
]


class Weights(SettingsSection):
    """Weights of the rows that the pipeline is fitted and tuned on; by default all rows count alike."""

    half_life: Duration | None = Field(
        default=None,
        description="Age at which a row counts half as much as the newest training row, by its time, such as 90d",
    )
    selection: Literal["inclusion_probability"] | None = Field(
        default=None,
        description="inclusion_probability: of the feedback, take the rows that were drawn at random for review, each "
        "for the number of predictions that it stands for, and leave out those whose label a decision selected",
    )

    def describe(self) -> list[str]:
        """Return the weights as sentences, for reports; none if all rows count alike."""
        sentences = []
        if self.half_life is not None:
            age = format_duration(self.half_life)
            sentences.append(f"A row that is {age} older than the newest training row counts half as much.")
        if self.selection is not None:
            sentences.append(
                "Of the feedback, only rows that were drawn at random for review are used, each weighted by 1 / the "
                "probability of being drawn: the model is about all predictions, not about those with a label."
            )
        return sentences


#: Bytes of the units of a size.
UNITS = {"MB": 10**6, "GB": 10**9}
MemorySize = Annotated[str, Field(pattern=r"^[1-9][0-9]*(\.[0-9]+)?(MB|GB)$", title="Memory size")]


Take = Literal["random", "stratified", "newest"]


class Train(SettingsSection):
    """How the pipeline is fitted and tuned."""

    seed: int = Field(default=17, description="Seed of every step whose random_state is not set, and of the search")
    params: dict[str, Any] = Field(
        default_factory=dict, description="Parameters of the Pipeline, as step__parameter: value"
    )
    search: Search = Search()
    weights: Weights = Weights()
    rows: Annotated[int, Field(gt=0)] | None = Field(
        default=None, description="Rows of the training part to fit on, at most; null: all that fit in train.memory"
    )
    memory: MemorySize | None = Field(
        default=None,
        description="Memory that the fit may use, by an estimate from the size of the rows, such as 8GB; null: half of "
        "what the machine, or the container, has",
    )
    take: Take = Field(
        default="random",
        description="Which rows if not all: random (by a hash of the row), stratified (the same share of every "
        "class) or newest (by time)",
    )
    calibrate: Literal["auto", "off", "sigmoid", "isotonic"] = Field(
        default="auto", description="How a classifier's probabilities are calibrated on the validation part"
    )
    threshold: ThresholdSetting = Field(
        default=0.5,
        description="Probability at which a binary model predicts the second class, in /predict too; or an objective",
    )
    interval: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.9, description="Coverage of a regressor's prediction intervals"
    )
    golden_rows: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=64, description="Validation rows whose predictions are stored and verified on every load of the model"
    )

    @property
    def memory_bytes(self) -> int | None:
        """`memory` in bytes."""
        return None if self.memory is None else int(float(self.memory[:-2]) * UNITS[self.memory[-2:]])
