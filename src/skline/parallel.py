"""Make calls that do not depend on each other: here, or on a Dask cluster (`engine` in params.yaml).

The results are the same, and in the order of the tasks: whatever a call draws at random is drawn by a seed in its task,
and on a cluster each call has as many threads of BLAS and OpenMP as this process, because the last bits of a sum may
depend on how it is divided among threads. Processors of another kind may still round differently.

Calls are submitted to Dask one by one, because joblib's backend for Dask ignores a time limit, and fails when the last
worker that held the scattered data ends.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from skline.errors import SklineError
from skline.settings.project import EngineSettings

CONNECT_TIMEOUT_SECONDS = 10
#: Seconds to wait for a worker where there is none.
WORKER_TIMEOUT_SECONDS = 60
POLL_SECONDS = 0.2
#: Calls that are submitted for each thread of the workers, so that none is idle.
CALLS_PER_THREAD = 2
#: How often calls are submitted again because the last worker that held their data has ended.
MAX_LOSSES = 3
#: Name under which the version of Python, without its patch release, is compared.
PYTHON = "python"
#: Distributions whose versions must be equal on the workers, besides those of a pipeline's objects.
SAME_VERSIONS = (
    "skline", "scikit-learn", "numpy", "scipy", "pandas", "joblib", "dask", "distributed", "cloudpickle"
)  # fmt: skip
#: Those that matter to the scheduler.
SCHEDULER_VERSIONS = (PYTHON, "dask", "distributed")
SEE_OUTPUT = "look at the workers' output; often their memory is too small for the data"
INSTALL = "run `uv add --group train 'skline[dask]'`"

Data = TypeVar("Data")
Task = TypeVar("Task")
Result = TypeVar("Result")


class Workers(Protocol):
    """Makes calls that do not depend on each other."""

    def map(self, function: Callable[[Data, Task], Result], data: Data, tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield `function(data, task)` for each task, in the order of the tasks; a task is taken when a worker is free.

        Parameters
        ----------
        function : callable
            Defined at the top of a module.
        data : object
            What all calls need; it is sent to each worker once, and not changed.
        tasks : iterable of object
            What one call needs, which is small.
        """
        ...


