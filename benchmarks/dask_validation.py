"""Measure the stage validate with its rules checked by partition on a Dask cluster, next to the stage as it is.

`uv run --group dev python -m benchmarks.dask_validation [--copies 10] [--workers 2]`

The workers read row groups of data/raw, check them, and send the three groups of rows back; this process looks for
repeated ids, and writes the files. The seconds are those of the processor, of each process: those of this process limit
what any number of machines can gain. See docs/decisions/0020-validation-in-one-process.md.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.scale import environment, make_project, write_table
from skline import paths
from skline.artifact.data_profile import profile_file
from skline.batches import table_writer
from skline.contract.spec import Contract
from skline.parallel import parallel
from skline.settings import EngineSettings
from skline.stages import validate

#: A row group, and the cells of the table whose value must be unique and is not.
Task = tuple[int, pd.DataFrame]
FILES = (paths.VALIDATED, paths.QUARANTINE, paths.UNLABELLED)


def divide_group(data: tuple[Contract, Path], task: Task) -> tuple[list[pa.Table], float]:
    """Divide a row group, whose cells all could be parsed; return the three groups, and the processor's seconds."""
    from model.contract import Labelled

    started = time.process_time()
    (contract, raw), (number, repeated) = data, task
    with pq.ParquetFile(raw) as file:
        rows = file.read_row_group(number).to_pandas()
    divided = validate.Validator(Labelled, contract).divide(rows, repeated.iloc[:0], repeated)
    return [pa.Table.from_pandas(group, preserve_index=False) for group in divided], time.process_time() - started


def by_partition(contract: Contract, n_workers: int) -> Iterator[list[pd.DataFrame]]:
    """Yield the three groups of each row group, checked on a cluster of this machine."""
    repeated = validate.find_duplicates_on_disk(paths.RAW, paths.UNPARSED, contract)
    assert repeated.empty, "the table has unique ids"
    worker_seconds = 0.0
    with parallel(EngineSettings(kind="dask", workers=n_workers)) as workers:
        tasks = ((number, repeated) for number in range(pq.read_metadata(paths.RAW).num_row_groups))
        for tables, seconds in workers.map(divide_group, (contract, paths.RAW.resolve()), tasks):
            worker_seconds += seconds
            yield [table.to_pandas() for table in tables]
    print(f"workers: {worker_seconds:.1f} s in calls", flush=True)


def alone(contract: Contract) -> Iterator[validate.Divided]:
    """Yield the three groups of each batch, as the stage does."""
    from model.contract import Labelled

    yield from validate.validate_batches(paths.RAW, paths.UNPARSED, validate.Validator(Labelled, contract), contract)


def run(kind: str, folder: Path, n_workers: int) -> None:
    """Validate in the project of the current folder, into another folder; print seconds and a digest of the files."""
    contract = Contract.read(paths.CONTRACT)
    started = time.process_time()
    with ExitStack() as stack:
        writers = [stack.enter_context(table_writer(folder / path.name)) for path in FILES]
        for groups in alone(contract) if kind == "alone" else by_partition(contract, n_workers):
            for writer, rows in zip(writers, groups, strict=True):
                writer.write(rows)
    digest = hashlib.sha256(b"".join((folder / path.name).read_bytes() for path in FILES)).hexdigest()
    print(f"{kind}: {time.process_time() - started:.1f} s in this process, files {digest[:12]}", flush=True)


def run_profile() -> None:
    """Print the seconds of the profile of the training part, which is what the stage package computes."""
    started = time.process_time()
    profile_file(paths.part("train"), Contract.read(paths.CONTRACT))
    print(f"profile: {time.process_time() - started:.1f} s in this process", flush=True)


def main() -> None:
    """Make a project and its raw rows; run each kind in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=10, help="of the 336,776 flights")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--run", nargs=2, metavar=("KIND", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        kind, folder = options.run
        run_profile() if kind == "profile" else run(kind, Path(folder), options.workers)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder, project = Path(temporary), Path(temporary) / "project"
        print(f"{write_table(folder / 'flights.csv', options.copies):,} rows", flush=True)
        make_project(project, folder / "flights.csv")
        env = environment(project)
        env["PYTHONPATH"] += os.pathsep + str(Path(__file__).parent.parent)
        for stage in ("ingest", "validate", "split"):
            command = [sys.executable, "-m", "skline.cli", "stage", stage]
            subprocess.run(command, cwd=project, env=env, check=True, stdout=subprocess.DEVNULL)
        for kind in ("alone", "by partition", "profile"):
            command = [sys.executable, "-m", "benchmarks.dask_validation", "--workers", str(options.workers)]
            subprocess.run([*command, "--run", kind, str(folder)], cwd=project, env=env, check=True)


if __name__ == "__main__":
    main()
