"""What is compared, taken side by side: ours and its rivals run at once and are driven in turn, a few seconds each.

A machine that others use too changes its pace within minutes, and a round over all servers takes minutes. Here both
sides of a ratio are taken within seconds of each other. Servers whose turn it is not are held still: some of them look
for work all the time.
"""

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.load.measure import BATCH, MANY, ONE, Opened, Reading, opened, settle
from benchmarks.load.processes import ServerFailed, tell
from benchmarks.load.summary import CONSTANT, Medians
from benchmarks.load.workload import Workload
from benchmarks.servers.base import Server

#: (workload, measure) of each duel.
DUELS = (("demo", ONE), ("demo", MANY), ("demo", BATCH), ("custom", MANY))
#: How often each server is driven.
TURNS = 7
#: Alternatives that take part: the quickest of the rounds, and another, as the rounds may have been unfair to it.
ALTERNATIVES = 2


def duels(
    servers: Sequence[Server],
    figures: Medians,
    workloads: Mapping[str, Workload],
    pythons: Mapping[str, Path],
    cache: Path,
    seconds: int,
    say: Callable[[str], None],
) -> tuple[list[Reading], dict[str, str]]:
    """Drive ours, its quickest alternatives by `figures` and the constant app in turn.

    Returns
    -------
    list of Reading, dict
        Readings whose round is the turn, and the reason of each failure by what failed.
    """
    readings: list[Reading] = []
    absent: dict[str, str] = {}
    for name, measure in DUELS:
        rivals = contenders(servers, figures, name, measure)
        if len(rivals) < 2:
            continue
        try:
            with ExitStack() as stack:
                there = [
                    stack.enter_context(opened(server, workloads[name], pythons[server.name], cache))
                    for server in rivals
                ]
                readings += [Reading(one.server.name, name, 0, "start_seconds", one.start_seconds) for one in there]
                readings += in_turn(there, measure, seconds)
        except ServerFailed as error:
            absent[f"side by side: {measure} ({name})"] = str(error)
            say(f"side by side: {measure} ({name}) is left out: {error}")
            continue
        say(f"side by side: {measure} ({name}): {', '.join(server.name for server in rivals)}")
    return readings, absent


def contenders(servers: Sequence[Server], figures: Medians, workload: str, measure: str) -> list[Server]:
    """Ours, the constant app where it was measured, and the quickest alternatives."""
    rates = {server.name: figures.get((server.name, workload, f"{measure} rate")) for server in servers}
    known = [server for server in servers if rates[server.name] is not None]
    alternatives = [server for server in known if server.role == "alternative"]
    alternatives.sort(key=lambda server: -(rates[server.name] or 0))
    kept = [server for server in known if server.role == "ours" or server.name == CONSTANT]
    return kept + alternatives[:ALTERNATIVES]


def in_turn(there: Sequence[Opened], measure: str, seconds: int) -> list[Reading]:
    """Drive servers that run, one after another, TURNS times, in an order that rotates."""
    readings = []
    for one in there:
        tell(one.pid, signal.SIGSTOP)
    for turn in range(TURNS):
        first = turn % len(there)
        for one in [*there[first:], *there[:first]]:
            tell(one.pid, signal.SIGCONT)
            settle(one.server, one.workload, one.port)
            found = one.take(measure, seconds) or {}
            tell(one.pid, signal.SIGSTOP)
            readings += [Reading(one.server.name, one.workload.name, turn, what, v) for what, v in found.items()]
    return readings
