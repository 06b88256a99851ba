"""The setting `train.threshold` of params.yaml: from which probability on a binary model says yes."""

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from skline.section import NotNegative, Positive, Section, Share


class Objective(Section):
    """What the operating threshold of a binary model is to make best, on the validation part."""

    objective: Literal["fbeta", "cost", "recall"]
    beta: Positive = Field(default=1.0, description="fbeta: recall counts beta times as much as precision")
    false_positive: NotNegative = Field(default=1.0, description="cost: of a false alarm")
    false_negative: NotNegative = Field(default=1.0, description="cost: of a case that is missed")
    floor: Share = Field(default=0.8, description="recall: the best precision among thresholds that reach this recall")

    @model_validator(mode="after")
    def _cost_is_one(self) -> Self:
        if self.objective == "cost" and not self.false_positive + self.false_negative:
            raise ValueError("a cost objective needs a false_positive or a false_negative above 0")
        return self

    def words(self) -> str:
        """Say what is made best."""
        match self.objective:
            case "fbeta":
                return f"best F{self.beta:g}"
            case "cost":
                return f"least cost, {self.false_positive:g} a false alarm and {self.false_negative:g} a missed case"
        return f"best precision at a recall of at least {self.floor:g}"


def _form(value: object) -> str:
    """Which of its two forms a threshold has, so that a fault is told of this one alone."""
    return OBJECTIVE if isinstance(value, dict | Objective) else NUMBER


NUMBER, OBJECTIVE = "(number)", "(objective)"
Wanted = Annotated[
    Annotated[Share, Tag(NUMBER)] | Annotated[Objective, Tag(OBJECTIVE)],
    Discriminator(_form),
]
