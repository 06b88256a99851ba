"""Data quality of a window: volume, missing, unseen and out-of-range values, and columns without information.

A share exceeds its allowance if its whole interval does.

Reference: the share of new rows whose category is none of the training rows' is about the share of training rows whose
category occurs once (Good 1953, "The population frequencies of species and the estimation of population parameters").
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skline.counting import counted
from skline.entrypoint import visible
from skline.evaluation.intervals import Z95
from skline.monitoring.checks import Check, is_beyond
from skline.monitoring.clusters import Codes
from skline.monitoring.data_results import ColumnQuality, Quality
from skline.monitoring.estimates import Estimate, estimate, share_estimate, wilson
from skline.settings.monitor import Quality as Allowances

#: A column that was filled at least to this share in training, and is empty now, has vanished.
FILLED = 0.5
PERCENT = 100
#: Unknown artifacts that a message names.
MAX_DIGESTS = 3


def column_quality(
    name: str,
    kind: str,
    values: npt.NDArray[Any],
    profile: Mapping[str, Any],
    *,
    known: frozenset[str] | None = None,
    entities: Codes | None = None,
) -> ColumnQuality:
    """Describe an input of a window.

    Parameters
    ----------
    name, kind : str
    values : float64 array with NaN, or object array of text with None, shape (n,)
    profile : mapping
        The column's entry in the data profile of the artifact.
    known : frozenset of str, optional
        The categories of training; None where they are not all known.
    entities : int64 array, shape (n,), optional
    """
    is_number = values.dtype != object
    missing = np.isnan(values) if is_number else np.array([value is None for value in values], dtype=bool)
    present = values[~missing]
    unseen, outside = Estimate(), Estimate()
    if is_number and "quantiles" in profile:
        low, high = float(profile["quantiles"]["0.0"]), float(profile["quantiles"]["1.0"])
        outside = share_estimate((values < low) | (values > high), entities)
    elif not is_number and known is not None:
        unseen = share_estimate(
            np.array([value is not None and value not in known for value in values], dtype=bool), entities
        )
    reference_missing = float(profile.get("missing", 0.0))
    return ColumnQuality(
        column=name,
        kind=kind,
        missing=share_estimate(missing, entities),
        reference_missing=reference_missing,
        unseen=unseen,
        reference_unseen=0.0 if known is None else _expected_unseen(profile),
        outside=outside,
        is_constant=len(present) > 1 and len(np.unique(present)) == 1 and _varied(profile),
        is_empty=len(values) > 0 and not len(present),
        has_vanished=len(values) > 0 and not len(present) and reference_missing < FILLED,
    )


def known_categories(profile: Mapping[str, Any], kind: str) -> frozenset[str] | None:
    """Return the categories of training as the log writes them; None where they are not all known.

    Profiles name the values of a boolean True and False, or 1.0 and 0.0, and the log true and false.
    """
    categories = profile.get("categories")
    if categories is None or profile.get("other"):
        return None
    if kind == "boolean":
        return frozenset("true" if name in ("True", "1.0") else "false" for name in categories)
    return frozenset(categories)


def rows_ratio(rows: int, earlier: Sequence[int]) -> tuple[float | None, Estimate]:
    """Return the expected rows and the ratio to them, from the rows of the same hours of earlier seasons.

    The counts of earlier seasons vary more than chance alone makes them; their spread widens the interval, which takes
    Student's t for as few of them as there are.
    """
    from scipy.stats import t

    seasons = len(earlier)
    expected = float(np.mean(earlier)) if seasons else 0.0
    if not expected:
        return None, Estimate()
    variance, quantile = expected, Z95  # of a Poisson count, as long as there is one season
    if seasons > 1:
        variance = max(float(np.var(earlier, ddof=1)), expected)
        quantile = float(t.isf(0.025, seasons - 1))
    ratio = rows / expected
    half_width = quantile * math.sqrt(variance * (1 + 1 / seasons)) / expected
    return expected, estimate(ratio, max(ratio - half_width, 0.0), ratio + half_width)


def quality_checks(quality: Quality, allowances: Allowances, min_rows: int, sampled: int) -> list[Check]:
    """Return the checks of the quality of a window.

    Parameters
    ----------
    quality : Quality
    allowances : Quality of the settings
    min_rows, sampled : int
        `sampled` is the number of tested rows; with fewer than `min_rows`, columns are not checked.
    """
    checks = [_rows_check(quality, allowances)]
    total = sum(quality.by_contract.values())
    other = sum(quality.by_unknown.values())
    if total:
        check = _check("other_contract", "rows", wilson(other / total, total), allowances.other_contract)
        message = f"{other:,} of {total:,} rows are of {describe_unknown(quality)}" if other else ""
        raised = bool(check.raised) if total >= min_rows else None
        checks.append(check.model_copy(update={"severity": "warning", "message": message, "raised": raised}))
    if quality.broken_rows:
        checks.append(
            Check(
                part="quality", rule="broken_rows", subject="rows", raised=True, severity="warning",
                value=float(quality.broken_rows), limit=0.0,
                message=f"{counted(quality.broken_rows, 'row')} cannot be read",
            )
        )  # fmt: skip
    for column in quality.columns:
        checks += _column_checks(column, allowances, judged=sampled >= min_rows)
    return checks


def describe_unknown(quality: Quality) -> str:
    """Return what made the rows of artifacts that were neither released nor registered here, with their digests."""
    digests = [f"{visible(digest[:12])}…" for digest in quality.by_unknown]
    listed = ", ".join(digests[:MAX_DIGESTS]) + (" and more" if len(digests) > MAX_DIGESTS else "")
    which = "an artifact that was" if len(digests) == 1 else "artifacts that were"
    return f"{which} neither released nor registered here ({listed})"


def _rows_check(quality: Quality, allowances: Allowances) -> Check:
    return Check.of(
        quality.rows_ratio, part="quality", rule="rows", subject="rows", limit=allowances.rows, rows=quality.rows,
        raised=is_beyond(quality.rows_ratio, minimum=1 - allowances.rows, maximum=1 + allowances.rows),
        message="" if quality.expected_rows is None
        else f"{quality.rows:,} rows where {quality.expected_rows:,.0f} are usual",
    )  # fmt: skip


def _column_checks(column: ColumnQuality, allowances: Allowances, *, judged: bool) -> list[Check]:
    """Return the checks of a column; a column that vanished alarms at once."""
    name, reference = column.column, column.reference_missing
    if not judged:
        return [Check(part="quality", rule="missing", subject=name, raised=None)]
    message = f"{_percent(column.missing)} of {name} is missing, {PERCENT * reference:.1f} % in training"
    check = _check("missing", name, column.missing, min(reference + allowances.missing, 1.0))
    checks = [check.model_copy(update={"message": message})]
    if column.unseen.value is not None:
        message = f"{_percent(column.unseen)} of {name} are values that training did not see"
        if column.reference_unseen:
            message += f", where {PERCENT * column.reference_unseen:.1f} % are usual"
        check = _check("unseen", name, column.unseen, min(column.reference_unseen + allowances.unseen, 1.0))
        checks.append(check.model_copy(update={"message": message}))
    if column.outside.value is not None:
        message = f"{_percent(column.outside)} of {name} lie outside the range of training"
        checks.append(
            _check("outside", name, column.outside, allowances.outside).model_copy(update={"message": message})
        )
    gone = column.is_constant or column.has_vanished
    state = "is empty" if column.has_vanished else "has a single value"
    checks.append(
        Check(
            part="quality", rule="vanished", subject=name, raised=gone, immediate=True,
            message=f"{name} {state}, and varied in training" if gone else "",
        )
    )  # fmt: skip
    return checks


def _check(rule: str, subject: str, share: Estimate, limit: float) -> Check:
    exceeded = bool(is_beyond(share, maximum=limit))
    return Check.of(share, part="quality", rule=rule, subject=subject, raised=exceeded, limit=limit)


def _varied(profile: Mapping[str, Any]) -> bool:
    """Return whether the column had more than one value in training."""
    if "quantiles" in profile:
        return bool(profile["quantiles"]["0.0"] < profile["quantiles"]["1.0"])
    if "categories" in profile:
        return len(profile["categories"]) > 1
    return profile.get("from") != profile.get("to")


def _expected_unseen(profile: Mapping[str, Any]) -> float:
    """Return the share of rows that are expected to have a category which training did not see."""
    counts: Collection[int] = profile.get("categories", {}).values()
    return sum(1 for count in counts if count == 1) / max(sum(counts), 1)


def _percent(share: Estimate) -> str:
    return f"{PERCENT * (share.value or 0.0):.1f} %"
