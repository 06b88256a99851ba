"""Compare the services of two checkouts: `python -m benchmarks.checkouts OLD [NEW] [--rounds 7]`.

Use it before and after a change. Both services run at the same time, each with the code and the artifact of its own
checkout (`uv run dvc repro` in both first), and `wrk` drives them in alternating order. Prints the median of the
paired ratios new/old: requests per second above 1.0 are better, latencies and processor time per request below 1.0
are. Processor time suffers less from other work on the machine than the rest.
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
from pathlib import Path

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
    "log in SQLite, rate limit": {"SKLINE_LIMITS__RATE": "10000000/second"},
}
START_SECONDS = 60.0


def main() -> int:
    """Compare two checkouts; return the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.checkouts", description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path, help="a checkout with its artifact")
    parser.add_argument("new", type=Path, nargs="?", default=Path(), help="another (default: this one)")
    parser.add_argument("--rounds", type=int, default=7, help="times that each service is driven (default: 7)")
    parser.add_argument("--seconds", type=int, default=3, help="length of each drive (default: 3)")
    options = parser.parse_args()
    try:
        wrk.version()
        for setup, variables in SETUPS.items():
            compare(setup, variables, options.old.resolve(), options.new.resolve(), options.rounds, options.seconds)
    except SklineError as error:
        print(f"benchmarks.checkouts: {error}", file=sys.stderr)
        return 2
    return 0


def compare(setup: str, variables: dict[str, str], old: Path, new: Path, rounds: int, seconds: int) -> None:
    """Run both services with the same settings and print the ratios of each measure."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        folder = Path(scratch)
        write_bodies(new, folder)
        ports = free_ports(2)
        pids = []
        for name, checkout, port in zip(("old", "new"), (old, new), ports, strict=True):
            environment = os.environ | variables | {
                "PYTHONPATH": f"{checkout / 'src'}{os.pathsep}{checkout}",
                "SKLINE_LOG__DATABASE": str(folder / name / "predictions.db"),
                "SKLINE_LOG__PARTITIONS": str(folder / name / "predictions"),
            }  # fmt: skip
            (folder / name).mkdir()
            log = folder / f"{name}.log"
            command = [sys.executable, "-m", "skline.cli", "serve", "--port", str(port)]
            started = time.perf_counter()
            process = stack.enter_context(running(command, environment, checkout, log))
            body = (folder / "rows.jsonl").read_bytes().split(b"\n", 1)[0]
            wait_until(lambda port=port, body=body: post(port, "/predict", body, {})[0] == 200,
                       process, started, START_SECONDS, log)  # fmt: skip
            pids.append(process.pid)
        for measure, (path, bodies, connections) in MEASURES.items():
            figures = ([], [])  # type: tuple[list[wrk.Figures], list[wrk.Figures]]
            costs = ([], [])  # type: tuple[list[float], list[float]]
            for round_ in range(rounds + 1):
                order = (0, 1) if round_ % 2 else (1, 0)
                for side in order:
                    send_signal(pids[1 - side], signal.SIGSTOP)
                    before = processor_seconds(pids[side])
                    measured = wrk.drive(ports[side], path, folder / bodies, connections, seconds, {})
                    used = processor_seconds(pids[side]) - before
                    send_signal(pids[1 - side], signal.SIGCONT)
                    if round_:  # the first round warms both up
                        figures[side].append(measured)
                        costs[side].append(used / (measured.rate * seconds))
            rate = statistics.median(b.rate / a.rate for a, b in zip(*figures, strict=True))
            p50 = statistics.median(b.p50_ms / a.p50_ms for a, b in zip(*figures, strict=True))
            p99 = statistics.median(b.p99_ms / a.p99_ms for a, b in zip(*figures, strict=True))
            cost = statistics.median(b / a for a, b in zip(*costs, strict=True))
            failed = [sum(run.failed for run in side) for side in figures]
            medians = [statistics.median(run.rate for run in side) for side in figures]
            print(
                f"{setup}, {measure}: rate {rate:.3f}, p50 {p50:.3f}, p99 {p99:.3f}, processor {cost:.3f} "
                f"(requests/s {medians[0]:,.0f} → {medians[1]:,.0f}; failed {failed[0]} and {failed[1]})",
                flush=True,
            )


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used, with all its threads (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
