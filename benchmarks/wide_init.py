"""Compare the time of `skline init` on a table of 300 columns with that of `pd.read_csv`.

`uv run python -m benchmarks.wide_init [--rows 100000] [--rounds 3] [--old CHECKOUT]`

Both run alternately, each in a process of its own; nothing is compared by cross-validation. With `--old`, the code of
another checkout runs in each round too. Prints the ratio of each round, and the medians.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.reading import Seconds, init
from benchmarks.wide_table import wide_table

ROOT = Path(__file__).parent.parent
#: Says how long `read_csv` takes, without the start of Python and the import of pandas.
READ_CSV = """
import sys, time
import pandas as pd
elapsed, processor = time.perf_counter(), time.process_time()
pd.read_csv(sys.argv[1])
print(time.perf_counter() - elapsed, time.process_time() - processor)
"""


def main() -> None:
    """Measure the rounds, and print them."""
    parser = argparse.ArgumentParser(prog="benchmarks.wide_init", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the table (default: 100,000)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each is measured (default: 3)")
    parser.add_argument("--old", type=Path, help="another checkout, which is measured too")
    options = parser.parse_args()
    checkouts = {"init": ROOT} | ({"init of the other checkout": options.old.resolve()} if options.old else {})
    rounds: dict[str, list[tuple[Seconds, Seconds]]] = {name: [] for name in checkouts}
    with tempfile.TemporaryDirectory(prefix="skline-wide-") as scratch:
        table = Path(scratch) / "wide.csv"
        wide_table(options.rows).to_csv(table, index=False)
        print(f"{options.rows:,} rows, {table.stat().st_size / 1e6:.0f} MB of CSV", flush=True)
        for _ in range(options.rounds):
            read = read_csv(table)
            for name, checkout in checkouts.items():
                rounds[name].append((init(checkout, table, Path(scratch)), read))
                print(describe(name, rounds[name][-1:]), flush=True)
    for name, measured in rounds.items():
        print(f"median: {describe(name, measured)}")


def read_csv(table: Path) -> Seconds:
    """Measure `pd.read_csv`."""
    done = subprocess.run([sys.executable, "-c", READ_CSV, str(table)], capture_output=True, text=True, check=True)
    elapsed, processor = map(float, done.stdout.split())
    return Seconds(elapsed, processor)


def describe(name: str, rounds: list[tuple[Seconds, Seconds]]) -> str:
    """Return the medians of some rounds: seconds, processor seconds, and their ratios to those of `pd.read_csv`."""
    elapsed, processor = (statistics.median(getattr(each, kind) for each, _ in rounds) for kind in Seconds._fields)
    ratios = [statistics.median(getattr(a, kind) / getattr(b, kind) for a, b in rounds) for kind in Seconds._fields]
    return f"{name}: {elapsed:.1f} s ({ratios[0]:.1f} times pd.read_csv), {processor:.1f} CPU s ({ratios[1]:.1f} times)"


if __name__ == "__main__":
    main()
