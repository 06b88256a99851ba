"""A whole table, part by part: read, scored on several cores, written in order, and whole or not at all."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow as pa

from skline.batch.part import Part, PartScorer
from skline.batch.read import Input
from skline.batch.write import Output, ending_of
from skline.errors import SklineError
from skline.files import replacing, sync

#: Scores parts, and gives what became of them in the order of the table.
Engine = Callable[[Input, PartScorer], Iterator[Part]]


@dataclass(frozen=True)
class Counts:
    """How many rows were scored, and how many were rejected into which file."""

    scored: int
    rejected: int
    side_file: Path


def score_table(table: Input, scorer: PartScorer, out: Path, engine: Engine) -> Counts:
    """Score a table.

    Rows that break the contract go to a side file with all reasons. Both files are written under other names
    and renamed at the end: `out` is whole, or it is what it was before.

    Raises
    ------
    SklineError
        If the table lacks a column, cannot be read, or `out` tells no format or is the table itself.
    """
    ending = ending_of(out)
    side_file = side_of(out)
    if out.is_dir() or any(path.exists() and path.samefile(table.path) for path in (out, side_file)):
        raise SklineError(f"{out} cannot be written: it is a folder, or the table itself; choose another name")
    check_columns(table, scorer)
    scored = rejected = 0
    with ExitStack() as stack:
        scores = stack.enter_context(Output(stack.enter_context(replacing(out)), ending))
        others: Output | None = None
        bar = stack.enter_context(progress(table))
        for part in engine(table, scorer):
            scores.write(part.scored)
            if part.rejected.num_rows and others is None:
                others = stack.enter_context(Output(stack.enter_context(replacing(side_file)), ending))
            if part.rejected.num_rows and others is not None:
                others.write(part.rejected)
            scored += part.scored.num_rows
            rejected += part.rejected.num_rows
            bar(scored + rejected)
        if not rejected:
            side_file.unlink(missing_ok=True)  # of an earlier run
    sync(out.parent)
    return Counts(scored, rejected, side_file)


def side_of(out: Path) -> Path:
    """Where rejected rows go: scores.csv → scores.rejected.csv."""
    ending = out.name[len(out.name) - len(ending_of(out)) :]
    return out.with_name(f"{out.name.removesuffix(ending)}.rejected{ending}")


def check_columns(table: Input, scorer: PartScorer) -> None:
    """Refuse a table that lacks a column."""
    missing = [name for name in scorer.columns if name not in table.columns]
    if missing:
        near = {name: get_close_matches(name, table.columns, n=1) for name in missing}
        words = [f"{name!r}" + (f" (it has {near[name][0]!r})" if near[name] else "") for name in missing]
        has = ", ".join(table.columns[:50])
        raise SklineError(
            f"{table.path.name} lacks the columns {', '.join(words)}; it has {has}; rename or add them, "
            "or give the --delimiter"
        )


def on_threads(jobs: int) -> Engine:
    """Score on so many threads; NumPy and Arrow leave the interpreter to others while they compute."""

    def engine(table: Input, scorer: PartScorer) -> Iterator[Part]:
        parts = numbered(table.parts(scorer.columns, scorer.texts))
        if jobs == 1:
            return (scorer.score(batch, first) for batch, first in parts)
        return in_order(scorer.score, parts, jobs)

    return engine


def numbered(parts: Iterable[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Each part with the number of its first row."""
    first = 0
    for part in parts:
        yield part, first
        first += part.num_rows


def in_order(
    score: Callable[[pa.RecordBatch, int], Part], parts: Iterable[tuple[pa.RecordBatch, int]], jobs: int
) -> Iterator[Part]:
    """Score parts on threads; never more than a few of them are in memory."""
    pool = ThreadPoolExecutor(jobs)
    running: deque[Future[Part]] = deque()
    try:
        for batch, first in parts:
            running.append(pool.submit(score, batch, first))
            if len(running) > jobs + 1:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class progress:  # noqa: N801 - reads as a function
    """Shows how far it is, on a terminal only; called with the number of rows that are done."""

    def __init__(self, table: Input) -> None:
        self._table = table
        self._bar: Any = None

    def __enter__(self) -> "progress":
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(desc="score", total=self._table.total, unit=self._table.unit, unit_scale=True)
        return self

    def __call__(self, rows: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update((rows if self._table.unit == "row" else self._table.read) - self._bar.n)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
