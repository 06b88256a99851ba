"""The same on a Dask cluster: every part is scored by a worker, and the answers are written here, in order.

Workers open the artifact, and a Parquet table, by the paths that are given here, so they must see the same files.
The parts of any other table are sent to them.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa

from skline.batch.part import Part, PartScorer
from skline.batch.read import Format, Input
from skline.batch.run import Engine
from skline.errors import SklineError

#: Parts that a worker may have waiting, so that it never waits for one.
AHEAD = 3
#: What a worker is told: the rows themselves, or the row group of a Parquet file that holds them.
Task = Any


def on_cluster(artifact: Path, digest: str, scheduler: str | None, workers: int) -> Engine:
    """Score on a Dask cluster.

    Parameters
    ----------
    artifact : Path
    digest : str
    scheduler : str or None
        Address of a scheduler; None starts a cluster on this machine.
    workers : int
        Processes of the cluster on this machine.

    Raises
    ------
    SklineError
        If Dask is not installed, or the scheduler does not answer.
    """
    try:
        bag: Any = import_module("dask.bag")
        distributed: Any = import_module("dask.distributed")
    except ImportError as error:
        raise SklineError(f"--engine dask needs Dask ({error}); run `uv sync --group dask`") from None

    def engine(table: Input, scorer: PartScorer) -> Iterator[Part]:
        with ExitStack() as stack:
            address: Any = scheduler
            if scheduler is None:
                address = stack.enter_context(
                    distributed.LocalCluster(
                        n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
                    )
                )
            try:
                client = stack.enter_context(distributed.Client(address, timeout=10))
            except OSError as error:
                raise SklineError(f"no Dask scheduler answers at {scheduler}: {error}") from error
            client.wait_for_workers(1, timeout=60)
            room = AHEAD * max(1, len(client.scheduler_info()["workers"]))
            first = 0
            running: deque[Any] = deque()

            def finished() -> Iterator[Part]:
                nonlocal first
                for scored, rejected in running.popleft().result():
                    yield Part(_shifted(scored, first), _shifted(rejected, first))
                    first += scored.num_rows + rejected.num_rows

            for task in tasks(table, scorer):
                part = bag.from_sequence([task], npartitions=1)
                scores = part.map_partitions(score_tasks, artifact.resolve(), digest, tuple(scorer.keep))
                running.append(client.compute(scores))
                if len(running) >= room:
                    yield from finished()
            while running:
                yield from finished()

    return engine


def tasks(table: Input, scorer: PartScorer) -> Iterator[Task]:
    """Cut the table into tasks."""
    if table.is_parquet and table.groups:
        yield from ((table.path.resolve(), group) for group in range(table.groups))
    else:
        yield from table.parts(scorer.columns, scorer.texts)


def score_tasks(work: Sequence[Task], artifact: Path, digest: str, keep: tuple[str, ...]) -> list[Part]:
    """Score tasks on a worker; row numbers begin with 0 in each."""
    scorer = scorer_of(artifact, digest, keep)
    done: list[Part] = []
    for task in work:
        if isinstance(task, pa.RecordBatch):
            done.append(scorer.score(task))
            continue
        path, group = task
        done += [scorer.score(batch) for batch in Input(path, Format()).parts(scorer.columns, scorer.texts, [group])]
    return done


@cache
def scorer_of(artifact: Path, digest: str, keep: tuple[str, ...]) -> PartScorer:
    """Load the artifact once in each worker."""
    return PartScorer(artifact, digest, keep)


def _shifted(rows: pa.RecordBatch, first: int) -> pa.RecordBatch:
    """Count the rows from another one on."""
    import pyarrow.compute as pc

    arrays = [pc.add(rows.column(0), pa.scalar(first, pa.int64())), *rows.columns[1:]]
    return pa.RecordBatch.from_arrays(arrays, schema=rows.schema)
