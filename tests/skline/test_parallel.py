"""`skline.parallel`: the same results in this process and on a Dask cluster, also if workers or the scheduler end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import threadpoolctl

from skline import parallel
from skline.errors import SklineError
from skline.parallel import LOCAL, DaskWorkers, this_environment
from skline.search.result import SearchResult
from skline.search.search import search
from skline.settings import EngineSettings, Search
from skline.settings.evaluation import Evaluate
from skline.stages.evaluate import evaluate
from tests.fixtures import demo
from tests.fixtures.sample_project.pipeline import build_pipeline

SPACE = {"model__learning_rate": [0.02, 0.05, 0.1, 0.2, 0.3], "model__max_leaf_nodes": [7, 15, 31, 63]}


def test_this_process_makes_one_call_after_the_other() -> None:
    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(3):
            taken.append(number)
            yield number

    results = LOCAL.map(lambda data, task: data + task, 10, tasks())
    assert next(results) == 10
    assert taken == [0]
    assert list(results) == [11, 12]


def test_the_engine_is_this_process_by_default() -> None:
    with parallel.parallel(EngineSettings()) as workers:
        assert workers is LOCAL


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "spark"}, "Input should be 'local' or 'dask'"),
        ({"scheduler": "tcp://a:1"}, "scheduler and workers need kind: dask"),
        ({"kind": "dask", "scheduler": "localhost"}, "String should match pattern"),
        ({"kind": "dask", "scheduler": "tcp://a:1", "workers": 2}, "workers are started on this machine only without"),
    ],
)
def test_invalid_settings_are_rejected(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EngineSettings(**values)


def test_without_dask_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(parallel, "import_module", missing)
    with (
        pytest.raises(SklineError, match="engine.kind: dask needs Dask .*uv add --group train 'skline\\[dask\\]'"),
        parallel.parallel(EngineSettings(kind="dask")),
    ):
        pass


def test_a_scheduler_that_does_not_respond_is_an_error_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask.distributed", reason="Dask is not installed; run `uv sync`")
    monkeypatch.setattr(parallel, "CONNECT_TIMEOUT_SECONDS", 1)
    engine = EngineSettings(kind="dask", scheduler="tcp://127.0.0.1:1")
    with pytest.raises(SklineError, match="scheduler at tcp://127.0.0.1:1 does not respond"), parallel.parallel(engine):
        pass


class FakeClient:
    """A cluster of one worker whose versions are those of this process but for `changes`."""

    def __init__(self, changes: dict[str, str | None], scheduler: dict[str, str | None], project: str | None) -> None:
        self._changes, self._scheduler, self._project = changes, scheduler, project

    def get_versions(self, packages: list[str]) -> dict[str, Any]:
        own = {"python": ".".join(map(str, sys.version_info))} | {name: parallel._version(name) for name in packages}
        return {
            "scheduler": {"packages": own | self._scheduler},
            "workers": {"tcp://10.0.0.1:1": {"packages": own | self._changes}},
        }

    def run(self, function: Callable[[], str | None]) -> dict[str, str | None]:
        assert function is parallel.project_digest
        return {"tcp://10.0.0.1:1": self._project}


@pytest.mark.parametrize(
    ("changes", "scheduler", "project", "message"),
    [
        (
            {"scikit-learn": "1.8.0", "skline": None},
            {},
            "same",
            r"worker tcp://10.0.0.1:1 has skline missing \(here .*\), scikit-learn 1.8.0 \(here 1\.",
        ),
        ({"python": "3.9.1.final.0"}, {}, "same", r"worker .* has python 3.9 \(here 3"),
        ({}, {"distributed": "2024.1.0"}, "same", r"the Dask scheduler has distributed 2024.1.0 \(here 20"),
        ({}, {}, "0" * 12, r"worker .* has another src/model \(digest 0{12}, here "),
        ({}, {}, None, r"worker .* has no src/model .*PYTHONPATH=src uv run dask worker"),
    ],
)
def test_a_worker_of_another_environment_is_rejected(
    changes: dict[str, str | None], scheduler: dict[str, str | None], project: str | None, message: str
) -> None:
    pytest.importorskip("dask.distributed", reason="Dask is not installed; run `uv sync`")
    environment = this_environment()
    digest = environment.project if project == "same" else project
    with pytest.raises(SklineError, match=message):
        parallel.require_same_environment(FakeClient(changes, scheduler, digest), environment)
    parallel.require_same_environment(FakeClient({}, {}, environment.project), environment)
    with pytest.raises(SklineError, match=r"a Dask worker on .* has joblib .* \(here 0\)"):
        call_with(environment, ("joblib", "0"))


def call_with(environment: parallel.Environment, version: tuple[str, str]) -> None:
    other = parallel.Environment((*environment.versions, version), environment.project, 1, 1)
    parallel.call(other, max, 1, 2)


def test_calls_run_with_the_threads_of_the_process_that_submits_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as a worker that a nanny starts
    environment = this_environment()
    more = replace(environment, openmp_threads=3, blas_threads=1)
    with threadpoolctl.threadpool_limits({"openmp": 1, "blas": 1}):
        assert parallel.call(more, max, 1, 2) == 2
        assert this_environment() == more


class KillsWorkers:
    """Workers of a cluster of two, which get SIGKILL: the first after 8 results, the other after 20, both after 35."""

    def __init__(self, client: Any) -> None:
        self._client, self._workers = client, DaskWorkers(client, this_environment())

    def map(self, function: Callable[[Any, Any], Any], data: Any, tasks: Iterable[Any]) -> Iterator[Any]:
        first = self._pids()
        for number, result in enumerate(self._workers.map(function, data, tasks), start=1):
            yield result
            killed = {8: first[:1], 20: first[1:]}.get(number, []) if number != 35 else self._pids()
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    def _pids(self) -> list[int]:
        return list(self._client.run(os.getpid).values())


@contextmanager
def cluster(n_workers: int) -> Iterator[Any]:
    distributed = import_module("dask.distributed")
    with (
        distributed.LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=50,
        ) as started,
        distributed.Client(started) as client,
    ):
        yield client


def search_demo(workers: parallel.Workers) -> SearchResult:
    pipeline = build_pipeline(demo.contract()).set_params(model__max_iter=10, model__random_state=17)
    rows = demo.parts()["train"].iloc[:2_000]
    return search(pipeline, rows, demo.contract(), Search(candidates=20, space=SPACE), "time", 5, workers=workers)


@pytest.mark.slow
def test_a_search_whose_workers_are_killed_finds_what_this_process_finds() -> None:
    pytest.importorskip("dask.distributed", reason="Dask is not installed; run `uv sync`")
    expected = search_demo(LOCAL)
    with cluster(2) as client:
        # After both were killed, the cluster has no copy of the rows.
        assert search_demo(KillsWorkers(client)) == expected
    assert len(expected.trials) == 20
    assert expected.chosen


@pytest.mark.slow
def test_an_evaluation_on_workers_gives_the_same_figures() -> None:
    pytest.importorskip("dask.distributed", reason="Dask is not installed; run `uv sync`")
    parts = demo.parts()
    settings = Evaluate(
        min_segment_rows=50,
        baseline_rows=1_000,
        resamples=100,
        importance_rows=300,
        leak_rows=300,
        seeds=2,
        learning_curve=True,
    )

    def figures(workers: parallel.Workers) -> Any:
        result = evaluate(
            demo.pipeline(), parts["train"], parts["test"], demo.contract(), settings, seed=1, workers=workers
        )
        return result.metrics, result.details

    with parallel.parallel(EngineSettings(kind="dask", workers=2)) as workers:
        assert figures(workers) == figures(LOCAL)


def double_slowly(_: None, task: int) -> int:
    time.sleep(0.2)
    return 2 * task


def fail(_: None, task: int) -> int:
    raise ValueError(f"task {task} fails")


class Large:
    """A result whose transfer takes longer than the time between two looks at a call."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[type["Large"], tuple[int]]:
        time.sleep(3 * parallel.POLL_SECONDS)
        return Large, (self.number,)


