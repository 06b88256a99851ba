"""Interleaved rounds over all servers; a server that fails is reported and skipped in the rounds that follow."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.load.measure import BATCH, MANY, ONE, Reading, measure_server
from benchmarks.load.processes import ServerFailed
from benchmarks.load.workload import Workload
from benchmarks.servers.base import Server

Log = Callable[[str], None]
MEASURES = {"demo": (ONE, MANY, BATCH), "custom": (MANY,)}


def rounds(
    servers: Sequence[Server],
    workloads: Mapping[str, Workload],
    pythons: Mapping[str, Path],
    cache: Path,
    count: int,
    seconds: int,
    log: Log,
) -> tuple[list[Reading], dict[str, str]]:
    """Measure every server with every workload in each of `count` rounds, in an order that rotates.

    Returns
    -------
    list of Reading, dict
        The readings, and the reason of each failure by "title (workload)".
    """
    readings: list[Reading] = []
    absent: dict[str, str] = {}
    for number in range(count):
        first = number * len(servers) // count
        for server in [*servers[first:], *servers[:first]]:
            for name, workload in workloads.items():
                key = f"{server.title} ({name})"
                if key in absent or (server.role == "reference" and name != "demo"):
                    continue
                started = time.perf_counter()
                try:
                    taken = measure_server(
                        server, workload, pythons[server.name], cache, number, seconds, MEASURES[name]
                    )
                except ServerFailed as error:
                    absent[key] = f"in round {number + 1}, {error}"
                    log(f"round {number + 1}/{count} {server.name} ({name}) is skipped: {error}")
                    continue
                readings += taken
                elapsed = time.perf_counter() - started
                log(f"round {number + 1}/{count} {server.name} ({name}): {summary_line(taken)} [{elapsed:.0f} s]")
    return readings, absent


def summary_line(readings: Sequence[Reading]) -> str:
    """Format the readings of one server in one round on one line."""
    values = {reading.figure: reading.value for reading in readings}
    parts = [f"start {values['start_seconds']:.2f} s"]
    for measure in [measure for measure in (ONE, MANY, BATCH) if f"{measure} rate" in values]:
        parts.append(f"{measure} {values[f'{measure} rate']:,.0f}/s (p99 {values[f'{measure} p99_ms']:.3g} ms)")
        if failed := values[f"{measure} failed"]:
            parts.append(f"{failed:.0f} FAILED")
    return ", ".join(parts)
