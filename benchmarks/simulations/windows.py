"""Simulated windows of 20 columns, and which rules raise an alarm in them.

Windows come in streams, as in reality: those of a stream share the reference, so that a reference which happens to be
unusual shows in all of them.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skline.artifact.data_profile import profile
from skline.contract.spec import Column, Contract
from skline.monitoring.checks import Check
from skline.monitoring.data_results import ColumnDrift, Drift, Quality
from skline.monitoring.drift import adjust, category_drift, numeric_drift, quantile_edges
from skline.monitoring.estimates import Estimate
from skline.monitoring.judgement import drift_checks
from skline.monitoring.persistence import PastWindow, distinct_windows, with_state
from skline.monitoring.quality import column_quality, quality_checks
from skline.settings.monitor import Monitor

Values = npt.NDArray[Any]
Change = Callable[[Values], Values]
SETTINGS = Monitor()
COLUMNS = 20
REFERENCE_ROWS = 5_000
ENTITIES = 200
#: Windows of a stream; the state of the last four is known from two earlier ones.
STREAM, WITH_HISTORY = 6, 4
DAY = dt.timedelta(days=1)
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Kind(NamedTuple):
    """How a column is drawn: `values(random, n)`; categories are text."""

    name: str
    is_text: bool
    values: Callable[[np.random.Generator, int], Values]


def _categories(shares: npt.NDArray[np.float64]) -> Callable[[np.random.Generator, int], Values]:
    names = np.array([f"c{number}" for number in range(len(shares))], dtype=object)
    return lambda random, n: random.choice(names, n, p=shares / shares.sum())


def _unique_texts(random: np.random.Generator, n: int) -> Values:
    return np.array([f"order {number}" for number in random.integers(0, 10**12, n)], dtype=object)


NUMBER = Kind("number", False, lambda random, n: random.normal(size=n))
SKEWED = Kind("skewed number", False, lambda random, n: random.lognormal(0, 1.5, n))
COUNT = Kind("count", False, lambda random, n: random.poisson(2, n).astype(np.float64))
CATEGORY = Kind("category", True, _categories(np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.05])))
FIFTY = Kind("50 equal categories", True, _categories(np.ones(50)))
RARE = Kind("2,000 categories, most of them rare", True, _categories(1 / np.arange(1.0, 2_001)))
UNIQUE = Kind("unique texts", True, _unique_texts)

#: Tables by name: their kinds of column, repeated up to 20.
TABLES: dict[str, tuple[Kind, ...]] = {
    "numbers": (NUMBER, SKEWED, COUNT),
    "categories": (CATEGORY,),
    "mixed": (NUMBER, CATEGORY, COUNT, FIFTY),
    "open text": (RARE, UNIQUE, FIFTY),
}


class Verdicts(NamedTuple):
    """Whether each rule alarms in a window; skline's own for one window, and for 2 of 3 windows."""

    raised: bool
    alarm: bool
    p_value: bool
    psi: bool
    bonferroni: bool


class Reference(NamedTuple):
    """The training rows, and their profile."""

    kinds: tuple[Kind, ...]
    columns: tuple[Values, ...]
    profile: dict[str, Any]


def draw(random: np.random.Generator, kind: Kind, rows: int, entities: Any) -> Values:
    """Draw a column; with entities, 70 % of the rows have the value of their entity, numbers with some noise."""
    values = kind.values(random, rows)
    if entities is None:
        return values
    own = kind.values(random, ENTITIES)[entities]
    if kind is NUMBER:
        own = own + 0.1 * random.normal(size=rows)
    return np.where(random.random(rows) < 0.7, own, values)


def draw_reference(random: np.random.Generator, table: str, *, clustered: bool) -> Reference:
    """Draw the training rows of a table, of entities of their own."""
    kinds = tuple(TABLES[table][index % len(TABLES[table])] for index in range(COLUMNS))
    entities = random.integers(0, ENTITIES, REFERENCE_ROWS) if clustered else None
    columns = tuple(draw(random, kind, REFERENCE_ROWS, entities) for kind in kinds)
    contract = Contract(
        title=table, task="regression",
        columns=tuple(
            Column(name=f"c{index}", kind="string" if kind.is_text else "number") for index, kind in enumerate(kinds)
        ),
    )  # fmt: skip
    described = profile(pa.table({f"c{index}": pa.array(column) for index, column in enumerate(columns)}), contract)
    return Reference(kinds, columns, described["columns"])


