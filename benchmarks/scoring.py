"""`skline score` against pandas and the pipeline: `uv run python -m benchmarks.scoring [--rows N] [--large N]`.

Both read the same Parquet file (the flights of the demo, repeated) and write Parquet, each in a process of its own on
the same core, in interleaved rounds; what counts is the ratio of the medians. Then `skline score` on all cores, and
both once on a long table, with the memory they took at most. Writes docs/benchmarks/scoring.md. Wants what `dvc repro`
leaves behind: data/validated and artifact/.
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
chances = pipeline.predict_proba(pd.read_parquet(table, columns=names))
pd.DataFrame(chances, columns=[f"probability_{c}".lower() for c in pipeline.classes_]).to_parquet(out)
"""


@dataclass(frozen=True)
class Run:
    """One run: wall time and processor time in seconds, and peak memory in MB."""

    wall: float
    processor: float
    memory: float


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoring", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the compared runs (%(default)s)")
    parser.add_argument("--large", type=int, default=10_000_000, help="of the long table (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    options = parser.parse_args()
    contract = Artifact.open(paths.ARTIFACT, read_digest(paths.ARTIFACT_DIGEST)).contract
    cores = sorted(os.sched_getaffinity(0))
    found: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory(prefix="skline-bench-") as name:
        folder = Path(name)
        for rows, rounds, tag in ((options.rows, options.rounds, ""), (options.large, 1, " large")):
            table = folder / f"{rows}.parquet"
            write_rows(table, rows)
            ways = {
                "score, one core": (score(table, folder / "ours.parquet", 1), cores[:1]),
                "pandas, one core": (pandas(table, folder / "theirs.parquet", contract.input_names), cores[:1]),
                "score, all cores": (score(table, folder / "ours.parquet", len(cores)), cores),
            }
            for number in range(rounds):
                for way, (command, allowed) in ways.items():
                    run = measured(command, allowed)
                    found.setdefault(way + tag, []).append(run)
                    print(f"round {number + 1}, {rows:,} rows, {way}: {run}", flush=True)
            same(folder / "ours.parquet", folder / "theirs.parquet")
    write_text(PAGE, "\n".join(page(found, options, len(cores))))


def write_rows(path: Path, rows: int) -> None:
    """Repeat the flights up to so many rows."""
    flights = pq.read_table(paths.VALIDATED)
    with pq.ParquetWriter(path, flights.schema) as writer:
        left = rows
        while left:
            part = flights.slice(0, left)
            writer.write_table(part)
            left -= part.num_rows


def score(table: Path, out: Path, jobs: int) -> list[str]:
    """`skline score`."""
    return [sys.executable, "-m", "skline.cli", "score", str(table), "--out", str(out), "--jobs", str(jobs)]


def pandas(table: Path, out: Path, names: list[str]) -> list[str]:
    """The script that it is compared with."""
    return [sys.executable, "-c", PANDAS, str(table), str(out), *names]


def measured(command: list[str], cores: list[int]) -> Run:
    """Run a command on some cores."""
    env = os.environ | {"OMP_NUM_THREADS": str(len(cores))}
    started = time.perf_counter()
    process = subprocess.Popen(["taskset", "-c", ",".join(map(str, cores)), *command], env=env)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return Run(wall, used.ru_utime + used.ru_stime, memory(used))


def memory(used: resource.struct_rusage) -> float:
    """Peak resident memory in MB."""
    return used.ru_maxrss * 1024 / 1e6


def same(ours: Path, theirs: Path) -> None:
    """Stop if the probabilities differ in a bit."""
    found = pq.read_table(ours, columns=pq.read_schema(theirs).names[:2])
    if not found.equals(pq.read_table(theirs, columns=found.column_names).cast(found.schema)):
        raise SystemExit("the probabilities differ")


def page(found: dict[str, list[Run]], options: argparse.Namespace, cores: int) -> Iterator[str]:
    """Lines of the page."""

    def median(way: str, what: str) -> float:
        return statistics.median(getattr(run, what) for run in found[way])

    def ratio(way: str, what: str) -> str:
        return f"{median(f'pandas, one core{way}', what) / median(f'score, one core{way}', what):.1f}"

    yield "# Batch scoring"
    yield ""
    yield f"Written by `uv run python -m benchmarks.scoring`: {cores} cores, Python {platform.python_version()}."
    yield "`skline score`, and `pd.read_parquet` + `pipeline.predict_proba` + `to_parquet`, each a process of its own,"
    yield "with its start, on the demo's flights repeated; the probabilities were compared, and are equal to the last"
    yield "bit. `skline score` judges every row by the contract besides. Medians of interleaved rounds; a machine doing"
    yield "other work meanwhile shows in the wall time, less so in the processor time."
    yield ""
    yield f"**On one core pandas takes {ratio('', 'processor')} times the processor time of `skline score` for"
    yield f"{options.rows:,} rows ({ratio('', 'wall')} times as long), and {ratio(' large', 'processor')} times"
    yield f"({ratio(' large', 'wall')} times as long) for {options.large:,}. `skline score` takes at most"
    yield f"{median('score, one core large', 'memory'):,.0f} MB for these, pandas"
    yield f"{median('pandas, one core large', 'memory'):,.0f} MB.**"
    yield ""
    yield "| | rows | rounds | wall, s | processor, s | rows/s | peak memory, MB |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for way, runs in found.items():
        rows = options.large if way.endswith(" large") else options.rows
        wall = median(way, "wall")
        yield (
            f"| {way.removesuffix(' large')} | {rows:,} | {len(runs)} | {wall:.1f} | {median(way, 'processor'):.1f} "
            f"| {rows / wall:,.0f} | {median(way, 'memory'):,.0f} |"
        )
    yield ""


if __name__ == "__main__":
    pa.set_cpu_count(1)
    main()
