"""Side-by-side measurements: our server and its rivals run at once and are driven alternately, a few seconds each.

The speed of a shared machine changes within minutes, and a round over all servers takes minutes. Here both sides of a
ratio are measured within seconds of each other. The servers that are not being driven are stopped by SIGSTOP, because
some of them poll for work.
"""

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.load.measure import BATCH, MANY, ONE, Reading, RunningServer, settle, start_server
from benchmarks.load.processes import ServerFailed, send_signal
from benchmarks.load.summary import CONSTANT, Medians
from benchmarks.load.workload import Workload
from benchmarks.servers.base import Server

#: (workload, measure) of each duel.
DUELS = (("demo", ONE), ("demo", MANY), ("demo", BATCH), ("custom", MANY))
#: Times that each server is driven.
TURNS = 7
#: Alternatives in a duel: the fastest of the rounds, and the next, as the speed of the machine varies between rounds.
ALTERNATIVES = 2


def duels(
    servers: Sequence[Server],
    figures: Medians,
    workloads: Mapping[str, Workload],
    pythons: Mapping[str, Path],
    cache: Path,
    seconds: int,
    log: Callable[[str], None],
) -> tuple[list[Reading], dict[str, str]]:
    """Drive our server, its fastest alternatives by `figures` and the constant app alternately.

    Returns
    -------
    list of Reading, dict
        The readings, whose round is the turn, and the reason of each failure by the title of the duel.
    """
    readings: list[Reading] = []
    absent: dict[str, str] = {}
    for name, measure in DUELS:
        rivals = contenders(servers, figures, name, measure)
        if len(rivals) < 2:
            continue
        try:
            with ExitStack() as stack:
                running = [
                    stack.enter_context(start_server(server, workloads[name], pythons[server.name], cache))
                    for server in rivals
                ]
                readings += [
                    Reading(server.server.name, name, 0, "start_seconds", server.start_seconds) for server in running
                ]
                readings += drive_alternately(running, measure, seconds)
        except ServerFailed as error:
            absent[f"side by side: {measure} ({name})"] = str(error)
            log(f"side by side: {measure} ({name}) is skipped: {error}")
            continue
        log(f"side by side: {measure} ({name}): {', '.join(server.name for server in rivals)}")
    return readings, absent


def contenders(servers: Sequence[Server], figures: Medians, workload: str, measure: str) -> list[Server]:
    """Return our servers, the constant app and the fastest alternatives, of those that were measured."""
    rates = {server.name: figures.get((server.name, workload, f"{measure} rate")) for server in servers}
    measured = [server for server in servers if rates[server.name] is not None]
    alternatives = [server for server in measured if server.role == "alternative"]
    alternatives.sort(key=lambda server: -(rates[server.name] or 0))
    fixed = [server for server in measured if server.role == "ours" or server.name == CONSTANT]
    return fixed + alternatives[:ALTERNATIVES]


def drive_alternately(servers: Sequence[RunningServer], measure: str, seconds: int) -> list[Reading]:
    """Drive each running server TURNS times, in an order that rotates, while the others are stopped."""
    readings = []
    for running in servers:
        send_signal(running.pid, signal.SIGSTOP)
    for turn in range(TURNS):
        first = turn % len(servers)
        for running in [*servers[first:], *servers[:first]]:
            send_signal(running.pid, signal.SIGCONT)
            settle(running.server, running.workload, running.port)
            figures = running.measure(measure, seconds) or {}
            send_signal(running.pid, signal.SIGSTOP)
            name, workload = running.server.name, running.workload.name
            readings += [Reading(name, workload, turn, figure, value) for figure, value in figures.items()]
    return readings
