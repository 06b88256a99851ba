"""Does monitoring alarm when it should, and only then? Simulations with known truth, beside three common rules.

    uv run python -m benchmarks.monitoring            # some minutes; writes docs/benchmarks/monitoring.md
    uv run python -m benchmarks.monitoring --quick    # seconds, few repetitions; writes nothing

The rules beside it: a Kolmogorov-Smirnov p-value (of categories chi-square) below 0.05 in any column; a population
stability index above 0.1 in any column; a p-value below 0.05 divided by the number of columns (Bonferroni).
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.simulations import labels, references, windows
from skline.monitoring.estimates import Estimate
from skline.monitoring.loss import ComparedRows

PAGE = Path("docs/benchmarks/monitoring.md")
SEED = 20261129
#: Rows of a window → streams of six windows, the last four of which count.
NO_DRIFT = {100: 25, 300: 75, 1_000: 50, 10_000: 15, 100_000: 3}
QUICK_NO_DRIFT = {300: 2}
CHANGED_STREAMS = {300: 50, 100_000: 5}
SIMULATIONS = 500
#: Test parts and windows compared with them, by rows; simulations that a process gets at a time.
COMPARED_COUNTS = {300: 1_000, 1_000: 500, 5_000: 200, 10_000: 200}
CHUNK = 10
TEXT = """# Does monitoring alarm when it should?

<!-- not run: some minutes -->
```sh
uv run --group bench python -m benchmarks.monitoring
```

Simulations with known truth (`benchmarks/simulations`), seed {seed}. A table has {columns} columns, its reference
{reference:,} rows. The figures are shares of windows. `raised` is a limit that is exceeded in one window, which is a
warning; `alarm` needs 2 of 3 windows, or a column that vanished. Six windows share one reference, and the last four of
them count. The settings are the defaults: fewer than 300 rows are not tested.

The other rules are common ones: a p-value below 0.05 in any column (Kolmogorov-Smirnov, of categories
chi-square), a population stability index above 0.1 in any column, and a p-value below 0.05 divided by the number of
columns.

## Nothing changes

At most 3 % of the windows should raise, and 1 % alarm. `open text` has columns of unique texts, of 2,000 categories of
which most are rare, and of 50 equally frequent ones; the other kinds are in `benchmarks/simulations/windows.py`.
`clustered` means that the rows belong to {entities} entities, and 70 % of them have the value of their entity.

{no_drift}

## One of {columns} columns changes

All should be found, except for the shift of 0.05 standard deviations, which matters to nobody, and the outlier.

{changes}

## Labels

{count} simulations each. An interval of 95 % should hold the truth in 93 to 97 % of them.

{labels}

## The test part is a sample too

A window is worse than the test part if the interval of the difference of both values is beyond the margin. The error of
the test part is taken from its rows and those of the window, pooled, and is at least that of its own interval
(`skline.monitoring.loss`). Of 300 rows there are 1,000 test parts, and as many windows of each true loss; of 1,000 rows
500, of more 200. Each test part is that of a stream of six windows, which are used in turn. The margin is {margin}, the
default.

Two other rules raise too: `own` takes the error of the test part from its own interval alone, and `exact` takes its
value as exact, so that the whole interval of the window is beyond that value and the margin.

At most 2 % of the windows should raise without a loss, and at most the nominal 2.5 % if the true loss is the margin.
The intervals of a few hundred rows are too narrow, especially with heavy tails, so that `own` raises more. A loss of
three margins should be found if test part and window are large enough to show it.

