"""Score a whole table part by part on several cores; the output is written in order, and completely or not at all."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import pyarrow as pa

from skline.batch.lookups import Outcomes, describe_lookups
from skline.batch.lookups import add_up as add_up_outcomes
from skline.batch.part import PartScorer, ScoredPart
from skline.batch.read import TableReader
from skline.batch.unseen import Unseen, add_up, describe_unseen
from skline.batch.write import TableWriter, format_suffix
from skline.errors import SklineError
from skline.files import atomic_write

#: Scores the parts of a table, and yields the results in the order of the table.
Engine = Callable[[TableReader, PartScorer], Iterator[ScoredPart]]

#: Columns of the table that the message about missing columns lists.
MAX_LISTED_COLUMNS = 50


@dataclass(frozen=True)
class RowCounts:
    """Number of rows that were scored, and that were rejected into `rejected_path`; remarks about their values."""

    scored: int
    rejected: int
    rejected_path: Path
    remarks: list[str]


def score_table(
    table: TableReader, scorer: PartScorer, out: Path, engine: Engine, *, escape_formulas: bool = True
) -> RowCounts:
    """Score a table.

    In CSV and TSV, texts that a spreadsheet would run as formulas get an apostrophe in front, unless `escape_formulas`
    is false. Rows that break the contract are written to a side file with all reasons. Both files are written under
    temporary names and renamed at the end: `out` is complete, or it is what it was before.

    Raises
    ------
    SklineError
        If the table lacks a column or cannot be read, or the name of `out` has no format or is the table's own.
    """
    suffix = format_suffix(out)
    rejected_path = rejected_path_for(out)
    if out.is_dir() or any(path.exists() and path.samefile(table.path) for path in (out, rejected_path)):
        raise SklineError(f"{out} cannot be written: it is a folder, or the table itself; choose another name")
    require_columns(table, scorer)
    scored = rejected = 0
    unseen: dict[str, Unseen] = {}
    lookups: Outcomes = {}
    writers: list[TableWriter] = []
    with ExitStack() as stack:

        def open_writer(path: Path) -> TableWriter:
            temporary = stack.enter_context(atomic_write(path))
            writers.append(stack.enter_context(TableWriter(temporary, suffix, escape_formulas=escape_formulas)))
            return writers[-1]

        score_writer = open_writer(out)
        rejected_writer: TableWriter | None = None
        update_progress = stack.enter_context(progress_bar(table))
        for part in engine(table, scorer):
            score_writer.write(part.scored)
            if part.rejected.num_rows:
                if rejected_writer is None:
                    rejected_writer = open_writer(rejected_path)
                rejected_writer.write(part.rejected)
            scored += part.scored.num_rows
            rejected += part.rejected.num_rows
            unseen = add_up([unseen, part.unseen])
            lookups = add_up_outcomes([lookups, part.lookups])
            update_progress(scored + rejected)
        if not rejected:
            rejected_path.unlink(missing_ok=True)  # left by an earlier run
    remarks = [*describe_lookups(lookups), *describe_unseen(unseen, scored)]
    if escaped := sum(writer.escaped for writer in writers):
        remarks.append(
            f"{escaped:,} cells begin like a formula and got an apostrophe in front; --formulas writes them as they are"
        )
    return RowCounts(scored, rejected, rejected_path, remarks)


def rejected_path_for(out: Path) -> Path:
    """Return the path for rejected rows: scores.rejected.csv for scores.csv."""
    suffix = out.name[len(out.name) - len(format_suffix(out)) :]
    return out.with_name(f"{out.name.removesuffix(suffix)}.rejected{suffix}")


def require_columns(table: TableReader, scorer: PartScorer) -> None:
    """Raise SklineError if the table lacks a column."""
    missing = [name for name in scorer.columns if name not in table.columns]
    if missing:
        similar = {name: get_close_matches(name, table.columns, n=1) for name in missing}
        described = [f"{name!r}" + (f" (it has {similar[name][0]!r})" if similar[name] else "") for name in missing]
        other_delimiter = "" if set(scorer.columns) & set(table.columns) else ", or give the --delimiter"
        raise SklineError(
            f"{table.path.name} lacks the columns {', '.join(described)}; it has "
            f"{', '.join(table.columns[:MAX_LISTED_COLUMNS])}; rename or add them{other_delimiter}"
        )


def thread_engine(jobs: int) -> Engine:
    """Return an engine that scores on `jobs` threads; NumPy and Arrow release the interpreter lock in computations."""

    def engine(table: TableReader, scorer: PartScorer) -> Iterator[ScoredPart]:
        parts = with_first_rows(table.parts(scorer.columns, scorer.string_columns))
        if jobs == 1:
            return (scorer.score(batch, first_row) for batch, first_row in parts)
        return score_in_order(scorer.score, parts, jobs)

    return engine


def with_first_rows(parts: Iterable[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Yield each part with the number of its first row."""
    first_row = 0
    for part in parts:
        yield part, first_row
        first_row += part.num_rows


def score_in_order(
    score: Callable[[pa.RecordBatch, int], ScoredPart], parts: Iterable[tuple[pa.RecordBatch, int]], jobs: int
) -> Iterator[ScoredPart]:
    """Score parts on threads, and yield the results in order; at most `jobs` + 2 parts are in memory."""
    pool = ThreadPoolExecutor(jobs)
    running: deque[Future[ScoredPart]] = deque()
    try:
        for batch, first_row in parts:
            running.append(pool.submit(score, batch, first_row))
            if len(running) > jobs + 1:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def progress_bar(table: TableReader) -> Iterator[Callable[[int], None]]:
    """Show a progress bar, on a terminal only; yields a function that gets the number of processed rows."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from tqdm import tqdm

    with tqdm(desc="score", total=table.total, unit="row", unit_scale=True) as bar:

        def update(rows: int) -> None:
            bar.total = table.total  # of a text it is not known before the first part
            bar.update(rows - bar.n)

        yield update
