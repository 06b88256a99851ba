"""Compare the time of the DVC pipeline with that of one script that does the same in one process.

`uv run python benchmarks/pipeline.py [--rounds N]`

Both run from scratch in interleaved rounds; the result is the ratio of the medians. Also measures the imports of each
stage, as `-X importtime` counts them, relative to `import pandas` alone, since machines differ in how fast they import.
Writes docs/benchmarks/pipeline.md.
"""

import argparse
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
#: The unit of the stages' import times.
PANDAS = "import pandas"
COPIED = (
    "src",
    "serving",
    "benchmarks",
    "data/source",
    "releases/.gitignore",
    "dvc.yaml",
    "engine.json",
    "params.yaml",
    ".dvc/config",
    ".dvcignore",
    ".gitignore",
)


def timed(command: list[str], folder: Path) -> tuple[float, str]:
    """Run a command in a project; return its wall time in seconds and its standard error, or exit if it fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path, "PYTHONPATH": f"{folder / 'src'}{os.pathsep}{folder}"}
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - started, done.stderr


def import_seconds(folder: Path, *arguments: str) -> float:
    """Run Python and return the seconds that it spends on imports, including those inside functions."""
    errors = timed([sys.executable, "-X", "importtime", *arguments], folder)[1]
    return sum(int(own) for own in re.findall(r"^import time: +(\d+) \|", errors, re.M)) / 1e6


def fresh_copy(folder: Path) -> Path:
    """Copy the project without data, caches and results into a git repository, and compile it."""
    for name in COPIED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run([sys.executable, "-m", "compileall", "-q", "src", "benchmarks"], cwd=folder, check=True)
    return folder


def measure(rounds: int) -> dict[str, list[float]]:
    """Time both alternately, and the imports of every stage; return the seconds by name."""
    times: dict[str, list[float]] = {"dvc repro": [], "one process": []}
    stages = list(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
    starts = {PANDAS: ["-c", "import pandas"]} | {
        f"start of {name}": ["-m", "skline.cli", "stage", name] for name in stages
    }
    times |= {name: [] for name in starts}
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = fresh_copy(Path(name))
            times["dvc repro"].append(timed([sys.executable, "-m", "dvc", "repro"], folder)[0])
            times["one process"].append(timed([sys.executable, "-m", "benchmarks.one_process", name], folder)[0])
            for start, command in starts.items():
                times[start].append(import_seconds(folder, *command))
        print(
            f"round {number + 1}: " + ", ".join(f"{key} {value[-1]:.2f} s" for key, value in times.items()),
            flush=True,
        )
    return times


def table(times: dict[str, list[float]]) -> str:
    """Return the page with the medians and their ratio as Markdown."""
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = medians["dvc repro"] / medians["one process"]
    lines = ["| what | median, s | × import pandas | rounds, s |", "| --- | --- | --- | --- |"]
    for name, values in times.items():
        multiple = f"{medians[name] / medians[PANDAS]:.1f}" if name.startswith("start") else ""
        rounds = ", ".join(f"{value:.2f}" for value in values)
        lines.append(f"| {name} | {medians[name]:.2f} | {multiple} | {rounds} |")
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    return "\n".join(
        [
            "# The DVC pipeline against one process",
            "",
            "`uv run python benchmarks/pipeline.py`: 336,776 flights from source to registered model by `dvc repro`,",
            "and a script that reads, validates, fits, evaluates and dumps the same in one process, from scratch,",
            f"in interleaved rounds ({machine}).",
            "",
            f"**`dvc repro` takes {ratio:.2f} times as long as one process.**",
            "",
            *lines,
            "",
        ]
    )


def main() -> None:
    """Measure, and print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    page = table(measure(parser.parse_args().rounds))
    out = ROOT / "docs/benchmarks/pipeline.md"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page)
    print(page)


if __name__ == "__main__":
    main()
