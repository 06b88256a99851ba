"""Settings of the fallbacks."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class FallbackSettings(BaseModel):
    """The chain that a request goes along when the model fails on it; its end is a 503.

    A request that breaks the contract, or that the model refuses by a rule of its own, is no failure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    chain: tuple[Literal["previous", "fixed", "rule"], ...] = Field(
        default=("previous",), description="previous: the model before; fixed: `answer`; rule: the function `rule`"
    )
    answer: dict[str, Any] | None = Field(
        default=None, description='Of "fixed": {"prediction": …, "probabilities": {class: …}}'
    )
    rule: str | None = Field(default=None, description='Of "rule": module:function, row → an answer as `answer` has it')
