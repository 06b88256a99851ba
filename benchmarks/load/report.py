"""The report: serving.json with every reading, and serving.md with tables of medians."""

import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.load.duels import ALTERNATIVES, TURNS
from benchmarks.load.measure import CONNECTIONS, VERIFIED_ROWS, Reading
from benchmarks.load.summary import IN_PRODUCTION, OURS, Medians, TargetResult, compare_with_targets, medians
from benchmarks.load.venvs import package_name
from benchmarks.load.workload import BATCH_ROWS, DISTINCT_ROWS
from benchmarks.servers.base import Server
from skline.files import write_json, write_text

TIMES = " \N{MULTIPLICATION SIGN}"
#: Packages with the same version in every environment, reported once.
SHARED = ("scikit-learn", "numpy", "pandas")
#: (heading, workload, figure) of the columns.
COLUMNS = (
    ("c = 1, req/s", "demo", "one rate"),
    ("p50, ms", "demo", "one p50_ms"),
    ("p99, ms", "demo", "one p99_ms"),
    ("c = 64, req/s", "demo", "many rate"),
    ("p50, ms", "demo", "many p50_ms"),
    ("p99, ms", "demo", "many p99_ms"),
    ("1,000-row batches, rows/s", "demo", "batch rate"),
    ("start, s", "demo", "start_seconds"),
    ("memory, MB", "demo", "memory_mb"),
    ("not planned, c = 64, req/s", "custom", "many rate"),
)


@dataclass(frozen=True)
class Run:
    """One run of the benchmark.

    Attributes
    ----------
    servers : sequence of Server
        All servers of the run.
    readings, duels : sequence of Reading
        The readings of the rounds, and those taken side by side, whose rounds are turns.
    versions : mapping
        Versions of the packages in each server's environment, by the server's name.
    absent : mapping
        Reasons for what could not be measured, by title.
    metadata : mapping
        Command, date, machine, versions and options of the run.
    """

    servers: Sequence[Server]
    readings: Sequence[Reading]
    duels: Sequence[Reading]
    versions: Mapping[str, Mapping[str, str]]
    absent: Mapping[str, str]
    metadata: Mapping[str, Any]

    @property
    def shown(self) -> list[Server]:
        """The servers that were measured: ours, alternatives, references, each from fast to slow."""
        figures, order = medians(self.readings), {"ours": 0, "alternative": 1, "reference": 2}
        measured = {reading.server for reading in self.readings}
        return sorted(
            (server for server in self.servers if server.name in measured),
            key=lambda s: (order[s.role], -figures.get((s.name, "demo", "many rate"), 0.0)),
        )


def write(run: Run, folder: Path) -> dict[str, list[TargetResult]]:
    """Write serving.json and serving.md into a folder; return the results by the name of our server."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = medians([*run.readings, *run.duels])  # both time starts
    results = {
        ours: compare_with_targets(figures, run.duels, run.servers, ours)
        for ours in (OURS, IN_PRODUCTION)
        if any(server.name == ours for server in run.shown)
    }
    document = {
        **run.metadata,
        "targets": {ours: [asdict(result) for result in of_server] for ours, of_server in results.items()},
        "absent": dict(run.absent),
        "servers": {
            s.name: {"title": s.title, "setup": s.setup, "versions": server_versions(run, s)} for s in run.shown
        },
        "rounds": group_readings(run.readings),
        "side by side": group_readings(run.duels),
    }
    write_json(folder / "serving.json", document)
    write_text(folder / "serving.md", markdown(run, results))
    return results


def group_readings(readings: Sequence[Reading]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return the values of each figure in the order of the rounds, by server and workload."""
    values: dict[str, dict[str, dict[str, list[float]]]] = {}
    for reading in readings:
        of_server = values.setdefault(reading.server, {}).setdefault(reading.workload, {})
        of_server.setdefault(reading.figure, []).append(float(f"{reading.value:.6g}"))
    return values


def markdown(run: Run, results: Mapping[str, Sequence[TargetResult]]) -> str:
    """Return the report as Markdown."""
    titles = {server.name: server.title for server in run.shown}
    parts = ["# How fast is `/predict`?\n", introduction(run), "## Targets and results\n"]
    for ours, of_server in results.items():
        parts += [f"{titles[ours]}:\n", targets_table(of_server)]
    parts += ["## Every server\n", servers_table(medians(run.readings), run.shown)]
    parts += ["![Requests and rows per second](serving.svg)\n", "## Setup of each server\n", setup_table(run)]
    if run.absent:
        parts += ["## What could not be measured\n"]
        parts += ["\n".join(f"- {title}: {escape_cell(reason)}" for title, reason in run.absent.items()) + "\n"]
    return "\n".join(parts)


