"""Does the review sample repair a feedback loop? A lender's model decides which labels its successors learn from.

uv run --group bench python -m benchmarks.feedback_loop            # minutes; writes docs/benchmarks/feedback-loop.md
uv run --group bench python -m benchmarks.feedback_loop --quick    # seconds, two seeds; writes nothing
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.simulations import feedback_loop as simulation

PAGE = Path("docs/benchmarks/feedback-loop.md")
SEED, SEEDS, GENERATIONS = 20261130, 10, 8
TEXT = """# A feedback loop, and its repair

<!-- not run: some minutes -->
```sh
uv run --group bench python -m benchmarks.feedback_loop
```

A simulated lender (`benchmarks/simulations/feedback_loop.py`): {applicants:,} applicants a generation, of whom the
model in service refuses the {refused:.0%} with the highest predicted risk, and an officer half of the others, by what
only he sees. Only a loan shows whether it is repaid. {drawn:.0%} of the applicants get one at random: the review
sample.
The risk moves from generation to generation, and each generation's model is trained on the table of the beginning,
{history:,} applicants who all got a loan, and on the labels since.

The figures are those of the models on {test:,} new applicants of the generation, whether they get a loan or not: means
over {seeds} seeds ({seed} and the following ones) with 95 % intervals (Student's t). *Gap* is the mean predicted risk
less the share that defaults. *Effective rows* are those that the last model was fitted on (Kish 1965).

## Generation {generations}

{last}

## ROC AUC by generation

{auc}

## Gap by generation

{gap}
"""


def mean_with_interval(values: Sequence[float], digits: int) -> str:
    """Return the mean over seeds with its 95 % interval."""
    array = np.asarray(values)
    half = float(stats.t.ppf(0.975, len(array) - 1)) * float(array.std(ddof=1)) / len(array) ** 0.5
    return f"{array.mean():.{digits}f} ± {half:.{digits}f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are numbers."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def report(seeds: int, generations: int) -> str:
    """Run all policies and return the page."""
    results: dict[str, list[list[simulation.Quality]]] = {}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for policy in simulation.POLICIES:
            run = partial(simulation.live, policy, generations=generations)
            results[policy] = list(pool.map(run, range(SEED, SEED + seeds)))
            print(f"{policy}: {mean_with_interval([each[-1].roc_auc for each in results[policy]], 3)}", flush=True)

    def at(policy: str, name: str, generation: int, digits: int = 3) -> str:
        return mean_with_interval([getattr(each[generation - 1], name) for each in results[policy]], digits)

    def by_generation(name: str) -> str:
        shown = sorted({1, *range(2, generations + 1, 2)})
        rows = [[policy, *(at(policy, name, each) for each in shown)] for policy in results]
        return table(["trained on", *(str(each) for each in shown)], rows)

    last = [
        [policy, *(at(policy, name, generations) for name in ("roc_auc", "brier", "gap")),
         f"{np.mean([each[-1].effective for each in results[policy]]):,.0f}"]
        for policy in results
    ]  # fmt: skip
    return TEXT.format(
        applicants=simulation.APPLICANTS,
        history=simulation.HISTORY,
        refused=simulation.REFUSED,
        drawn=simulation.DRAWN,
        test=simulation.TEST_APPLICANTS,
        seeds=seeds,
        seed=SEED,
        generations=generations,
        last=table(["trained on", "ROC AUC", "Brier score", "gap", "effective rows"], last),
        auc=by_generation("roc_auc"),
        gap=by_generation("gap"),
    )


def main() -> None:
    """Run the simulation, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two seeds, three generations; write nothing")
    quick = parser.parse_args().quick
    page = report(2, 3) if quick else report(SEEDS, GENERATIONS)
    if quick:
        print(page)
    else:
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
