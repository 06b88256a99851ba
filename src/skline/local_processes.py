"""Make long calls that do not depend on each other in processes of this machine: workers as those of `parallel`."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from typing import TypeVar

from skline.errors import SklineError

Data = TypeVar("Data")
Task = TypeVar("Task")
Result = TypeVar("Result")


class LocalProcesses:
    """Makes calls in processes of this machine, one for each processor, each with its share of the threads.

    For long calls: every process imports the libraries, and gets the data with each of its tasks. The last bits of a
    result may differ from those of this process, which divides sums among more threads.
    """

    def map(self, function: Callable[[Data, Task], Result], data: Data, tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield `function(data, task)` for each task, in the order of the tasks.

        Raises
        ------
        SklineError
            If a process ends before its call, as the system ends one for which there is no memory.
        """
        import joblib

        listed, processors = list(tasks), joblib.cpu_count()
        count = max(1, min(len(listed), processors))
        # Spawned, because a fork of a process that has used OpenMP can wait for its threads forever.
        processes = ProcessPoolExecutor(
            count, get_context("spawn"), initializer=_set_threads, initargs=(processors // count,)
        )
        with processes:
            try:
                yield from processes.map(partial(function, data), listed)
            except BrokenProcessPool as error:
                raise SklineError(
                    "a process on this machine ended before its work was done, probably because the memory is full: "
                    "close other programs, or use a machine with more memory"
                ) from error


def _set_threads(count: int) -> None:
    """Set how many threads the libraries use that this process loads from now on."""
    os.environ.update({"OMP_NUM_THREADS": str(count), "OPENBLAS_NUM_THREADS": str(count)})
