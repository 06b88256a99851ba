"""The client: `wrk` in a closed loop, bounded in connections and seconds, on loopback only."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.latency import as_seen, percentile
from benchmarks.load.processes import HOST, ServerFailed
from skline.errors import SklineError

SCRIPT = Path(__file__).with_name("post.lua")
MARK = "figures "


class NothingAnswered(ServerFailed):
    """A server without one good answer."""


@dataclass(frozen=True)
class Figures:
    """What one run of the client saw: good answers a second, latencies in milliseconds, requests that failed."""

    rate: float
    p50_ms: float
    p99_ms: float
    failed: int


def version() -> str:
    """Such as "wrk 4.1.0"; SklineError with the way to install it if it is missing."""
    if shutil.which("wrk") is None:
        raise SklineError("`wrk` is not on PATH; install it (Debian, Ubuntu: `apt-get install wrk`) and run again")
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    return " ".join(said.split()[:2])


def drive(port: int, path: str, bodies: Path, connections: int, seconds: int, headers: Mapping[str, str]) -> Figures:
    """Post the lines of `bodies` in turn over `connections` connections for `seconds` seconds.

    Raises
    ------
    NothingAnswered
        If there was no good answer.
    ServerFailed
        If there is no server.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPT)]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    command += [f"http://{HOST}:{port}{path}", "--", str(bodies)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    if done.returncode:
        raise ServerFailed(f"wrk ended with status {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
    return parse(done.stdout, connections)


def parse(output: str, connections: int) -> Figures:
    """Read what post.lua has printed; NothingAnswered if not one request was answered well."""
    line = next((line for line in output.splitlines() if line.startswith(MARK)), None)
    if line is None:
        raise SklineError(f"wrk printed no figures: {output.strip()[-300:]}")
    raw = json.loads(line.removeprefix(MARK))
    good, failed = raw["requests"] - raw["statuses"], raw["statuses"] + raw["broken"]
    if good <= 0 or not raw["latencies"]:
        raise NothingAnswered(f"no good answer in {raw['microseconds'] / 1e6:.0f} s of load, {failed} requests failed")
    seen = as_seen(dict(raw["latencies"]), raw["requests"], raw["microseconds"], connections)
    return Figures(good / (raw["microseconds"] / 1e6), percentile(seen, 0.5), percentile(seen, 0.99), failed)
