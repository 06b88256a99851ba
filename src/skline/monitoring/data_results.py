"""The results of a window about data: quality, rejected requests and drift; parts of `WindowResult`.

Floats are finite or None. Intervals are of 95 %. Shares are between 0 and 1. Times are UTC.
"""

from typing import Literal

from pydantic import Field

from skline.monitoring.estimates import Estimate, ResultPart

Measure = Literal["ks_d", "total_variation"]
#: The measures of drift, with their names in findings and on the page.
MEASURES: dict[Measure, str] = {"ks_d": "KS distance", "total_variation": "total variation"}


class ColumnQuality(ResultPart):
    """Quality of an input; the shares are of all rows, `reference_missing` of the training rows.

    `reference_unseen` is the share of unseen categories that is expected without any change.
    """

    column: str
    kind: str
    missing: Estimate
    reference_missing: float
    unseen: Estimate
    reference_unseen: float = 0.0
    outside: Estimate
    is_constant: bool
    is_empty: bool
    has_vanished: bool


class RejectedRule(ResultPart):
    """Requests, and their rows, that were rejected because they break a rule in a column."""

    rule: str
    column: str
    requests: int
    rows: int


class Quality(ResultPart):
    """Quality of the window's data.

    Attributes
    ----------
    expected_rows : float or None
        Mean of the same hours of earlier seasons; None without any.
    rows_ratio : Estimate
        rows / expected_rows.
    by_contract : dict of str to int
        Rows by artifact digest; "" of fallbacks without an artifact.
    by_version : dict of str to int
        Rows by version, of the monitored artifact and of those that were released or registered here.
    by_unknown : dict of str to int
        Rows by digest, of all other artifacts.
    broken_rows : int
        Rows whose inputs or prediction cannot be read; they are left out.
    conflicting_labels : int
        Predictions with labels that contradict each other; the last one is used.
    rejected : Estimate
        Share of rows that were rejected, among these and the predictions; its interval is that of the requests.
    rejections : tuple of RejectedRule
        The most rows first; a request counts for each rule and column that it breaks.
    """

    rows: int
    expected_rows: float | None
    rows_ratio: Estimate
    by_contract: dict[str, int]
    by_version: dict[str, int] = Field(default_factory=dict)
    by_unknown: dict[str, int] = Field(default_factory=dict)
    broken_rows: int
    conflicting_labels: int
    rejected: Estimate = Estimate()
    rejected_requests: int = 0
    rejected_rows: int = 0
    rejections: tuple[RejectedRule, ...] = ()
    columns: tuple[ColumnQuality, ...] = ()


class ColumnDrift(ResultPart):
    """Distance between the distributions of a column in the window and in the reference.

    Attributes
    ----------
    column, kind : str
        `kind` is that of the contract; the column `(score)` is the model's score.
    rows, effective_rows, reference_rows : int, float, int
        `effective_rows` is what the rows are worth as independent ones.
    measure : {"ks_d", "total_variation"}
    effect : Estimate
    p, p_adjusted : float or None
    psi, wasserstein : float or None
        Reported only. `wasserstein` is in standard deviations of the reference.
    importance : float or None
        Share of the model's permutation importance.
    drifted : bool or None
        Whether both effect and adjusted p-value reach their limits; None with too few rows.
    tested : bool
        False for dates and ignored columns, which never alarm.
    bins : tuple of str
        Labels of the histogram's bins; missing and unseen values have their own.
    edges : tuple of float
        Of numbers: the inner edges of the bins, without the last bin, which holds the missing values; dates and times
        in days since 1970. Empty for categories.
    shares, reference_shares : tuple of float
    """

    column: str
    kind: str
    rows: int
    effective_rows: float
    reference_rows: int
    measure: Measure
    effect: Estimate
    p: float | None
    p_adjusted: float | None = None
    psi: float | None
    wasserstein: float | None
    importance: float | None = None
    drifted: bool | None = None
    tested: bool = True
    bins: tuple[str, ...]
    edges: tuple[float, ...] = ()
    shares: tuple[float, ...]
    reference_shares: tuple[float, ...]


class Drift(ResultPart):
    """Data drift of all columns, the largest effect first.

    Attributes
    ----------
    reference : str
        training, season or previous; the score is compared with that of the test part in place of training.
    reference_rows : int
    importance : float or None
        The share of the model's permutation importance that drifted columns have, each weighted by its effect, from 0
        to 1: whether the drift matters. None if the artifact holds no importances.
    obstacle : str or None
        Why nothing was compared; None if something was.
    seasonal : tuple of ColumnDrift
        The same against the seasonal reference, for readers; empty if there is none, or it is the reference.
    """

    reference: str
    reference_rows: int
    importance: float | None
    obstacle: str | None = None
    columns: tuple[ColumnDrift, ...] = ()
    seasonal: tuple[ColumnDrift, ...] = ()
