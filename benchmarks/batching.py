"""How to set up the batching of the alternatives that have it, so that `benchmarks.serving` meets them at their best.

    uv run python -m benchmarks.batching

Tries each setting once with 64 concurrent connections, as `benchmarks.serving` would, and writes
docs/benchmarks/batching.md. The best of each stands in benchmarks/servers/__init__.py.
"""

import argparse
import signal
import sys
from collections.abc import Sequence

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
    """Try every candidate; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batching", description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="how long each figure is measured (%(default)s)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows = []
    try:
        wrk.version()
        demo = workload.prepare(ROOT, CACHE / "workloads")["demo"]
        for server in CANDIDATES:
            rows.append([server.title, server.setup, *figures(server, demo, options.seconds)])
            say(" | ".join(rows[-1]))
    except (SklineError, KeyboardInterrupt) as error:
        print(f"benchmarks.batching: {error or 'interrupted'}", file=sys.stderr)
        return 1
    write_text(DOCS / "batching.md", markdown(rows))
    say(f"written: {DOCS / 'batching.md'}")
    return 0


def figures(server: Server, demo: workload.Workload, seconds: int) -> list[str]:
    """Requests a second at concurrency 1 and 64 and the latter's p99, or what went wrong."""
    try:
        python = venvs.build(server.requirements, CACHE / "venvs", ROOT).python
        found = {r.what: r.value for r in visit(server, demo, python, CACHE / "runs", 0, seconds, (ONE, MANY))}
    except (ServerFailed, venvs.NotInstallable) as error:
        return ["-", "-", report.cell(f"failed: {error}")]
    failed = f", {found['many failed']:.0f} failed" if found["many failed"] else ""
    return [
        report.number(found["one rate"]),
        report.number(found["many rate"]) + failed,
        report.number(found["many p99_ms"]),
    ]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The page."""
    chosen = "\n".join(f"- {s.title}: {s.setup}" for s in every_server() if s.name.endswith("batching"))
    lines = ["| | setting | c = 1, req/s | c = 64, req/s | p99, ms |", "|---|---|--:|--:|--:|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return (
        "# Batching, tuned\n\n"
        f"Written by `uv run python -m benchmarks.batching`: {report.machine()}. Each setting was measured once, in "
        "the way of [serving.md](serving.md). What was chosen for the comparison there:\n\n"
        f"{chosen}\n\n" + "\n".join(lines) + "\n"
    )


if __name__ == "__main__":
    raise SystemExit(main())
