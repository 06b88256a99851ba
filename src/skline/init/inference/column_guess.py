"""What `skline init` infers about a column, and why."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import pandas as pd

from skline.contract.spec import Kind

#: The roles of a contract; "leak" is a column whose value is known only after the target, "excluded" a useless one.
GuessedRole = Literal["input", "target", "id", "time", "group", "leak", "excluded"]


@dataclass
class ColumnGuess:
    """One column of the table.

    Attributes
    ----------
    values : Series of shape (n_rows,)
        The cells as `skline.contract.column_parsing` reads them; at most
        `skline.init.inference.table.SAMPLE_ROWS` rows.
    reasons : list of str
        Why the kind and the role were chosen, the latest last.
    doubts : list of str
        What a person should check.
    missing : list of str or None
        Texts that stand for a missing value in this column; None if they are the usual ones.
    near_miss : str
        What a column of text is but for some cells, and these cells; empty if it is nothing else.
    labels : str or None
        How a column of booleans writes true and false in words, such as "Yes/No".
    with_point : bool
        Whether whole numbers are written or stored as numbers that may have a fraction, such as `127.0`.
    """

    name: str
    kind: Kind
    values: pd.Series
    reasons: list[str]
    role: GuessedRole = "input"
    notation: str | None = None
    missing: list[str] | None = None
    near_miss: str = ""
    labels: str | None = None
    with_point: bool = False
    feature_group: str | None = None
    choices: list[Any] | None = None
    bounds: dict[str, Any] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)

    @property
    def nullable(self) -> bool:
        """Whether any cell is missing."""
        return bool(self.values.isna().any())

    @cached_property
    def counts(self) -> "pd.Series[int]":
        """The number of rows with each value, the most frequent first."""
        return self.values.value_counts()

    @property
    def n_distinct(self) -> int:
        """The number of distinct values; a conversion of the numbers to another dtype does not change it."""
        return len(self.counts)

    def assign_role(self, role: GuessedRole, reason: str) -> None:
        """Set the role of a column that is not an input."""
        self.role = role
        self.reasons.append(reason)
