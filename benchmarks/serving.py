"""`/predict` against every other way of serving the same pipeline, side by side in one run.

    uv run --group bench python benchmarks/serving.py

Builds one environment for each alternative (kept in .cache/benchmarks), proves each server's numbers,
drives it with `wrk` on loopback, and writes docs/benchmarks/serving.md, .svg and .json. Nothing but
processes that it has started is ever stopped.
"""

import argparse
import datetime as dt
import importlib.metadata
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# This file's own folder would hide the package `serving` behind this very module.
sys.path[0] = str(ROOT)

from benchmarks.load import plot, report, venvs, workload, wrk  # noqa: E402
from benchmarks.load.measure import MEASURES, Reading, visit  # noqa: E402
from benchmarks.load.processes import ServerFailed  # noqa: E402
from benchmarks.load.summary import Subject, ratios  # noqa: E402
from benchmarks.servers import every_server  # noqa: E402
from benchmarks.servers.base import Server  # noqa: E402
from skline.errors import SklineError  # noqa: E402

CACHE = ROOT / ".cache" / "benchmarks"
DOCS = ROOT / "docs" / "benchmarks"


def main() -> int:
    """Run the comparison; return the exit status."""
    options = arguments()
    try:
        wrk.require()
        servers = chosen(options.only)
        if not plot.available():
            say(
                "matplotlib is missing: tables only (`uv run --group bench python benchmarks/serving.py` draws too)"
            )
        workloads = workload.prepare(ROOT, CACHE / "workloads")
        say(f"pipeline: {workloads['demo'].source}")
        pythons, subjects, absent = environments(servers)
        readings = rounds([s for s in servers if s.name in pythons], workloads, pythons, absent, options)
        if not readings:
            raise SklineError(f"nothing could be measured: {absent}")
    except SklineError as error:
        print(f"benchmarks/serving.py: {error}", file=sys.stderr)
        return 1
    run = {
        "command": "uv run --group bench python benchmarks/serving.py",
        "arguments": sys.argv[1:],
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": report.machine(),
        "python": f"Python {platform.python_version()}",
        "wrk": wrk_version(),
        "source": workloads["demo"].source,
        "rounds": options.rounds,
        "seconds": options.seconds,
    }
    report.write(options.out, readings, subjects, absent, run)
    if plot.available():
        plot.draw(readings, subjects, options.out / "serving.svg")
    say(report.servers_table(readings, [s for s in subjects if any(r.server == s.name for r in readings)]))
    for entry in ratios(readings, subjects):
        say(
            f"{entry['label']}: {report.times(entry['to_best'])} the best, {report.times(entry['to_constant'])} the constant app"
        )
    say(f"written: {options.out / 'serving.md'}")
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, help="how often each server is started and measured (5)")
    parser.add_argument("--seconds", type=float, help="how long each measurement lasts (4)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these servers")
    parser.add_argument(
        "--quick", action="store_true", help="one round of one second, into .cache/benchmarks/quick"
    )
    parser.add_argument("--out", type=Path, help="folder of the report (docs/benchmarks)")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (1.0 if options.quick else 4.0)
    options.out = options.out or (CACHE / "quick" if options.quick else DOCS)
    if not (1 <= options.rounds <= 50 and 1 <= options.seconds <= 60):
        parser.error("--rounds must be 1 to 50 and --seconds 1 to 60")
    return options


def chosen(only: list[str] | None) -> list[Server]:
    """The servers named, or all of them."""
    servers = every_server()
    unknown = set(only or ()) - {server.name for server in servers}
    if unknown:
        raise SklineError(
            f"--only: unknown {sorted(unknown)}; choose from {[server.name for server in servers]}"
        )
    return [server for server in servers if only is None or server.name in only]


def environments(servers: list[Server]) -> tuple[dict[str, Path], list[Subject], dict[str, str]]:
    """Build what the servers need: interpreters by name, what the report says of each, and who is absent."""
    pythons: dict[str, Path] = {}
    subjects: list[Subject] = []
    absent: dict[str, str] = {}
    for server in servers:
        try:
            if reason := server.unavailable():
                raise venvs.NotInstallable(reason)
            if server.environment:
                say(f"environment of {server.title} …")
                built = venvs.build(server.environment, server.requirements, CACHE / "venvs", ROOT)
            else:
                built = venvs.Environment(Path(sys.executable), own_versions())
        except venvs.NotInstallable as error:
            say(f"{server.title} is left out: {error}")
            absent[server.title] = str(error)
            continue
        pythons[server.name] = built.python
        shown = report.versions(built.versions, server.requirements)
        subjects.append(Subject(server.name, server.title, server.role, server.tuning, shown, built.note))
    return pythons, subjects, absent


def own_versions() -> dict[str, str]:
    """What is installed where this runs."""
    return {found.name.lower(): found.version for found in importlib.metadata.distributions()}


def rounds(
    servers: list[Server],
    workloads: dict[str, workload.Workload],
    pythons: dict[str, Path],
    absent: dict[str, str],
    options: argparse.Namespace,
) -> list[Reading]:
    """Visit every server in every round; one that fails is told in `absent` and not visited again."""
    readings: list[Reading] = []
    failed: set[tuple[str, str]] = set()
    for number in range(options.rounds):
        turn = number * len(servers) // options.rounds
        for server in servers[turn:] + servers[:turn]:
            for name in MEASURES:
                if (server.name, name) in failed or not server.scores(workloads[name]):
                    continue
                began = time.perf_counter()
                found: list[Reading] = []
                try:
                    for reading in visit(
                        server, workloads[name], pythons[server.name], CACHE / "runs", number, options.seconds
                    ):
                        found.append(reading)
                except ServerFailed as error:
                    failed.add((server.name, name))
                    absent[f"{server.title} ({name})"] = venvs.why(str(error))
                    say(f"round {number + 1}/{options.rounds} {server.name} ({name}): left out, {error}")
                    continue
                readings += found
                say(
                    f"round {number + 1}/{options.rounds} {line(server, name, found)} [{time.perf_counter() - began:.0f} s]"
                )
    return readings


def line(server: Server, name: str, found: list[Reading]) -> str:
    """One visit in one line."""
    figures = [
        f"{reading.measure} {report.number(reading.start_seconds)} s"
        if reading.measure == "start"
        else f"{reading.measure} {report.number(reading.rate)}/s (p99 {report.number(reading.p99_ms)} ms)"
        + (f" {reading.failed} FAILED" if reading.failed else "")
        for reading in found
    ]
    return f"{server.name} ({name}): {', '.join(figures)}"


def wrk_version() -> str:
    """Such as "wrk 4.1.0"."""
    output = subprocess.run(
        [str(shutil.which("wrk")), "-v"], capture_output=True, text=True, check=False
    ).stdout
    words = output.split()
    return " ".join(words[:2]) if words else "wrk"


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
