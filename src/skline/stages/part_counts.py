"""What the stage split counts of a part, batch by batch, and the rules that the counts must satisfy."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from skline.contract.rare_classes import rare_class_remedy
from skline.contract.spec import Contract
from skline.counting import counted
from skline.errors import SklineError
from skline.row_weights import WEIGHT
from skline.split_rule import Split


@dataclass
class PartCount:
    """The rows, classes, times and weights of a part.

    Attributes
    ----------
    n_rows : int
    classes : Counter
        The rows of each class; empty for a regression.
    target_sum : float
        Of a regression.
    first, last : Timestamp or None
        The span of the column of role `time`.
    weight_sum, weight_square_sum : float or None
        None if the part has no weights.
    """

    n_rows: int = 0
    classes: Counter[Any] = field(default_factory=Counter)
    target_sum: float = 0.0
    first: pd.Timestamp | None = None
    last: pd.Timestamp | None = None
    weight_sum: float | None = None
    weight_square_sum: float = 0.0

    @classmethod
    def of(cls, rows: pd.DataFrame, contract: Contract) -> "PartCount":
        """Count all rows of a part."""
        count = cls()
        count.add(rows, contract)
        return count

    def add(self, rows: pd.DataFrame, contract: Contract) -> None:
        """Count rows of the part."""
        self.n_rows += len(rows)
        target = rows[contract.target.name]
        if contract.classes is None:
            self.target_sum += float(target.sum())
        else:
            self.classes.update(target.value_counts().to_dict())
        if times := contract.with_role("time"):
            moments = rows[times[0].name].dropna()
            if len(moments):
                self.first = moments.min() if self.first is None else min(self.first, moments.min())
                self.last = moments.max() if self.last is None else max(self.last, moments.max())
        if WEIGHT in rows:
            weights = rows[WEIGHT].to_numpy()
            self.weight_sum = (self.weight_sum or 0.0) + float(weights.sum())
            self.weight_square_sum += float((weights**2).sum())


def describe_parts(parts: Mapping[str, pd.DataFrame], contract: Contract) -> dict[str, Any]:
    """Return `describe_counts` of parts in memory."""
    return describe_counts({name: PartCount.of(rows, contract) for name, rows in parts.items()}, contract)


def describe_counts(counts: Mapping[str, PartCount], contract: Contract) -> dict[str, Any]:
    """Return the number and share of rows, the target's mean or class shares, and the time span of each part.

    Of weighted parts also the number of rows of equal weight whose mean has the same variance (Kish 1965, "Survey
    Sampling").
    """
    summary: dict[str, Any] = {}
    total = max(sum(count.n_rows for count in counts.values()), 1)
    for name, count in counts.items():
        summary[name] = {"rows": count.n_rows, "share": round(count.n_rows / total, 4)}
        if count.weight_sum is not None:
            square = count.weight_square_sum
            summary[name]["effective_rows"] = round(count.weight_sum**2 / square if square else 0.0, 1)
        if not count.n_rows:
            continue
        if contract.classes is None:
            summary[name]["target_mean"] = round(count.target_sum / count.n_rows, 6)
        else:
            shares = {key: count.classes[key] / count.classes.total() for key in sorted(count.classes)}
            summary[name]["class_shares"] = {str(key): round(share, 6) for key, share in shares.items()}
        if contract.with_role("time"):
            summary[name]["from"], summary[name]["to"] = str(count.first or pd.NaT), str(count.last or pd.NaT)
    return summary


def check_counts(
    counts: Mapping[str, PartCount], contract: Contract, settings: Split, remedy: Callable[[], str]
) -> None:
    """Raise SklineError for an empty part, or a part without a class; `remedy` says which settings decide the parts."""
    target = contract.target.name
    for name, count in counts.items():
        if name == "live" and not (settings.live or settings.live_from):
            continue
        if not count.n_rows:
            raise SklineError(f"split: the part {name!r} is empty; {remedy()}")
        missing = set(contract.classes or ()) - set(count.classes)
        if missing and name != "live":
            raise SklineError(
                f"split: the part {name!r} ({counted(count.n_rows, 'row')}) has no row with {target} = "
                f"{', '.join(map(str, sorted(missing)))}; {remedy()}, collect more such rows, or "
                f"{rare_class_remedy(target)}"
            )
