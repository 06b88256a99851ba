"""The parts of a window's result about data, each from rows and a reference; no part reads a file or a clock."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from skline.artifact import Artifact
from skline.contract.spec import Column
from skline.monitoring import drift, quality
from skline.monitoring.clusters import Codes
from skline.monitoring.data_results import ColumnDrift, ColumnQuality, Drift, Quality
from skline.monitoring.reader import Summary
from skline.monitoring.reference import SCORE, TrainingReference, reference_of
from skline.monitoring.rows import LoggedRows
from skline.settings.monitor import Monitor

#: Drift of dates and times is reported, never tested: they differ from training's by themselves.
UNTESTED_KINDS = ("date", "datetime")
#: Rows that the quantiles of the scores stand for at most: between two quantiles the distribution is not known.
MAX_QUANTILE_ROWS = 5_000


def column_quality(column: Column, rows: LoggedRows, artifact: Artifact) -> ColumnQuality:
    """Describe the quality of an input."""
    profile = artifact.profile.get("columns", {}).get(column.name, {})
    known = quality.known_categories(profile, column.kind)
    return quality.column_quality(
        column.name, column.kind, rows.inputs[column.name], profile, known=known, entities=rows.entities
    )


def describe_quality(
    summary: Summary, earlier: Sequence[int], columns: Sequence[ColumnQuality], known: Mapping[str, str]
) -> Quality:
    """Return the quality of a window.

    Parameters
    ----------
    summary : Summary
    earlier : sequence of int
        Rows of the same hours of earlier seasons.
    columns : sequence of ColumnQuality
    known : mapping of str to str
        Version by digest of the monitored artifact, and of those that were released or registered here.
    """
    by_version: Counter[str] = Counter()
    for digest, rows in summary.by_digest.items():
        if digest in known:
            by_version[known[digest]] += rows
    unknown = {digest: rows for digest, rows in summary.by_digest.items() if digest and digest not in known}
    expected, ratio = quality.rows_ratio(summary.rows, earlier)
    return Quality(
        rows=summary.rows,
        expected_rows=expected,
        rows_ratio=ratio,
        by_contract=summary.by_digest,
        by_version=dict(by_version),
        by_unknown=unknown,
        broken_rows=summary.broken,
        conflicting_labels=summary.conflicting_labels,
        columns=tuple(columns),
    )


def column_drift(
    column: Column, values: npt.NDArray[Any], reference: npt.NDArray[Any], entities: Codes | None,
    reference_entities: Codes | None, settings: Monitor,
) -> ColumnDrift:  # fmt: skip
    """Compare an input with its reference."""
    compare = drift.category_drift if values.dtype == object else drift.numeric_drift
    result = compare(column.name, column.kind, values, reference, entities, reference_entities)
    return result.model_copy(
        update={"tested": column.kind not in UNTESTED_KINDS and column.name not in settings.drift.ignore}
    )


def score_drift(rows: LoggedRows, reference: TrainingReference, other: LoggedRows | None) -> ColumnDrift | None:
    """Compare the scores with those of other rows, or with the quantiles on the test part; None without either."""
    if other is not None:
        return drift.numeric_drift(SCORE, "number", rows.scores, other.scores, rows.entities, other.entities)
    if len(reference.score_quantiles) < 2 or not reference.test_rows:
        return None
    size = min(reference.test_rows, MAX_QUANTILE_ROWS)
    return drift.quantile_drift(SCORE, rows.scores, reference.score_quantiles, size, rows.entities)


def describe_drift(
    name: str, columns: Sequence[ColumnDrift], reference: TrainingReference, settings: Monitor,
    seasonal: Sequence[ColumnDrift] = (),
) -> Drift:  # fmt: skip
    """Decide which columns have drifted, and put them in order."""
    limits = (settings.drift.effect, settings.drift.alpha, settings.min_rows)
    decided = [
        each.model_copy(update={"importance": reference.importance_share(each.column)})
        for each in drift.adjust(columns, *limits)
    ]
    decided.sort(key=lambda each: (not each.drifted, -(each.effect.value or 0.0)))
    own = [each for each in columns if reference_of(each.column, name) == name]
    return Drift(
        reference=name,
        reference_rows=max((each.reference_rows for each in own or columns), default=0),
        importance=drift.weighted_importance(decided, reference.importance),
        columns=tuple(decided),
        seasonal=tuple(drift.adjust(seasonal, *limits)),
    )
