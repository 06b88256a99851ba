"""What `skline init` believes about a column, and why."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from skline.contract.spec import Kind

#: Beside the contract's roles: known too late, or of no use.
Part = Literal["input", "target", "id", "time", "group", "leak", "left out"]


@dataclass
class Guess:
    """One column of the table.

    `values` are the cells as `skline.contract.parse` reads them, of at most `skline.init.table.SAMPLE_ROWS` rows.
    """

    name: str
    kind: Kind
    values: pd.Series
    reasons: list[str]
    part: Part = "input"
    written: str | None = None
    feature_group: str | None = None
    choices: list[Any] | None = None
    bounds: dict[str, Any] = field(default_factory=dict)
    looks: list[str] = field(default_factory=list)

    @property
    def nullable(self) -> bool:
        """Whether a cell is missing."""
        return bool(self.values.isna().any())

    def leave_out(self, part: Part, reason: str) -> None:
        """Make it no input."""
        self.part = part
        self.reasons.append(reason)
