"""How to set up the batching of the alternatives that have it, so that `benchmarks.serving` meets them at their best.

    uv run python -m benchmarks.batching

Tries each setting with 64 concurrent connections, as `benchmarks.serving` would, and writes
docs/benchmarks/batching.md. What was chosen of each stands in benchmarks/servers/__init__.py.
"""

import argparse
import signal
import sys
from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.load import report, venvs, workload, wrk
from benchmarks.load.measure import MANY, ONE, visit
from benchmarks.load.processes import ServerFailed
from benchmarks.servers import every_server
from benchmarks.servers.base import Server
from benchmarks.servers.bento import BentoMl
from benchmarks.servers.lit import LitServe
from benchmarks.servers.mlservers import MlServer
from benchmarks.serving import CACHE, DOCS, ROOT, say
from skline.errors import SklineError
from skline.files import write_text

BENTOML = ((32, 1000), (64, 200), (64, 1000), (100, 60_000))
MLSERVER = ((32, 0.005), (32, 0.02), (64, 0.005), (64, 0.02), (64, 0.05))
LITSERVE = ((16, 0.005), (32, 0.002), (32, 0.01), (64, 0.01))
CANDIDATES: tuple[Server, ...] = (
    *(BentoMl(setting) for setting in BENTOML),
    *(MlServer(setting) for setting in MLSERVER),
    *(LitServe(setting, queue) for queue in ("plain", "fast") for setting in LITSERVE),
)


def main() -> int:
    """Try every candidate in interleaved rounds; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batching", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each setting is tried (%(default)s)")
    parser.add_argument("--seconds", type=int, default=2, help="how long each figure is measured (%(default)s)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    found: dict[Server, list[dict[str, float]]] = {server: [] for server in CANDIDATES}
    failed: dict[Server, str] = {}
    try:
        wrk.version()
        demo = workload.prepare(ROOT, CACHE / "workloads")["demo"]
        for number in range(options.rounds):
            for server in CANDIDATES:
                try:
                    python = venvs.build(server.requirements, CACHE / "venvs", ROOT).python
                    readings = visit(server, demo, python, CACHE / "runs", number, options.seconds, (ONE, MANY))
                except (ServerFailed, venvs.NotInstallable) as error:
                    failed[server] = report.cell(f"failed: {error}")
                    say(f"round {number + 1}/{options.rounds} {server.setup}: {failed[server]}")
                    continue
                found[server].append({reading.what: reading.value for reading in readings})
                say(f"round {number + 1}/{options.rounds} {server.setup}: {found[server][-1]['many rate']:,.0f}/s")
    except (SklineError, KeyboardInterrupt) as error:
        print(f"benchmarks.batching: {error or 'interrupted'}", file=sys.stderr)
        return 1
    write_text(DOCS / "batching.md", markdown(found, failed, options))
    say(f"written: {DOCS / 'batching.md'}")
    return 0


def markdown(
    found: Mapping[Server, Sequence[Mapping[str, float]]], failed: Mapping[Server, str], options: argparse.Namespace
) -> str:
    """The page."""
    chosen = "\n".join(f"- {s.title}: {s.setup}" for s in every_server() if s.name.endswith("batching"))
    lines = ["| | setting | c = 1, req/s | c = 64, req/s | p99, ms | failed |", "|---|---|--:|--:|--:|--:|"]
    for server, tries in found.items():
        cells = [report.number(middle(tries, what)) for what in ("one rate", "many rate", "many p99_ms")]
        cells.append(failed.get(server) or report.number(sum(each["many failed"] for each in tries)))
        lines.append(f"| {server.title} | {server.setup} | {' | '.join(cells)} |")
    return (
        "# Batching, tuned\n\n"
        f"Written by `uv run python -m benchmarks.batching`: {report.machine()}. Medians of {options.rounds} "
        f"interleaved rounds of {options.seconds} s a figure, in the way of [serving.md](serving.md). What was "
        "chosen for the comparison there, by requests a second at concurrency 64 without failures (settings that are "
        f"within a tenth of each other change places from run to run):\n\n{chosen}\n\n" + "\n".join(lines) + "\n"
    )


def middle(tries: Sequence[Mapping[str, float]], what: str) -> float | None:
    """The median of one figure, if there is any."""
    return median(each[what] for each in tries) if tries else None


if __name__ == "__main__":
    raise SystemExit(main())
