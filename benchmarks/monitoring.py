"""Does monitoring alarm when it should, and only then? Simulations with known truth, beside three common rules.

    uv run python -m benchmarks.monitoring            # minutes; writes docs/benchmarks/monitoring.md
    uv run python -m benchmarks.monitoring --quick    # seconds, few repetitions; writes nothing

The rules beside it: a Kolmogorov-Smirnov (for categories chi-square) p-value below 0.05 in any column; a population
stability index above 0.1 in any column; the p-value below 0.05 divided by the number of columns (Bonferroni).
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skline.evaluation.resampling import BinarySample
from skline.monitoring.concept import detect_rises
from skline.monitoring.drift import adjust, category_drift, numeric_drift
from skline.monitoring.performance import metric_estimates, score_bands
from skline.monitoring.quality import column_quality
from skline.monitoring.result import ColumnDrift
from skline.settings.monitor import Monitor

PAGE = Path("docs/benchmarks/monitoring.md")
SEED = 20261129
COLUMNS = 20
REFERENCE_ROWS = 5_000
ENTITIES = 200
CATEGORIES = np.array(list("abcdefgh"), dtype=object)
SHARES = (0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.05)
SETTINGS = Monitor()
#: Windows by their rows.
NO_DRIFT = {100: 60, 300: 100, 1_000: 60, 10_000: 10, 100_000: 2}
CHANGED = 40


class Verdicts(NamedTuple):
    """Whether each rule alarms in a window."""

    skline: bool
    ks: bool
    psi: bool
    bonferroni: bool


def draw_column(random: np.random.Generator, index: int, rows: int, entities: Any) -> Any:
    """Draw a column: even ones are numbers, odd ones categories; rows of an entity resemble each other."""
    if index % 2:
        values = random.choice(CATEGORIES, rows, p=SHARES)
        if entities is not None:
            own = random.choice(CATEGORIES, ENTITIES, p=SHARES)[entities]
            values = np.where(random.random(rows) < 0.7, own, values)
        return values
    numbers = random.normal(size=rows)
    return numbers if entities is None else 0.8 * random.normal(size=ENTITIES)[entities] + 0.6 * numbers


def judge(random: np.random.Generator, rows: int, change: Callable[[Any], Any] | None, *, clustered: bool) -> Verdicts:
    """Draw a window and a reference of 20 columns, change the first one, and apply every rule."""
    entities = random.integers(0, ENTITIES, rows) if clustered else None
    other = random.integers(0, ENTITIES, REFERENCE_ROWS) if clustered else None
    drifts: list[ColumnDrift] = []
    naive: list[ColumnDrift] = []
    poor = False
    for index in range(COLUMNS):
        values = draw_column(random, index, rows, entities)
        reference = draw_column(random, index, REFERENCE_ROWS, other)
        values = change(values) if change is not None and index == 0 else values
        compare = category_drift if index % 2 else numeric_drift
        drifts.append(compare(f"c{index}", "number", values, reference, entities))
        naive.append(compare(f"c{index}", "number", values, reference) if clustered else drifts[-1])
        poor |= has_poor_quality(values, reference, entities)
    decided = adjust(drifts, SETTINGS.drift.effect, SETTINGS.drift.alpha, SETTINGS.min_rows)
    p = np.array([each.p for each in naive], dtype=np.float64)
    return Verdicts(
        skline=any(each.drifted for each in decided) or (poor and rows >= SETTINGS.min_rows),
        ks=bool(p.min() < 0.05),
        psi=any((each.psi or 0) > 0.1 for each in naive),
        bonferroni=bool(p.min() < 0.05 / COLUMNS),
    )


def has_poor_quality(values: Any, reference: Any, entities: Any) -> bool:
    """Return whether a share of missing, unseen or out-of-range values exceeds its allowance, or all are equal."""
    if values.dtype == object:
        profile: dict[str, Any] = {"categories": dict.fromkeys(CATEGORIES.tolist(), 1)}
    else:
        profile = {"quantiles": {"0.0": float(reference.min()), "1.0": float(reference.max())}}
    found = column_quality("c", "number", values, profile, known=frozenset(CATEGORIES.tolist()), entities=entities)
    allowances = SETTINGS.quality
    limits = (
        (found.missing, allowances.missing),
        (found.unseen, allowances.unseen),
        (found.outside, allowances.outside),
    )
    return found.is_constant or any(share.low is not None and share.low > limit for share, limit in limits)


def alarm_rates(rows: int, windows: int, change: Callable[[Any], Any] | None, *, clustered: bool) -> list[float]:
    """Return the share of windows in which each rule alarms, and at last that of skline in 2 of 3 windows."""
    random = np.random.default_rng([SEED, rows, windows, clustered])
    verdicts = np.array([judge(random, rows, change, clustered=clustered) for _ in range(windows)])
    own = verdicts[:, 0].astype(int)
    persistent = [own[i] and own[max(i - 2, 0) : i + 1].sum() >= 2 for i in range(windows)]
    return [*verdicts.mean(axis=0).tolist(), float(np.mean(persistent))]


def shifted(size: float) -> Callable[[Any], Any]:
    """Return a change that adds to numbers."""
    return lambda values: values + size


def missing(values: Any) -> Any:
    """Remove 30 % of the values."""
    return np.where(np.arange(len(values)) % 10 < 3, np.nan, values)


def outlier(values: Any) -> Any:
    """Make one value absurd."""
    return np.where(np.arange(len(values)) == 0, 1e12, values)


CHANGES: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "0.5 sd shift, n = 300": (300, shifted(0.5)),
    "0.05 sd shift, n = 100,000": (100_000, shifted(0.05)),
    "30 % missing, n = 300": (300, missing),
    "unit × 1,000, n = 300": (300, lambda values: values * 1_000),
    "constant, n = 300": (300, lambda values: np.full(len(values), 0.1)),
    "one absurd outlier, n = 300": (300, outlier),
}


def streams(count: int) -> tuple[float, float]:
    """Return the share of streams in which a rise from 10 to 15 % is found within 3,000 labels, and false alarms.

    False alarms are streams of 10,000 labels without change in which a rise is found.
    """
    random = np.random.default_rng([SEED, 1])
    found = false = 0
    for _ in range(count):
        steady = (random.random(10_000) < 0.10).astype(np.float64)
        risen = (random.random(3_000) < 0.15).astype(np.float64)
        positions = [each.position for each in detect_rises(np.concatenate([steady, risen]), SETTINGS.concept.delta)]
        found += any(position >= len(steady) for position in positions)
        false += any(position < len(steady) for position in positions)
    return found / count, false / count


def coverage_of_truth(count: int, rows: int = 2_000, resamples: int = 200) -> tuple[float, float]:
    """Return how often the 95 % interval of the Brier score holds the truth: reweighted, and of the labels as they are.

    Half of the labels are there, most of them of low scores.
    """
    random = np.random.default_rng([SEED, 2])

    def draw(size: int) -> tuple[Any, Any]:
        scores = random.beta(2, 4, size)
        return scores, random.random(size) < scores**1.3

    scores, truth = draw(2_000_000)
    true_value = float(((scores - truth) ** 2).mean())
    hits = np.zeros(2)
    for number in range(count):
        scores, truth = draw(rows)
        labelled = random.random(rows) < np.where(scores < 0.33, 0.8, 0.2)
        sample = BinarySample(truth[labelled], scores[labelled], 0.5)
        for index, strata in enumerate((score_bands(scores), None)):
            interval = metric_estimates(sample, labelled, strata, None, resamples, number, only="brier")["brier"]
            hits[index] += (interval.low or 0.0) <= true_value <= (interval.high or 0.0)
    weighted, naive = (hits / count).tolist()
    return weighted, naive


def report(*, quick: bool) -> str:
    """Run all simulations and return the page."""
    lines = [
        "# Does monitoring alarm when it should?",
        "",
        f"`uv run python -m benchmarks.monitoring`, seed {SEED}. {COLUMNS} columns, half of them numbers.",
        f"The reference has {REFERENCE_ROWS:,} rows. Shares of windows with an alarm.",
        "",
        "## No drift",
        "",
        f"Clustered: rows of {ENTITIES} entities that resemble each other.",
        "",
        "| rows | windows | skline | in 2 of 3 | p < 0.05 | PSI > 0.1 | Bonferroni |",
        "|--:|--:|--:|--:|--:|--:|--:|",
    ]
    sizes = NO_DRIFT if not quick else {300: 8}
    for clustered in (False, True):
        for rows, windows in sizes.items():
            own, ks, psi, bonferroni, persistent = alarm_rates(rows, windows, None, clustered=clustered)
            name = f"{rows:,}{', clustered' if clustered else ''}"
            cells = " | ".join(f"{value:.1%}" for value in (own, persistent, ks, psi, bonferroni))
            lines.append(f"| {name} | {windows} | {cells} |")
            print(lines[-1], flush=True)
    lines += ["", "## One of 20 columns changes", ""]
    lines += ["| change | windows | skline | p < 0.05 | PSI > 0.1 | Bonferroni |", "|---|--:|--:|--:|--:|--:|"]
    for name, (rows, change) in CHANGES.items():
        if quick and rows > 300:
            continue
        windows = 4 if quick else 5 if rows > 300 else CHANGED
        cells = " | ".join(f"{value:.1%}" for value in alarm_rates(rows, windows, change, clustered=False)[:4])
        lines.append(f"| {name} | {windows} | {cells} |")
        print(lines[-1], flush=True)
    rate = unseen_rate(4 if quick else CHANGED)
    lines.append(f"| new category at 10 %, n = 300 | {4 if quick else CHANGED} | {rate:.1%} | | | |")
    count = 10 if quick else 500
    found, false = streams(count)
    weighted, naive = coverage_of_truth(10 if quick else 500)
    lines += [
        "",
        "## Labels",
        "",
        "In the simulations half of the labels are there, most of them of low scores.",
        "",
        "| | | share |",
        "|---|---|--:|",
        f"| error from 10 to 15 %: found within 3,000 labels | {count} streams | {found:.1%} |",
        f"| 10,000 labels without change: a rise is found | {count} streams | {false:.1%} |",
        f"| 95 % interval of the Brier score holds the truth, reweighted | {count} simulations | {weighted:.1%} |",
        f"| the same, labels as they are | {count} simulations | {naive:.1%} |",
        "",
    ]
    return "\n".join(lines)


def unseen_rate(windows: int) -> float:
    """Return the share of windows of 300 rows in which a new category at 10 % is caught, by drift or by quality."""
    random = np.random.default_rng([SEED, 3])
    caught = 0
    for _ in range(windows):
        reference = random.choice(CATEGORIES, REFERENCE_ROWS, p=SHARES)
        known = random.choice(CATEGORIES, 300, p=SHARES)
        caught += has_poor_quality(np.where(random.random(300) < 0.1, "new", known).astype(object), reference, None)
    return caught / windows


def main() -> None:
    """Print the page, and write it unless --quick."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions; writes nothing")
    arguments = parser.parse_args()
    page = report(quick=arguments.quick)
    print(page)
    if not arguments.quick:
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