def make_large(_: None, task: int) -> Large:
    return Large(task)


def end_the_worker(_: None, task: int) -> int:
    os._exit(task)


def start(module: str, *arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=demo.ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


@contextmanager
def processes(folder: Path, *worker_arguments: str) -> Iterator[SimpleNamespace]:
    """Run a scheduler and a worker, each in a process of its own."""
    file = folder / "scheduler.json"
    at = ("--scheduler-file", str(file))
    scheduler = start("dask_scheduler", *at, "--host", "127.0.0.1", "--port", "0", "--no-show")
    worker = start(
        "dask_worker", *at, "--no-nanny", "--nthreads", "1", "--local-directory", str(folder), *worker_arguments
    )
    try:
        deadline = time.monotonic() + 60
        while not (file.exists() and file.read_text()):
            assert time.monotonic() < deadline, "the scheduler does not start"
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        yield SimpleNamespace(address=address, scheduler=scheduler, worker=worker)
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_worker_with_another_scikit_learn_is_rejected(tmp_path: Path) -> None:
    pytest.importorskip("dask.distributed", reason="Dask is not installed; run `uv sync`")
    preload = tmp_path / "preload.py"
    preload.write_text(
        "from distributed import versions\n"
        "def version(name, installed=versions.version):\n"
        "    return '1.8.0' if name == 'scikit-learn' else installed(name)\n"
        "versions.version = version\n"
    )
    with processes(tmp_path, "--preload", str(preload)) as started:
        engine = EngineSettings(kind="dask", scheduler=started.address)
        with (
            pytest.raises(SklineError, match=r"worker tcp.* has scikit-learn 1.8.0 \(here 1.9"),
            parallel.parallel(engine),
        ):
            pass


@pytest.mark.slow
def test_errors_of_calls_and_of_the_cluster_are_those_that_people_understand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dask.distributed", reason="Dask is not installed; run `uv sync`")
    with processes(tmp_path) as started:
        engine = EngineSettings(kind="dask", scheduler=started.address)
        with parallel.parallel(engine) as workers:
            assert list(workers.map(double_slowly, None, range(5))) == [0, 2, 4, 6, 8]
            with pytest.raises(ValueError, match="task 0 fails"):
                list(workers.map(fail, None, range(5)))
            results = workers.map(double_slowly, None, range(100))
            assert next(results) == 0
            started.scheduler.kill()
            begun = time.monotonic()
            with pytest.raises(SklineError, match=f"scheduler at {started.address} has ended or is not reachable"):
                list(results)
            assert time.monotonic() - begun < 30
    monkeypatch.setattr(parallel, "WORKER_TIMEOUT_SECONDS", 2)
    (tmp_path / "second").mkdir()
    with (
        processes(tmp_path / "second") as started,
        parallel.parallel(EngineSettings(kind="dask", scheduler=started.address)) as workers,
    ):
        results = workers.map(double_slowly, None, range(100))
        assert next(results) == 0
        started.worker.kill()
        with pytest.raises(SklineError, match="the Dask cluster has had no worker for 2 s; start one"):
            list(results)


@pytest.mark.slow
def test_results_whose_transfer_takes_long_arrive() -> None:
    pytest.importorskip("dask.distributed", reason="Dask is not installed; run `uv sync`")
    with parallel.parallel(EngineSettings(kind="dask", workers=1)) as workers:
        assert [each.number for each in workers.map(make_large, None, range(4))] == [0, 1, 2, 3]


@pytest.mark.slow
def test_a_call_that_ends_each_of_its_workers_is_an_error() -> None:
    pytest.importorskip("dask.distributed", reason="Dask is not installed; run `uv sync`")
    with cluster(2) as client:
        workers = DaskWorkers(client, this_environment())
        with pytest.raises(SklineError, match="one call ended 4 Dask workers one after the other .*too small"):
            list(workers.map(end_the_worker, None, [1]))
