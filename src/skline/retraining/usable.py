"""Find out before a training whether it can learn from the labels that have matured."""

import numpy as np

from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.retraining.matured import Matured
from skline.retraining.snapshot import SnapshotContent, build_content
from skline.stages.declared import Declared

#: Rows that are checked, spread over the period: a decision is to take a moment, however many labels there are.
CHECKED_ROWS = 1_000


def find_fault(matured: Matured, declared: Declared, full_coverage: float) -> str | None:
    """Say why none of the rows that matured can be in a snapshot; None if one can, or there are none.

    Parameters
    ----------
    matured : Matured
    declared : Declared
    full_coverage : float
        As for `build_content`.
    """
    count = matured.rows.num_rows
    if not count:
        return None
    positions = np.unique(np.linspace(0, count - 1, CHECKED_ROWS).round().astype(np.int64))
    checked = Matured(matured.rows.take(positions), matured.predictions)
    try:
        content = build_content(checked, declared, full_coverage)
    except SklineError as error:  # of prepare_feedback
        return str(error)
    return describe_unusable(content, declared.contract) if content.rows.empty else None


def describe_unusable(content: SnapshotContent, contract: Contract) -> str:
    """Say why a snapshot without a row is empty, and what helps."""
    named = [f"{each.name} is the entity that a request names, such as in the header X-Entity-ID; "
             for each in contract.with_role("group")]  # fmt: skip
    return (
        f"none of {content.left_out + content.superseded:,} labelled predictions keeps the contract: "
        f"{'; '.join(content.broken_rules)}. {''.join(named)}prepare_feedback() in src/model/source.py can derive "
        "columns that are no inputs; an input has to be in the log"
    )