def judge_stream(
    random: np.random.Generator, table: str, rows: int, change: tuple[int, Change] | None, *, clustered: bool
) -> Iterator[Verdicts]:
    """Yield the verdicts of the windows of a stream that have a history; `change` is that of one column, by number."""
    reference = draw_reference(random, table, clustered=clustered)
    past: list[PastWindow] = []
    for number in range(STREAM):
        start = START + number * DAY
        entities = random.integers(0, ENTITIES, rows) if clustered else None
        window = [draw(random, kind, rows, entities) for kind in reference.kinds]
        if change is not None:
            window[change[0]] = change[1](window[change[0]])
        checks = window_checks(window, reference, entities)
        history = distinct_windows(past, start, SETTINGS.of_windows - 1)
        states = [with_state(check, start, history, SETTINGS.persist).state for check in checks]
        past.append(PastWindow(start, start + DAY, {check.key: check.raised for check in checks}))
        if number >= STREAM - WITH_HISTORY:
            p, psi = zip(*map(common_figures, window, reference.columns), strict=True)
            yield Verdicts(
                raised=any(check.raised for check in checks),
                alarm="alarm" in states,
                p_value=min(p) < 0.05,
                psi=max(psi) > 0.1,
                bonferroni=min(p) < 0.05 / COLUMNS,
            )


def window_checks(window: list[Values], reference: Reference, entities: Any) -> list[Check]:
    """Return skline's checks of quality and drift of a window."""
    drifts: list[ColumnDrift] = []
    qualities = []
    for index, (values, known) in enumerate(zip(window, reference.columns, strict=True)):
        name, text = f"c{index}", reference.kinds[index].is_text
        summary = reference.profile[name]
        seen = frozenset(summary["categories"]) if text and not summary["other"] else None
        compare = category_drift if text else numeric_drift
        drifts.append(compare(name, "string" if text else "number", values, known, entities))
        qualities.append(column_quality(name, "string", values, summary, known=seen, entities=entities))
    rows = len(window[0])
    decided = adjust(drifts, SETTINGS.drift.effect, SETTINGS.drift.alpha, SETTINGS.min_rows)
    drift = Drift(reference="training", reference_rows=REFERENCE_ROWS, importance=None, columns=tuple(decided))
    quality = Quality(
        rows=rows, expected_rows=None, rows_ratio=Estimate(), by_contract={}, broken_rows=0, conflicting_labels=0,
        columns=tuple(qualities),
    )  # fmt: skip
    return [*quality_checks(quality, SETTINGS.quality, SETTINGS.min_rows, rows), *drift_checks(drift, SETTINGS)]


def common_figures(values: Values, reference: Values) -> tuple[float, float]:
    """Return p-value and population stability index as they are commonly computed, which take rows for independent.

    The tests are Kolmogorov-Smirnov and chi-square; the bins of the index are ten quantiles, or all categories.
    """
    from scipy.stats import chi2_contingency, ks_2samp

    if values.dtype == object:
        names = sorted({*values.tolist(), *reference.tolist()} - {None})
        index = {name: number for number, name in enumerate(names)}
        counts = np.array(
            [np.bincount([index[each] for each in part.tolist() if each is not None], minlength=len(names))
             for part in (values, reference)]
        )  # fmt: skip
        p = float(chi2_contingency(counts).pvalue) if len(names) > 1 else 1.0
    else:
        present = values[np.isfinite(values)]
        p = float(ks_2samp(present, reference, method="asymp").pvalue)
        edges = quantile_edges(reference)[1::2]
        counts = np.array(
            [np.bincount(np.searchsorted(edges, part), minlength=len(edges) + 1) for part in (present, reference)]
        )
    shares = np.maximum(counts / counts.sum(axis=1, keepdims=True), 1e-4)
    return p, float(((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).sum())


def shifted(size: float) -> Change:
    """Return a change that adds to numbers."""
    return lambda values: values + size


def missing(values: Values) -> Values:
    """Remove 30 % of the values."""
    return np.where(np.arange(len(values)) % 10 < 3, np.array(None if values.dtype == object else np.nan), values)


def new_category(values: Values) -> Values:
    """Replace 10 % of the values by a new one."""
    return np.where(np.arange(len(values)) % 10 < 1, "new", values).astype(object)


def outlier(values: Values) -> Values:
    """Make one value absurd."""
    return np.where(np.arange(len(values)) == 0, 1e12, values)


#: Changes of one column of the mixed table: rows, its number, the change.
CHANGES: dict[str, tuple[int, int, Change]] = {
    "shift of 0.5 sd": (300, 0, shifted(0.5)),
    "shift of 0.05 sd": (100_000, 0, shifted(0.05)),
    "new category at 10 %": (300, 1, new_category),
    "30 % of a number missing": (300, 0, missing),
    "30 % of a category missing": (300, 1, missing),
    "unit × 1,000": (300, 0, lambda values: values * 1_000),
    "constant column": (300, 0, lambda values: np.full(len(values), 0.1)),
    "one absurd outlier": (300, 0, outlier),
}
