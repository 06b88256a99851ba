"""Compare `/predict` with other ways of serving the same pipeline, in one run.

    uv run --group bench python -m benchmarks.serving

Builds an environment for each alternative (kept in .cache/benchmarks), verifies the responses of every server, measures
it with `wrk` on loopback, measures our server and its rivals again side by side, and writes docs/benchmarks/serving.md,
.svg and .json. Needs the artifact and the test part (`uv run dvc repro`) and `wrk`. Stops only processes that it has
started. The exit status is 0 if all measured targets are met, 1 if one is missed, 2 if nothing could be measured.
"""

import argparse
import compileall
import datetime as dt
import importlib.util
import platform
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.load import duels, report, rounds, summary, venvs, workload, wrk
from benchmarks.servers import all_servers
from benchmarks.servers.base import Server
from skline.errors import SklineError

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "benchmarks"
DOCS = ROOT / "docs" / "benchmarks"
COMMAND = "uv run --group bench python -m benchmarks.serving"


def main() -> int:
    """Run the comparison; return the exit status."""
    options = parse_arguments()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # an exit stops the running server; SIGTERM's default would not
    try:
        client = wrk.version()
        servers = select_servers(options.only)
        workloads = workload.prepare(ROOT, CACHE / "workloads")
        environments, absent = build(servers)
        servers = [server for server in servers if server.name in environments]
        pythons = {name: environment.python for name, environment in environments.items()}
        readings, failed = rounds.rounds(
            servers, workloads, pythons, CACHE / "runs", options.rounds, options.seconds, log
        )
        figures = summary.medians(readings)
        compared, failed_duels = duels.duels(servers, figures, workloads, pythons, CACHE / "runs", options.seconds, log)
    except SklineError as error:
        print(f"benchmarks.serving: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("benchmarks.serving: interrupted; all servers are stopped, no report is written", file=sys.stderr)
        return 130
    if not readings:
        print(f"benchmarks.serving: nothing could be measured: {absent | failed}", file=sys.stderr)
        return 2
    metadata = {
        "command": " ".join([COMMAND, *sys.argv[1:]]),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": report.describe_machine(),
        "python": f"Python {platform.python_version()}",
        "client": client,
        "commit": report.describe_commit(ROOT),
        "model": workloads["demo"].digest[:12],
        "rounds": options.rounds,
        "seconds": options.seconds,
    }
    versions = {name: environment.versions for name, environment in environments.items()}
    run = report.Run(servers, readings, compared, versions, absent | failed | failed_duels, metadata)
    results = report.write(run, options.out)
    draw(run, options.out)
    log(report.servers_table(figures, run.shown))
    compared_with_targets = [(ours, result) for ours, of_server in results.items() for result in of_server]
    for ours, result in compared_with_targets:
        target, value = result.target, report.format_value(result)
        log(f"{ours}: {target.label}: target {target.requirement}, measured {value}: {format_outcome(result)}")
    for title, reason in run.absent.items():
        log(f"not measured: {title}: {reason}")
    log(f"written: {options.out / 'serving.md'}")
    return 1 if any(result.met is False for _, result in compared_with_targets) else 0


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, help="rounds in which each server is started and measured (3)")
    parser.add_argument("--seconds", type=int, help="duration of each measurement (3)")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help=f"measure these only, of {', '.join(s.name for s in all_servers())}"
    )
    parser.add_argument("--quick", action="store_true", help="one round of one second per measurement, as a smoke test")
    parser.add_argument(
        "--out", type=Path, help="folder of the report (docs/benchmarks; a cache with --quick or --only)"
    )
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (1 if options.quick else 3)
    options.out = options.out or (CACHE / "report" if options.quick or options.only else DOCS)
    if not (1 <= options.rounds <= 50 and 1 <= options.seconds <= 60):
        parser.error("--rounds must be 1 to 50 and --seconds 1 to 60")
    return options


def select_servers(only: Sequence[str] | None) -> list[Server]:
    """Return the servers with the given names, or all."""
    servers = all_servers()
    unknown = set(only or ()) - {server.name for server in servers}
    if unknown:
        raise SklineError(f"--only: unknown {sorted(unknown)}; choose from {[server.name for server in servers]}")
    return [server for server in servers if only is None or server.name in only]


def build(servers: Sequence[Server]) -> tuple[dict[str, venvs.Environment], dict[str, str]]:
    """Build the environments; return them by name of the server, and the reasons of failures by title."""
    for folder in ("src", "serving", "benchmarks"):  # as in the image: no server compiles during a timed start
        compileall.compile_dir(str(ROOT / folder), quiet=1)
    environments: dict[str, venvs.Environment] = {}
    absent: dict[str, str] = {}
    for server in servers:
        log(f"environment of {server.name} …")
        try:
            environments[server.name] = venvs.build(server.requirements, CACHE / "venvs", ROOT)
        except venvs.NotInstallable as error:
            log(f"{server.name} is skipped: {error}")
            absent[server.title] = f"cannot be installed with these versions of scikit-learn and NumPy: {error}"
    return environments, absent


def draw(run: report.Run, folder: Path) -> None:
    """Draw the plot, or log how to install matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        log(f"no plot: matplotlib is not installed; run `{COMMAND}`")
        return
    from benchmarks.load import plot

    plot.draw(summary.medians(run.readings), run.shown, folder / "serving.svg")


def format_outcome(result: summary.TargetResult) -> str:
    """Format whether a target is met, for a terminal."""
    return {True: "met", False: "MISSED", None: "not measured"}[result.met]


def log(text: str) -> None:
    """Print and flush, so that a pipe gets every line at once."""
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
