"""Interleaved rounds over all servers; one that fails is named and left out from there on."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.load.measure import BATCH, MANY, ONE, Reading, visit
from benchmarks.load.processes import ServerFailed
from benchmarks.load.workload import Workload
from benchmarks.servers.base import Server

Say = Callable[[str], None]
MEASURES = {"demo": (ONE, MANY, BATCH), "custom": (MANY,)}


def rounds(
    servers: Sequence[Server],
    workloads: Mapping[str, Workload],
    pythons: Mapping[str, Path],
    cache: Path,
    count: int,
    seconds: int,
    say: Say,
) -> tuple[list[Reading], dict[str, str]]:
    """Visit every server with every workload in each of `count` rounds, in an order that rotates.

    Returns
    -------
    list of Reading, dict
        The readings, and the reason of each failure by "title (workload)".
    """
    readings: list[Reading] = []
    absent: dict[str, str] = {}
    for number in range(count):
        turn = number * len(servers) // count
        for server in [*servers[turn:], *servers[:turn]]:
            for name, workload in workloads.items():
                key = f"{server.title} ({name})"
                if key in absent or (server.role == "reference" and name != "demo"):
                    continue
                began = time.perf_counter()
                try:
                    found = visit(server, workload, pythons[server.name], cache, number, seconds, MEASURES[name])
                except ServerFailed as error:
                    absent[key] = f"in round {number + 1}, {error}"
                    say(f"round {number + 1}/{count} {server.name} ({name}) is left out: {error}")
                    continue
                readings += found
                took = time.perf_counter() - began
                say(f"round {number + 1}/{count} {server.name} ({name}): {line(found)} [{took:.0f} s]")
    return readings, absent


def line(found: Sequence[Reading]) -> str:
    """One visit in one line."""
    values = {reading.what: reading.value for reading in found}
    parts = [f"start {values['start_seconds']:.2f} s"]
    for measure in [measure for measure in (ONE, MANY, BATCH) if f"{measure} rate" in values]:
        parts.append(f"{measure} {values[f'{measure} rate']:,.0f}/s (p99 {values[f'{measure} p99_ms']:.3g} ms)")
        if failed := values[f"{measure} failed"]:
            parts.append(f"{failed:.0f} FAILED")
    return ", ".join(parts)
