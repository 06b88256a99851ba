"""`/predict` against every other way of serving the same pipeline, side by side in one run.

    uv run --group bench python -m benchmarks.serving

Builds one environment for each alternative (kept in .cache/benchmarks), proves every server's numbers, drives it
with `wrk` on loopback, drives those that are compared once more side by side, and writes docs/benchmarks/serving.md,
.svg and .json. It needs the artifact and the test part (`uv run dvc repro`) and `wrk`. Nothing but processes that it
has started is ever stopped. The exit status is 0 if everything that was measured is as asked, 1 if something falls
short, 2 if nothing could be measured.
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
from benchmarks.servers import every_server
from benchmarks.servers.base import Server
from skline.errors import SklineError

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "benchmarks"
DOCS = ROOT / "docs" / "benchmarks"
COMMAND = "uv run --group bench python -m benchmarks.serving"


def main() -> int:
    """Run the comparison; return the exit status."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit stops the server that runs; death would not
    try:
        client = wrk.version()
        servers = chosen(options.only)
        workloads = workload.prepare(ROOT, CACHE / "workloads")
        environments, absent = build(servers)
        servers = [server for server in servers if server.name in environments]
        pythons = {name: environment.python for name, environment in environments.items()}
        readings, failed = rounds.rounds(
            servers, workloads, pythons, CACHE / "runs", options.rounds, options.seconds, say
        )
        figures = summary.medians(readings)
        compared, undone = duels.duels(servers, figures, workloads, pythons, CACHE / "runs", options.seconds, say)
    except SklineError as error:
        print(f"benchmarks.serving: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("benchmarks.serving: interrupted; every server is stopped, nothing is written", file=sys.stderr)
        return 130
    if not readings:
        print(f"benchmarks.serving: nothing could be measured: {absent | failed}", file=sys.stderr)
        return 2
    facts = {
        "command": " ".join([COMMAND, *sys.argv[1:]]),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": report.machine(),
        "python": f"Python {platform.python_version()}",
        "client": client,
        "commit": report.commit(ROOT),
        "model": workloads["demo"].digest[:12],
        "rounds": options.rounds,
        "seconds": options.seconds,
    }
    versions = {name: environment.versions for name, environment in environments.items()}
    run = report.Run(servers, readings, compared, versions, absent | failed | undone, facts)
    findings = report.write(run, options.out)
    draw(run, options.out)
    say(report.servers_table(figures, run.shown))
    every = [(ours, finding) for ours, found in findings.items() for finding in found]
    for ours, finding in every:
        demand, found = finding.demand, report.ratio(finding)
        say(f"{ours}: {demand.label}: asked {demand.asked}, found {found}: {outcome(finding)}")
    for title, reason in run.absent.items():
        say(f"not measured: {title}: {reason}")
    say(f"written: {options.out / 'serving.md'}")
    return 1 if any(finding.holds is False for _, finding in every) else 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, help="how often each server is started and measured (3)")
    parser.add_argument("--seconds", type=int, help="how long each figure is measured (3)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"of {', '.join(s.name for s in every_server())}")
    parser.add_argument("--quick", action="store_true", help="one round of one second a figure: a smoke test")
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


def chosen(only: Sequence[str] | None) -> list[Server]:
    """The servers named, or all of them."""
    servers = every_server()
    unknown = set(only or ()) - {server.name for server in servers}
    if unknown:
        raise SklineError(f"--only: unknown {sorted(unknown)}; choose from {[server.name for server in servers]}")
    return [server for server in servers if only is None or server.name in only]


def build(servers: Sequence[Server]) -> tuple[dict[str, venvs.Environment], dict[str, str]]:
    """Build the environments by server name; and tell why there is none, by title."""
    for folder in ("src", "serving", "benchmarks"):  # as an image has it: no server compiles while its start is timed
        compileall.compile_dir(str(ROOT / folder), quiet=1)
    environments: dict[str, venvs.Environment] = {}
    absent: dict[str, str] = {}
    for server in servers:
        say(f"environment of {server.name} …")
        try:
            environments[server.name] = venvs.build(server.requirements, CACHE / "venvs", ROOT)
        except venvs.NotInstallable as error:
            say(f"{server.name} is left out: {error}")
            absent[server.title] = f"it cannot be installed beside this stack: {error}"
    return environments, absent


def draw(run: report.Run, folder: Path) -> None:
    """Draw the plot, or say what it takes."""
    if importlib.util.find_spec("matplotlib") is None:
        say(f"no plot: matplotlib is not installed, `{COMMAND}` has it")
        return
    from benchmarks.load import plot

    plot.draw(summary.medians(run.readings), run.shown, folder / "serving.svg")


def outcome(finding: summary.Finding) -> str:
    """For a terminal."""
    return {True: "pass", False: "FALLS SHORT", None: "not measured"}[finding.holds]


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
