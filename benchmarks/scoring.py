"""Compare `skline score` with pandas and the pipeline: `uv run python -m benchmarks.scoring [--rows N] [--large N]`.

Both read the same Parquet file (the flights of the demo, repeated) and write Parquet, each in a process of its own on
the same core, in interleaved rounds; the result is the ratio of the medians. Then `skline score` runs on all cores, and
both run once on a long table, with their peak memory. Writes docs/benchmarks/scoring.md. Needs data/validated and
artifact/, which `dvc repro` makes.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from skline import paths
from skline.artifact import Artifact, read_digest
from skline.files import write_text

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks" / "scoring.md"
PANDAS = """
import sys
import joblib
import pandas as pd
table, out, *names = sys.argv[1:]
pipeline = joblib.load("artifact/pipeline.joblib")
probabilities = pipeline.predict_proba(pd.read_parquet(table, columns=names))
pd.DataFrame(probabilities, columns=[f"probability_{c}".lower() for c in pipeline.classes_]).to_parquet(out)
"""


@dataclass(frozen=True)
class Measurement:
    """One run of a command: wall time and processor time in seconds, and peak memory in MB."""

    wall: float
    processor: float
    memory: float


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoring", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the compared runs (%(default)s)")
    parser.add_argument("--large", type=int, default=10_000_000, help="rows of the long table (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the compared runs (%(default)s)")
    options = parser.parse_args()
    contract = Artifact.open(paths.ARTIFACT, read_digest(paths.ARTIFACT_DIGEST)).contract
    cores = sorted(os.sched_getaffinity(0))
    results: dict[str, list[Measurement]] = {}
    with tempfile.TemporaryDirectory(prefix="skline-bench-") as name:
        folder = Path(name)
        for rows, rounds, tag in ((options.rows, options.rounds, ""), (options.large, 1, " large")):
            table = folder / f"{rows}.parquet"
            write_rows(table, rows)
            variants = {
                "score, one core": (score_command(table, folder / "ours.parquet", 1), cores[:1]),
                "pandas, one core": (pandas_command(table, folder / "theirs.parquet", contract.input_names), cores[:1]),
                "score, all cores": (score_command(table, folder / "ours.parquet", len(cores)), cores),
            }
            for number in range(rounds):
                for variant, (command, allowed) in variants.items():
                    measurement = measure(command, allowed)
                    results.setdefault(variant + tag, []).append(measurement)
                    print(f"round {number + 1}, {rows:,} rows, {variant}: {measurement}", flush=True)
            require_equal(folder / "ours.parquet", folder / "theirs.parquet")
    write_text(PAGE, "\n".join(page(results, options, len(cores))))


def write_rows(path: Path, rows: int) -> None:
    """Write a table of so many rows, by repeating the flights."""
    flights = pq.read_table(paths.VALIDATED)
    with pq.ParquetWriter(path, flights.schema) as writer:
        remaining = rows
        while remaining:
            part = flights.slice(0, remaining)
            writer.write_table(part)
            remaining -= part.num_rows


def score_command(table: Path, out: Path, jobs: int) -> list[str]:
    """Return the command of `skline score`."""
    return [sys.executable, "-m", "skline.cli", "score", str(table), "--out", str(out), "--jobs", str(jobs)]


def pandas_command(table: Path, out: Path, names: list[str]) -> list[str]:
    """Return the command of the script that it is compared with."""
    return [sys.executable, "-c", PANDAS, str(table), str(out), *names]


def measure(command: list[str], cores: list[int]) -> Measurement:
    """Run a command on the given cores."""
    env = os.environ | {"OMP_NUM_THREADS": str(len(cores))}
    started = time.perf_counter()
    process = subprocess.Popen(["taskset", "-c", ",".join(map(str, cores)), *command], env=env)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return Measurement(wall, used.ru_utime + used.ru_stime, peak_memory_mb(used))


def peak_memory_mb(used: resource.struct_rusage) -> float:
    """Return the peak resident memory in MB."""
    return used.ru_maxrss * 1024 / 1e6


def require_equal(ours: Path, theirs: Path) -> None:
    """Exit if the probabilities differ in a bit."""
    table = pq.read_table(ours, columns=pq.read_schema(theirs).names[:2])
    if not table.equals(pq.read_table(theirs, columns=table.column_names).cast(table.schema)):
        raise SystemExit("the probabilities differ")


def page(results: dict[str, list[Measurement]], options: argparse.Namespace, cores: int) -> Iterator[str]:
    """Yield the lines of the page."""

    def median(variant: str, figure: str) -> float:
        return float(statistics.median(getattr(run, figure) for run in results[variant]))

    def ratio(tag: str, figure: str) -> str:
        return f"{median(f'pandas, one core{tag}', figure) / median(f'score, one core{tag}', figure):.1f}"

    yield "# Batch scoring"
    yield ""
    yield f"Written by `uv run python -m benchmarks.scoring`: {cores} cores, Python {platform.python_version()}."
    yield "`skline score` is compared with `pd.read_parquet` + `pipeline.predict_proba` + `to_parquet`, each in a"
    yield "process of its own, whose start counts, on the repeated flights of the demo. The probabilities are equal to"
    yield "the last bit. `skline score` also checks every row against the contract. Figures are medians of interleaved"
    yield "rounds; other work on the machine affects the wall time more than the processor time."
    yield ""
    yield f"**On one core pandas takes {ratio('', 'processor')} times the processor time of `skline score` for"
    yield f"{options.rows:,} rows ({ratio('', 'wall')} times as long), and {ratio(' large', 'processor')} times"
    yield f"({ratio(' large', 'wall')} times as long) for {options.large:,}. `skline score` takes at most"
    yield f"{median('score, one core large', 'memory'):,.0f} MB for these, pandas"
    yield f"{median('pandas, one core large', 'memory'):,.0f} MB.**"
    yield ""
    yield "| | rows | rounds | wall, s | processor, s | rows/s | peak memory, MB |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for variant, runs in results.items():
        rows = options.large if variant.endswith(" large") else options.rows
        wall = median(variant, "wall")
        yield (
            f"| {variant.removesuffix(' large')} | {rows:,} | {len(runs)} | {wall:.1f} "
            f"| {median(variant, 'processor'):.1f} | {rows / wall:,.0f} | {median(variant, 'memory'):,.0f} |"
        )
    yield ""


if __name__ == "__main__":
    pa.set_cpu_count(1)
    main()
