"""Find the best batching settings of the alternatives that have batching, for `benchmarks.serving`.

    uv run python -m benchmarks.batching

Measures each setting with 64 concurrent connections, as `benchmarks.serving` does, and writes
docs/benchmarks/batching.md. The chosen settings are in benchmarks/servers/__init__.py.
"""

import argparse
import signal
import sys
from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.load import report, venvs, workload, wrk
from benchmarks.load.measure import MANY, ONE, measure_server
from benchmarks.load.processes import ServerFailed
from benchmarks.servers import all_servers
from benchmarks.servers.base import Server
from benchmarks.servers.bento import BentoMl
from benchmarks.servers.lit import LitServe
from benchmarks.servers.mlservers import MlServer
from benchmarks.serving import CACHE, DOCS, ROOT, log
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
    """Measure every candidate in interleaved rounds; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batching", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which each setting is measured (%(default)s)")
    parser.add_argument("--seconds", type=int, default=2, help="duration of each measurement (%(default)s)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results: dict[Server, list[dict[str, float]]] = {server: [] for server in CANDIDATES}
    failed: dict[Server, str] = {}
    try:
        wrk.version()
        demo = workload.prepare(ROOT, CACHE / "workloads")["demo"]
        for number in range(options.rounds):
            for server in CANDIDATES:
                try:
                    python = venvs.build(server.requirements, CACHE / "venvs", ROOT).python
                    readings = measure_server(
                        server, demo, python, CACHE / "runs", number, options.seconds, (ONE, MANY)
                    )
                except (ServerFailed, venvs.NotInstallable) as error:
                    failed[server] = report.escape_cell(f"failed: {error}")
                    log(f"round {number + 1}/{options.rounds} {server.setup}: {failed[server]}")
                    continue
                results[server].append({reading.figure: reading.value for reading in readings})
                log(f"round {number + 1}/{options.rounds} {server.setup}: {results[server][-1]['many rate']:,.0f}/s")
    except (SklineError, KeyboardInterrupt) as error:
        print(f"benchmarks.batching: {error or 'interrupted'}", file=sys.stderr)
        return 1
    write_text(DOCS / "batching.md", markdown(results, failed, options))
    log(f"written: {DOCS / 'batching.md'}")
    return 0


def markdown(
    results: Mapping[Server, Sequence[Mapping[str, float]]], failed: Mapping[Server, str], options: argparse.Namespace
) -> str:
    """Return the page with the results of each round by server, and the failures."""
    chosen = "\n".join(f"- {s.title}: {s.setup}" for s in all_servers() if s.name.endswith("batching"))
    lines = ["| | setting | c = 1, req/s | c = 64, req/s | p99, ms | failed |", "|---|---|--:|--:|--:|--:|"]
    for server, rounds in results.items():
        cells = [report.format_number(median_of(rounds, figure)) for figure in ("one rate", "many rate", "many p99_ms")]
        cells.append(failed.get(server) or report.format_number(sum(values["many failed"] for values in rounds)))
        lines.append(f"| {server.title} | {server.setup} | {' | '.join(cells)} |")
    return (
        "# Batching settings of the alternatives\n\n"
        f"Written by `uv run python -m benchmarks.batching`: {report.describe_machine()}. Medians of {options.rounds} "
        f"interleaved rounds of {options.seconds} s per measurement, as in [serving.md](serving.md). The settings "
        "chosen for that comparison have the most requests per second at concurrency 64 without failures (the order of "
        f"settings that differ by less than a tenth changes from run to run):\n\n{chosen}\n\n" + "\n".join(lines) + "\n"
    )


def median_of(rounds: Sequence[Mapping[str, float]], figure: str) -> float | None:
    """Return the median of a figure; None if every round failed."""
    return median(values[figure] for values in rounds) if rounds else None


if __name__ == "__main__":
    raise SystemExit(main())