{references}
"""
TITLES = ("raised", "alarm (2 of 3)", "p < 0.05", "PSI > 0.1", "Bonferroni")
#: Verdicts of the windows without a loss, then of those of each other loss, which lack the last one.
COMPARED = (
    "no loss: raised", "alarm", "own", "exact", "1 margin: raised", "alarm", "own", "3 margins: raised", "alarm", "own",
)  # fmt: skip


def judge(number: int, table: str, rows: int, change: str | None, *, clustered: bool) -> list[windows.Verdicts]:
    """Return the verdicts of a stream."""
    name = [*windows.CHANGES].index(change) + 1 if change else 0
    random = np.random.default_rng([SEED, number, [*windows.TABLES].index(table), rows, name, clustered])
    changed = windows.CHANGES[change][1:] if change else None
    return list(windows.judge_stream(random, table, rows, changed, clustered=clustered))


def judge_errors(number: int) -> tuple[bool, bool]:
    """Return what is found in a stream of errors."""
    return labels.errors(np.random.default_rng([SEED, 1_000, number]))


def judge_interval(number: int, way: str, truth: float) -> bool:
    """Return whether the interval of a simulation holds the truth."""
    return labels.covers(np.random.default_rng([SEED, 2_000, number]), way, truth, number)


def shares(pool: ProcessPoolExecutor, function: Callable[[int], Any], count: int) -> np.ndarray[Any, Any]:
    """Return the mean of what a function returns for 0 to count - 1: flags, or lists of flags."""
    results = np.array(list(pool.map(function, range(count))), dtype=np.float64)
    mean: np.ndarray[Any, Any] = results.reshape(-1, results.shape[-1] if results.ndim > 1 else 1).mean(axis=0)
    return mean


def row(*cells: object) -> str:
    """Return a row of a Markdown table, and print it; floats are shares."""
    line = f"| {' | '.join(f'{each:.1%}' if isinstance(each, float) else f'{each}' for each in cells)} |"
    print(line, flush=True)
    return line


def header(names: Iterable[str], texts: int) -> Sequence[str]:
    """Return the head of a Markdown table, whose first columns are text."""
    names = list(names)
    return [row(*names), f"|{'---|' * texts}{'--:|' * (len(names) - texts)}"]


def no_drift(pool: ProcessPoolExecutor, sizes: dict[int, int]) -> list[str]:
    """Return the table of the windows without any drift."""
    lines = [*header(("columns", "rows", "windows", *TITLES), 1)]
    for clustered in (False, True):
        for table in windows.TABLES:
            for rows, streams in sizes.items():
                stream = partial(judge, table=table, rows=rows, change=None, clustered=clustered)
                name = f"{table}{', clustered' if clustered else ''}"
                found = shares(pool, stream, streams)
                lines.append(row(name, f"{rows:,}", streams * windows.WITH_HISTORY, *found.tolist()))
    return lines


def changes(pool: ProcessPoolExecutor, *, quick: bool) -> list[str]:
    """Return the table of the windows in which one column changes."""
    lines = [*header(("change", "rows", "windows", *TITLES), 1)]
    for name, (rows, _, _) in windows.CHANGES.items():
        if quick and rows > 300:
            continue
        streams = 2 if quick else CHANGED_STREAMS[rows]
        found = shares(pool, partial(judge, table="mixed", rows=rows, change=name, clustered=False), streams)
        lines.append(row(name, f"{rows:,}", streams * windows.WITH_HISTORY, *found.tolist()))
    return lines


def labelled(pool: ProcessPoolExecutor, count: int) -> list[str]:
    """Return the tables of what labels show."""
    found, false = shares(pool, judge_errors, count).tolist()
    lines = [
        *header(("stream of errors", "share of streams"), 1),
        row(f"error from 10 to 15 %: found within {labels.RISEN_LABELS:,} labels", found),
        row(f"{labels.STEADY_LABELS:,} labels without change: a rise is found", false),
        "",
        *header(("95 % interval of the Brier score", "holds the truth"), 1),
    ]
    truth = labels.true_brier(SEED)
    for way in labels.WAYS:
        (held,) = shares(pool, partial(judge_interval, way=way, truth=truth), count).tolist()
        lines.append(row(way, held))
    return lines


def judge_reference(number: int, name: str, rows: int) -> Estimate:
    """Return the metric on a simulated test part."""
    random = np.random.default_rng([SEED, 3_000, [*references.CASES].index(name), rows, number])
    return references.reference_estimate(references.CASES[name], random, rows)


def judge_labels(number: int, name: str, rows: int, loss: int, share: float) -> Estimate:
    """Return the metric of a simulated window, with a true loss in margins."""
    random = np.random.default_rng([SEED, 4_000, [*references.CASES].index(name), rows, loss, number])
    return references.window_estimate(references.CASES[name], random, rows, share)


def compared(pool: ProcessPoolExecutor, *, quick: bool) -> list[str]:
    """Return the table of windows compared with test parts."""
    lines = [*header(("metric", "test rows", "labels", *COMPARED), 1)]
    for name, case in references.CASES.items():
        tests, values = compared_values(pool, name, dict.fromkeys(COMPARED_COUNTS, 10) if quick else COMPARED_COUNTS)
        for test_rows, test in tests.items():
            for rows in references.LABELS:
                verdicts = [
                    np.mean(
                        references.judge_streams(case, test, values[rows, loss], ComparedRows(rows, test_rows)), axis=0
                    )
                    for loss in references.LOSSES
                ]
                found = [*verdicts[0], *(each for later in verdicts[1:] for each in later[:3])]
                lines.append(row(name, f"{test_rows:,}", f"{rows:,}", *map(float, found)))
    return lines


def compared_values(
    pool: ProcessPoolExecutor, name: str, counts: dict[int, int]
) -> tuple[dict[int, list[Estimate]], dict[tuple[int, int], list[Estimate]]]:
    """Return a metric on test parts, by rows, and on windows, by labels and true loss in margins."""
    tests, values = {}, {}
    for rows in references.TEST_ROWS:
        draw_test = partial(judge_reference, name=name, rows=rows)
        tests[rows] = list(pool.map(draw_test, range(counts[rows]), chunksize=CHUNK))
    for loss in references.LOSSES:
        share = references.share_of_loss(references.CASES[name], loss * references.MARGIN, SEED)
        for rows in references.LABELS:
            draw_window = partial(judge_labels, name=name, rows=rows, loss=loss, share=share)
            values[rows, loss] = list(pool.map(draw_window, range(counts[rows]), chunksize=CHUNK))
    return tests, values


def report(*, quick: bool) -> str:
    """Run all simulations and return the page."""
    count = 10 if quick else SIMULATIONS
    # A forked process would inherit the locks of the threads of NumPy.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return TEXT.format(
            seed=SEED,
            columns=windows.COLUMNS,
            reference=windows.REFERENCE_ROWS,
            entities=windows.ENTITIES,
            count=count,
            margin=references.MARGIN,
            references="\n".join(compared(pool, quick=quick)),
            no_drift="\n".join(no_drift(pool, QUICK_NO_DRIFT if quick else NO_DRIFT)),
            changes="\n".join(changes(pool, quick=quick)),
            labels="\n".join(labelled(pool, count)),
        )


def main() -> None:
    """Print the tables, and write the page unless --quick."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions; writes nothing")
    arguments = parser.parse_args()
    page = report(quick=arguments.quick)
    if not arguments.quick:
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
