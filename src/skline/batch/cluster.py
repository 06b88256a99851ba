"""Score a table on a Dask cluster: workers score the parts, and this process writes the results in order.

Workers open the artifact, and a Parquet table, by the paths that this process uses, so they must see the same files.
The parts of any other table are sent to them.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa

from skline.batch.part import PartScorer, ScoredPart
from skline.batch.read import TableFormat, TableReader
from skline.batch.run import Engine
from skline.lookups.opening import LookupMode
from skline.parallel import connected

#: Parts that each worker has queued, so that it is never idle.
QUEUED_PARTS_PER_WORKER = 3
#: A worker's task: a RecordBatch of rows, or the path and the row group (an int) of a Parquet file.
Task = Any


def cluster_engine(artifact: Path, digest: str, scheduler: str | None, workers: int) -> Engine:
    """Return an engine that scores on a Dask cluster.

    Parameters
    ----------
    artifact : Path
    digest : str
    scheduler : str or None
        Address of a scheduler; None is that of DASK_SCHEDULER_ADDRESS, or starts a cluster on this machine.
    workers : int
        Processes of the cluster on this machine.

    Raises
    ------
    SklineError
        When the engine starts, if Dask is not installed, or the scheduler does not respond.
    """

    def engine(table: TableReader, scorer: PartScorer) -> Iterator[ScoredPart]:
        with connected(scheduler, workers, "--engine dask") as client:
            bag: Any = import_module("dask.bag")
            max_queued = QUEUED_PARTS_PER_WORKER * max(1, len(client.scheduler_info()["workers"]))
            first_row = 0
            running: deque[Any] = deque()

            def next_results() -> Iterator[ScoredPart]:
                nonlocal first_row
                for part in running.popleft().result():
                    scored, rejected = (_shift_rows(rows, first_row) for rows in (part.scored, part.rejected))
                    yield part._replace(scored=scored, rejected=rejected)
                    first_row += scored.num_rows + rejected.num_rows

            for task in split_into_tasks(table, scorer):
                part = bag.from_sequence([task], npartitions=1)
                results = part.map_partitions(
                    score_tasks, artifact.resolve(), digest, tuple(scorer.keep), scorer.lookups
                )
                running.append(client.compute(results))
                if len(running) >= max_queued:
                    yield from next_results()
            while running:
                yield from next_results()

    return engine


def split_into_tasks(table: TableReader, scorer: PartScorer) -> Iterator[Task]:
    """Split the table into tasks."""
    if table.is_parquet and table.row_groups:
        yield from ((table.path.resolve(), row_group) for row_group in range(table.row_groups))
    else:
        yield from table.parts(scorer.columns, scorer.string_columns)


def score_tasks(
    tasks: Sequence[Task], artifact: Path, digest: str, keep: tuple[str, ...], lookups: LookupMode
) -> list[ScoredPart]:
    """Score tasks on a worker; row numbers start with 0 in each part."""
    scorer = load_scorer_once(artifact, digest, keep, lookups)
    results: list[ScoredPart] = []
    for task in tasks:
        if isinstance(task, pa.RecordBatch):
            results.append(scorer.score(task))
            continue
        path, row_group = task
        parts = TableReader(path, TableFormat()).parts(scorer.columns, scorer.string_columns, [row_group])
        results += [scorer.score(part) for part in parts]
    return results


@cache
def load_scorer_once(artifact: Path, digest: str, keep: tuple[str, ...], lookups: LookupMode) -> PartScorer:
    """Load the artifact once in each worker."""
    return PartScorer(artifact, digest, keep, lookups)


def _shift_rows(rows: pa.RecordBatch, first_row: int) -> pa.RecordBatch:
    """Add `first_row` to the row numbers."""
    import pyarrow.compute as pc

    arrays = [pc.add(rows.column(0), pa.scalar(first_row, pa.int64())), *rows.columns[1:]]
    return pa.RecordBatch.from_arrays(arrays, schema=rows.schema)
