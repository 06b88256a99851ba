"""Compare the services of two checkouts: `python -m benchmarks.checkouts OLD [NEW] [--starts 5]`.

Use it before and after a change. Both services run at the same time, each with the code and the artifact of its own
checkout (`uv run dvc repro` in both first), and `wrk` drives them in alternating order. Prints the median of the
paired ratios new/old: requests per second above 1.0 are better, latencies and processor time per request below 1.0
are. Processor time suffers less from other work on the machine than the rest.

The services are started several times, because two processes of the same code differ by more than 10 % for as long as
they live: the range of the medians of the starts shows it.

The log's queue is so long that no row is dropped, and processor time is taken when the queue is empty: otherwise the
service whose log drops more rows would look faster.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from benchmarks.load import wrk
from benchmarks.load.processes import free_ports, post, running, send_signal, wait_until
from skline.contract.frames import to_json_rows
from skline.contract.spec import Contract
from skline.errors import SklineError

DISTINCT_ROWS, BATCH_ROWS = 256, 1000
#: Measure → path, file of request bodies, concurrent connections.
MEASURES = {
    "c=1": ("/predict", "rows.jsonl", 1),
    "c=64": ("/predict", "rows.jsonl", 64),
    "batches of 1,000": ("/predict/batch", "batch.jsonl", 4),
}
#: Setting → environment of the service.
SETUPS = {
    "no log, no rate limit": {"SKLINE_LOG__MODE": "off", "SKLINE_LIMITS__RATE": "off"},
    "log in SQLite, rate limit": {"SKLINE_LIMITS__RATE": "10000000/second", "SKLINE_LOG__QUEUE_ROWS": "10000000"},
}
START_SECONDS = 60.0
#: A service that used less than a tenth of this time has nothing left to do.
IDLE_CHECK_SECONDS = 0.3


def main() -> int:
    """Compare two checkouts; return the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.checkouts", description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path, help="a checkout with its artifact")
    parser.add_argument("new", type=Path, nargs="?", default=Path(), help="another (default: this one)")
    parser.add_argument("--starts", type=int, default=5, help="times that both services are started (default: 5)")
    parser.add_argument("--rounds", type=int, default=2, help="times that each is driven per start (default: 2)")
    parser.add_argument("--seconds", type=int, default=3, help="length of each drive (default: 3)")
    options = parser.parse_args()
    try:
        wrk.version()
        for setup, variables in SETUPS.items():
            pairs: dict[str, list[Pair]] = {measure: [] for measure in MEASURES}
            for _ in range(options.starts):
                drive_both(variables, options.old.resolve(), options.new.resolve(), options, pairs)
            for measure, measured in pairs.items():
                print(f"{setup}, {measure}: {summary(measured, options.rounds)}", flush=True)
    except SklineError as error:
        print(f"benchmarks.checkouts: {error}", file=sys.stderr)
        return 2
    return 0


class Drive(NamedTuple):
    """One drive of a service; `cost` is its processor time per request, in seconds."""

    figures: wrk.Figures
    cost: float


#: A drive of the old service and one of the new.
Pair = tuple[Drive, Drive]


def drive_both(
    variables: dict[str, str], old: Path, new: Path, options: argparse.Namespace, pairs: dict[str, list[Pair]]
) -> None:
    """Start both services with the same settings, drive them, and add the pairs of each measure."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        folder = Path(scratch)
        write_bodies(new, folder)
        ports = free_ports(2)
        pids = [
            stack.enter_context(service(checkout, port, variables, folder / name, folder / "rows.jsonl"))
            for name, checkout, port in zip(("old", "new"), (old, new), ports, strict=True)
        ]
        for measure, (path, bodies, connections) in MEASURES.items():
            for round_ in range(options.rounds + 1):
                drives: dict[int, Drive] = {}
                for side in (0, 1) if round_ % 2 else (1, 0):
                    send_signal(pids[1 - side], signal.SIGSTOP)
                    before = processor_seconds(pids[side])
                    figures = wrk.drive(ports[side], path, folder / bodies, connections, options.seconds, {})
                    used = processor_seconds_when_idle(pids[side]) - before
                    send_signal(pids[1 - side], signal.SIGCONT)
                    drives[side] = Drive(figures, used / (figures.rate * options.seconds))
                if round_:  # the first round warms both up
                    pairs[measure].append((drives[0], drives[1]))


@contextlib.contextmanager
def service(checkout: Path, port: int, variables: dict[str, str], folder: Path, rows: Path) -> Iterator[int]:
    """Run the service of a checkout until it has predicted, and stop it at the end; yields its process id."""
    folder.mkdir()
    environment = os.environ | variables | {
        "PYTHONPATH": f"{checkout / 'src'}{os.pathsep}{checkout}",
        "SKLINE_LOG__DATABASE": str(folder / "predictions.db"),
        "SKLINE_LOG__PARTITIONS": str(folder / "predictions"),
    }  # fmt: skip
    command = [sys.executable, "-m", "skline.cli", "serve", "--port", str(port)]
    started, log = time.perf_counter(), folder / "log"
    with running(command, environment, checkout, log) as process:
        body = rows.read_bytes().split(b"\n", 1)[0]
        wait_until(lambda: post(port, "/predict", body, {})[0] == 200, process, started, START_SECONDS, log)
        yield process.pid


def summary(pairs: list[Pair], rounds: int) -> str:
    """Return the medians of the ratios new/old, and the range of the medians of the starts for the rate."""

    def median(value: Callable[[Drive], float]) -> float:
        return statistics.median(value(new) / value(old) for old, new in pairs)

    starts = [pairs[first : first + rounds] for first in range(0, len(pairs), rounds)]
    medians = sorted(statistics.median(new.figures.rate / old.figures.rate for old, new in start) for start in starts)
    rates = [statistics.median(pair[side].figures.rate for pair in pairs) for side in (0, 1)]
    failed = [sum(pair[side].figures.failed for pair in pairs) for side in (0, 1)]
    return (
        f"rate {median(lambda drive: drive.figures.rate):.3f} (starts {medians[0]:.3f} to {medians[-1]:.3f}), "
        f"p50 {median(lambda drive: drive.figures.p50_ms):.3f}, p99 {median(lambda drive: drive.figures.p99_ms):.3f}, "
        f"processor {median(lambda drive: drive.cost):.3f} "
        f"(requests/s {rates[0]:,.0f} → {rates[1]:,.0f}; failed {failed[0]} and {failed[1]})"
    )


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used, with all its threads (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processor_seconds_when_idle(pid: int) -> float:
    """Wait until a process has written what its log has queued, and return the processor time that it has used."""
    used = processor_seconds(pid)
    while True:
        time.sleep(IDLE_CHECK_SECONDS)
        before, used = used, processor_seconds(pid)
        if used - before < IDLE_CHECK_SECONDS / 10:
            return used


def write_bodies(checkout: Path, folder: Path) -> None:
    """Write request bodies from the test part: one row a line, and one batch; SklineError if there is no test part."""
    part = checkout / "data/split/test.parquet"
    if not part.is_file():
        raise SklineError(f"{part} is missing; run `uv run dvc repro` in {checkout}")
    contract = Contract.model_validate_json((checkout / "data/contract.json").read_text(encoding="utf-8"))
    rows = to_json_rows(contract.inputs, pd.read_parquet(part).head(BATCH_ROWS))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:DISTINCT_ROWS]))
    (folder / "batch.jsonl").write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    sys.exit(main())
