"""The categories of a window and of its reference, counted in bins that two samples of one distribution share.

A category that is expected often enough in both samples has a bin of its own. The rest have one together, whether the
reference has them or not: most values of an open text column, such as a name or a number of an order, occur once, and
two samples of it have none of them in common. The bins follow from the counts of both samples together, on which a test
of homogeneity is conditional; bins chosen by one of the samples would differ without any drift.

Reference: the rule for expected counts is that of Cochran 1954, "Some methods for strengthening the common chi-square
tests".
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skline.monitoring.clusters import Codes, Floats

#: Maximum number of categories with a bin of their own.
MAX_CATEGORIES = 50
#: Rows that a bin is expected to have among the independent ones of the smaller sample; up to a fifth of the bins may
#: have fewer, but at least 1.
USUAL_EXPECTED, MIN_EXPECTED, MAX_RARE_SHARE = 5, 1, 0.2
MISSING, UNSEEN, OTHER = "(missing)", "(unseen)", "(other)"


class Categories(NamedTuple):
    """Counts by bin.

    Attributes
    ----------
    labels : tuple of str
        Categories of the reference by their frequency, then those below.
    counts, reference_counts : float64 arrays, shape (k,)
        `OTHER` counts all rare categories, `UNSEEN` frequent ones that the reference lacks.
    codes : int64 array, shape (n,)
        The bin of each row of the window.
    """

    labels: tuple[str, ...]
    counts: Floats
    reference_counts: Floats
    codes: Codes


def count_categories(values: npt.NDArray[Any], reference: npt.NDArray[Any], sizes: tuple[int, int]) -> Categories:
    """Count the categories of a window and its reference.

    Parameters
    ----------
    values, reference : object arrays, shapes (n,) and (m,)
        Text, or None where missing; n and m are at least 1.
    sizes : (int, int)
        Independent rows of both. Rows of one entity count once: the name of a customer is frequent if it is that of
        many customers, not if one customer has many rows.
    """
    import pandas as pd

    raw, names = pd.factorize(np.concatenate([values, reference]))
    n = len(values)
    window, known = (np.bincount(part[part >= 0], minlength=len(names)) for part in (raw[:n], raw[n:]))
    # Weighted by the independent rows, the pooled share does not depend on the difference of both shares.
    pooled = (window / n * sizes[0] + known / len(reference) * sizes[1]) / sum(sizes)
    expected: Floats = pooled * min(sizes)
    frequent = np.flatnonzero(expected >= MIN_EXPECTED)
    frequent = frequent[np.argsort(-expected[frequent], kind="stable")][:MAX_CATEGORIES]
    frequent = frequent[: _own_bins(int((expected[frequent] >= USUAL_EXPECTED).sum()))]
    seen = frequent[known[frequent] > 0]
    other, missing, unseen = len(seen), len(seen) + 1, len(seen) + 2
    # The last entry is that of the code -1, a missing value.
    bins = np.full(len(names) + 1, other)
    bins[seen], bins[frequent[known[frequent] == 0]], bins[-1] = np.arange(len(seen)), unseen, missing
    codes: Codes = bins[raw].astype(np.int64)
    return Categories(
        labels=(*(str(names[index]) for index in seen), OTHER, MISSING, UNSEEN),
        counts=np.bincount(codes[:n], minlength=unseen + 1).astype(np.float64),
        reference_counts=np.bincount(codes[n:], minlength=unseen + 1).astype(np.float64),
        codes=codes[:n],
    )


def _own_bins(common: int) -> int:
    """Return how many categories have a bin of their own: `common` ones, which are not rare, and at least one rare."""
    return common + max(1, int(common * MAX_RARE_SHARE / (1 - MAX_RARE_SHARE)))