def introduction(run: Run) -> str:
    """Describe the run, the machine, and what the figures mean."""
    metadata, versions = run.metadata, run.versions.get(run.shown[0].name, {})
    shared = ", ".join(f"{name} {versions[name]}" for name in SHARED if name in versions)
    return (
        f"Written by `{metadata['command']}` on {metadata['date']}: {metadata['machine']}; {metadata['python']}; "
        f"{shared}; {metadata['client']}.\n\n"
        f"Commit {metadata['commit']}, artifact {metadata['model']}. Every server runs one worker on loopback, on the "
        f"same cores as the client. In each of {metadata['rounds']} rounds every server is started anew, in an order "
        f"that rotates. Nothing is measured unless its responses to {VERIFIED_ROWS} rows, sixteen at a time, and to a "
        f"batch of {BATCH_ROWS:,} equal the fitted pipeline's predictions to the last bit. After a warm-up `wrk` posts "
        f"{DISTINCT_ROWS} different rows in turn for {metadata['seconds']} s per measurement, or batches over "
        f"{CONNECTIONS['batch']} connections. Between two measurements the server empties its queue.\n\n"
        "The targets are ratios, and the speed of the machine changes while a round goes over all servers. Therefore "
        f"our server, the {ALTERNATIVES} fastest alternatives of the rounds and the constant app run at once "
        f"afterwards, and each is driven for {metadata['seconds']} s in each of {TURNS} turns, while the others are "
        "paused. A result is the median over turns of the ratio to the best alternative of the turn; the start is "
        "compared with no other server, and its result is the median of all starts.\n\n"
        "Figures of every server are medians over rounds. Latencies are those of real requests: wrk's correction for "
        "coordinated omission, which adds requests that were never sent, is removed. Memory is that of all processes "
        "after the load, with shared pages counted once. [batching.md](batching.md) describes how batching was tuned. "
        "A pipeline that is not planned is the same pipeline behind a transformer of the user's own. Ratios compare "
        "within this run; another machine gives other figures.\n"
    )


def targets_table(results: Sequence[TargetResult]) -> str:
    """Return a table with a row for each target."""
    lines = ["| | target | result | ours | theirs | met |", "|---|---|--:|--:|--:|---|"]
    for result in results:
        target = result.target
        theirs = "" if result.theirs is None else f"{format_number(result.theirs)} ({result.rival})"
        cells = [target.label, target.requirement, format_value(result), format_number(result.ours), theirs]
        lines.append(f"| {' | '.join([*cells, format_met(result)])} |")
    return "\n".join(lines) + "\n"


def servers_table(figures: Medians, servers: Sequence[Server]) -> str:
    """Return a table with a row of figures for each server."""
    lines = ["| | " + " | ".join(heading for heading, _, _ in COLUMNS) + " |", "|---|" + "--:|" * len(COLUMNS)]
    for server in servers:
        cells = [format_number(figures.get((server.name, workload, figure))) for _, workload, figure in COLUMNS]
        failed = sum(figures[key] for key in figures if key[0] == server.name and key[2].endswith("failed"))
        title = f"{server.title} ({failed:.0f} requests failed)" if failed else server.title
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def setup_table(run: Run) -> str:
    """Return a table with the setup and the versions of each server."""
    lines = ["| | setup | versions |", "|---|---|---|"]
    for server in run.shown:
        versions = ", ".join(f"{name} {version}" for name, version in server_versions(run, server).items())
        lines.append(f"| {server.title} | {server.setup} | {versions} |")
    return "\n".join(lines) + "\n"


def server_versions(run: Run, server: Server) -> dict[str, str]:
    """Return the versions of the packages that a server requires."""
    required = [package_name(requirement) for requirement in server.requirements]
    installed = run.versions.get(server.name, {})
    return {name: installed[name] for name in required if name in installed and name not in SHARED}


def format_value(result: TargetResult) -> str:
    """Format a result, with a multiplication sign if it is a ratio."""
    return format_number(result.value) + (TIMES if result.target.rival and result.value is not None else "")


def format_met(result: TargetResult) -> str:
    """Format whether a target is met."""
    return {True: "yes", False: "**no**", None: "not measured"}[result.met]


def escape_cell(text: str) -> str:
    """Return text on one line, without characters that end the cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def format_number(value: float | None) -> str:
    """Format small numbers with three significant digits, and large ones as integers with separators."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def describe_commit(root: Path) -> str:
    """Return the commit that is measured, with "-dirty" if the working tree differs from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def describe_machine() -> str:
    """Return cores, processor and memory, but nothing that identifies the machine."""
    match = None
    if (cpuinfo := Path("/proc/cpuinfo")).is_file():
        match = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = f" ({match[1]})" if match else ""
    return f"{os.cpu_count()} cores{model}, {memory:.0f} GiB, {platform.system()}"