class ThisProcess:
    """Makes one call after the other in this process."""

    def map(self, function: Callable[[Data, Task], Result], data: Data, tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield `function(data, task)` for each task; the next task is taken after the last call."""
        return (function(data, task) for task in tasks)


LOCAL = ThisProcess()


@contextmanager
def parallel(settings: EngineSettings, libraries: Iterable[str] = ()) -> Iterator[Workers]:
    """Yield what makes calls: this process, or the workers of a Dask cluster for as long as the block runs.

    Parameters
    ----------
    settings : EngineSettings
    libraries : iterable of str
        Distributions that the calls need, besides `SAME_VERSIONS`.

    Raises
    ------
    SklineError
        If Dask is not installed; the cluster has no worker, or one with other code or libraries; or it is lost.
    """
    if settings.kind == "local":
        yield LOCAL
        return
    with connected(settings.scheduler, settings.workers or os.cpu_count() or 1, "engine.kind: dask") as client:
        environment = this_environment(libraries)
        require_same_environment(client, environment)
        print(f"engine: dask, {_describe(client)}")
        yield DaskWorkers(client, environment)


@contextmanager
def connected(scheduler: str | None, workers: int, setting: str) -> Iterator[Any]:
    """Yield a client of a Dask cluster that has a worker.

    Parameters
    ----------
    scheduler : str or None
        Address; None is that of Dask's own configuration (DASK_SCHEDULER_ADDRESS), or starts a cluster on this machine.
    workers : int
        Processes of the cluster on this machine.
    setting : str
        What asks for Dask, for the error if it is not installed.
    """
    try:
        distributed: Any = import_module("dask.distributed")
    except ImportError as error:
        raise SklineError(f"{setting} needs Dask ({error}); {INSTALL}") from None
    address = scheduler or import_module("dask.config").get("scheduler-address", None)
    with ExitStack() as stack:
        cluster: Any = address
        if address is None:
            cluster = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
                )
            )
        try:
            client = stack.enter_context(distributed.Client(cluster, timeout=CONNECT_TIMEOUT_SECONDS))
        except OSError as error:
            raise SklineError(f"the Dask scheduler at {address} does not respond: {error}") from error
        _wait_for_worker(client)
        yield client


@dataclass(frozen=True)
class Environment:
    """What calls must find on a worker, and the threads that they use there.

    Attributes
    ----------
    versions : tuple of (str, str)
        Distributions with their versions, and Python's.
    project : str or None
        Digest of the code of the project's package `model`; None if there is none.
    openmp_threads, blas_threads : int
    """

    versions: tuple[tuple[str, str | None], ...]
    project: str | None
    openmp_threads: int
    blas_threads: int


def this_environment(libraries: Iterable[str] = ()) -> Environment:
    """Return the environment of this process."""
    import joblib
    import sklearn.utils  # noqa: F401 (loads the libraries whose threads are counted)
    import threadpoolctl

    counts = {"openmp": 1, "blas": 1}
    for pool in threadpoolctl.threadpool_info():
        counts[pool["user_api"]] = max(counts[pool["user_api"]], pool["num_threads"])
    if not os.environ.get("OMP_NUM_THREADS"):  # as scikit-learn counts
        counts["openmp"] = min(counts["openmp"], joblib.cpu_count(only_physical_cores=True))
    names = dict.fromkeys([PYTHON, *SAME_VERSIONS, *libraries])
    versions = tuple((name, _version(name)) for name in names)
    return Environment(versions, project_digest(), counts["openmp"], counts["blas"])


def _version(name: str) -> str | None:
    if name == PYTHON:
        return ".".join(platform.python_version_tuple()[:2])
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def project_digest() -> str | None:
    """Return the first digits of the SHA-256 of the project's package `model`, as this process imports it."""
    found = importlib.util.find_spec("model")
    if found is None or found.origin is None:
        return None
    folder, total = Path(found.origin).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        total.update(
            f"{path.relative_to(folder).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
        )
    return total.hexdigest()[:12]


def require_same_environment(client: Any, environment: Environment) -> None:
    """Raise SklineError if the scheduler or a worker has other versions than this process, or another `model`.

    Others could compute other results without an error.
    """
    expected = dict(environment.versions)
    found = client.get_versions(packages=[name for name in expected if name != PYTHON])
    scheduler = {name: expected[name] for name in SCHEDULER_VERSIONS}
    _require_versions("the Dask scheduler", scheduler, found["scheduler"]["packages"])
    for address, worker in found["workers"].items():
        _require_versions(f"the Dask worker {address}", expected, worker["packages"])
    for address, digest in client.run(project_digest).items():
        _require_project(f"the Dask worker {address}", environment.project, digest)


def _require_versions(who: str, expected: Mapping[str, str | None], packages: Mapping[str, str | None]) -> None:
    """Raise SklineError if Dask found other versions than the expected ones."""
    present = {**packages, PYTHON: ".".join(str(packages[PYTHON]).split(".")[:2])}
    different = [
        f"{name} {present.get(name) or 'missing'} (here {version or 'missing'})"
        for name, version in expected.items()
        if present.get(name) != version
    ]
    if different:
        raise SklineError(
            f"{who} has {', '.join(different)}: its results could differ; install the same versions there, for example "
            "by `uv sync` in a checkout of the same commit"
        )


def _require_project(who: str, expected: str | None, digest: str | None) -> None:
    if digest != expected:
        raise SklineError(
            f"{who} has {'no' if digest is None else 'another'} src/model (digest {digest}, here {expected}); start it "
            "in a checkout of the same commit: `PYTHONPATH=src uv run dask worker ADDRESS`"
        )


class DaskWorkers:
    """Makes calls on the workers of a Dask cluster.

    A worker that ends is no error as long as another one is there, or comes within `WORKER_TIMEOUT_SECONDS`: Dask makes
    its calls again elsewhere, each on at most `distributed.scheduler.allowed-failures` + 1 workers.
    """

    def __init__(self, client: Any, environment: Environment) -> None:
        self._client, self._environment = client, environment

    def map(self, function: Callable[[Data, Task], Result], data: Data, tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield `function(data, task)` for each task, in the order of the tasks."""
        return _Calls(self._client, self._environment, function, data).results(tasks)


class _Calls(Generic[Data, Task, Result]):
    """The submitted calls of one `map`."""

    def __init__(
        self, client: Any, environment: Environment, function: Callable[[Data, Task], Result], data: Data
    ) -> None:
        self._client, self._environment, self._function, self._data = client, environment, function, data
        self._running: deque[tuple[Task, Any]] = deque()
        self._shared: Any = None
        self._losses = 0

    def results(self, tasks: Iterable[Task]) -> Iterator[Result]:
        """Submit a task whenever a worker is free, and yield the results in the order of the tasks."""
        remaining = iter(tasks)
        with _errors_of_dask(self._client):
            self._scatter()
            while True:
                for task in islice(remaining, self._free_places()):
                    self._running.append((task, self._submit(task)))
                if not self._running:
                    return
                future = self._running[0][1]
                if not _has_ended(future):
                    continue
                try:
                    result = future.result(timeout=WORKER_TIMEOUT_SECONDS)
                except TimeoutError:
                    if future.status == "error":
                        raise
                    continue
                except CancelledError as error:
                    self._submit_again(error)
                    continue
                self._running.popleft()
                yield result

    def _scatter(self) -> None:
        """Send the data to every worker."""
        if self._data is not None:
            [self._shared] = self._client.scatter([self._data], broadcast=True, hash=False)

    def _submit(self, task: Task) -> Any:
        return self._client.submit(call, self._environment, self._function, self._shared, task, pure=False)

    def _free_places(self) -> int:
        """Return how many more tasks may be submitted now; waits for a worker if there is none."""
        threads = sum(self._client.nthreads().values())
        if not threads:
            _wait_for_worker(self._client)
        unfinished = sum(not future.done() for _, future in self._running)
        return max(CALLS_PER_THREAD * int(threads) - unfinished, 0)

    def _submit_again(self, error: CancelledError) -> None:
        """Send the data once more, and submit the calls that have no result, after the data was lost."""
        self._losses += 1
        if self._client.status != "running" or self._losses > MAX_LOSSES:
            raise error
        _wait_for_worker(self._client)
        self._scatter()
        for number, (task, future) in enumerate(self._running):
            if future.status != "finished":
                self._running[number] = (task, self._submit(task))


def _has_ended(future: Any) -> bool:
    """Wait a moment, and return whether a call has ended.

    `Future.result` with a short time limit would interrupt the transfer of its result, again and again.
    """
    try:
        future.exception(timeout=POLL_SECONDS)
    except TimeoutError:
        return False
    return True


def call(environment: Environment, function: Callable[[Data, Task], Result], data: Data, task: Task) -> Result:
    """Make one call, on a worker, with the threads and the versions of the process that submits it."""
    import threadpoolctl

    _require_this_environment(environment)
    # Set for good, and not for the call alone: another call in this process would lose them when this one ends.
    threadpoolctl.threadpool_limits({"openmp": environment.openmp_threads, "blas": environment.blas_threads})
    return function(data, task)


@cache
def _require_this_environment(environment: Environment) -> None:
    """Raise SklineError unless this process, a worker that may have come later than the check, is as it must be."""
    who, expected = f"a Dask worker on {platform.node()}", dict(environment.versions)
    _require_versions(who, expected, {name: _version(name) for name in expected})
    _require_project(who, environment.project, project_digest())
    # Else scikit-learn takes no more threads than this machine has cores.
    os.environ.setdefault("OMP_NUM_THREADS", str(environment.openmp_threads))


@contextmanager
def _errors_of_dask(client: Any) -> Iterator[None]:
    """Turn the errors of a lost cluster into one line."""
    killed = import_module("distributed.scheduler").KilledWorker
    closed = import_module("distributed.client").ClosedClientError
    disconnected = import_module("distributed.comm").CommClosedError
    address = client.scheduler.address if client.scheduler is not None else "unknown"
    lost = f"the Dask scheduler at {address} has ended or is not reachable; start it, and repeat the command"
    try:
        yield
    except killed as error:
        raise SklineError(
            f"one call ended {error.allowed_failures + 1} Dask workers one after the other (the last was "
            f"{error.last_worker.address}): {SEE_OUTPUT}"
        ) from error
    except CancelledError as error:
        if client.status != "running":
            raise SklineError(lost) from error
        raise SklineError(
            f"all Dask workers that held the data ended, {MAX_LOSSES + 1} times ({error}): {SEE_OUTPUT}"
        ) from error
    except (closed, OSError) as error:
        # A call that meets the lost connection fails before the client's status says so.
        if client.status == "running" and not isinstance(error, disconnected):
            raise
        raise SklineError(lost) from error


def _wait_for_worker(client: Any) -> None:
    """Wait until the cluster has a worker."""
    deadline = time.monotonic() + WORKER_TIMEOUT_SECONDS
    while not client.nthreads():
        if time.monotonic() > deadline:
            raise SklineError(
                f"the Dask cluster has had no worker for {WORKER_TIMEOUT_SECONDS} s; start one: "
                "`PYTHONPATH=src uv run dask worker ADDRESS`"
            )
        time.sleep(POLL_SECONDS)


def _describe(client: Any) -> str:
    """Return the address of the scheduler and the size of the cluster."""
    threads = client.nthreads()
    workers = f"{len(threads)} worker{'s' if len(threads) > 1 else ''}"
    return f"{client.scheduler.address}, {workers}, {sum(threads.values())} calls at a time"
