"""The client: `wrk` in a closed loop, with a limit on connections and seconds, on loopback only."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.latency import percentile, remove_correction
from benchmarks.load.processes import HOST, ServerFailed
from skline.errors import SklineError

SCRIPT = Path(__file__).with_name("post.lua")
PREFIX = "figures "


class NoGoodResponse(ServerFailed):
    """A server that sent no good response."""


@dataclass(frozen=True)
class Figures:
    """Figures of one run of the client: good responses per second, latencies in milliseconds, failed requests."""

    rate: float
    p50_ms: float
    p99_ms: float
    failed: int


def version() -> str:
    """Return a string such as "wrk 4.1.0"; SklineError with the command to install wrk if it is missing."""
    if shutil.which("wrk") is None:
        raise SklineError("`wrk` is not on PATH; install it (Debian, Ubuntu: `apt-get install wrk`) and run again")
    output = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    return " ".join(output.split()[:2])


def drive(port: int, path: str, bodies: Path, connections: int, seconds: int, headers: Mapping[str, str]) -> Figures:
    """Post the lines of `bodies` in turn over `connections` connections for `seconds` seconds.

    Raises
    ------
    NoGoodResponse
        If there was no good response.
    ServerFailed
        If wrk cannot connect.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPT)]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    command += [f"http://{HOST}:{port}{path}", "--", str(bodies)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    if done.returncode:
        raise ServerFailed(f"wrk exited with status {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
    return parse(done.stdout, connections)


def parse(output: str, connections: int) -> Figures:
    """Parse the output of post.lua; NoGoodResponse if all requests failed."""
    line = next((line for line in output.splitlines() if line.startswith(PREFIX)), None)
    if line is None:
        raise SklineError(f"wrk printed no figures: {output.strip()[-300:]}")
    raw = json.loads(line.removeprefix(PREFIX))
    good, failed = raw["requests"] - raw["statuses"], raw["statuses"] + raw["broken"]
    if good <= 0 or not raw["latencies"]:
        raise NoGoodResponse(f"no good response in {raw['microseconds'] / 1e6:.0f} s of load, {failed} requests failed")
    latencies = remove_correction(dict(raw["latencies"]), raw["requests"], raw["microseconds"], connections)
    return Figures(good / (raw["microseconds"] / 1e6), percentile(latencies, 0.5), percentile(latencies, 0.99), failed)
