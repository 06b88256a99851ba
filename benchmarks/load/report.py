"""The report: serving.json with every reading, serving.md for people."""

import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.load.duels import ALTERNATIVES, TURNS
from benchmarks.load.measure import CONNECTIONS, PROVED_ROWS, Reading
from benchmarks.load.summary import IN_PRODUCTION, OURS, Finding, Medians, judge, medians
from benchmarks.load.venvs import name_of
from benchmarks.load.workload import BATCH_ROWS, DISTINCT_ROWS
from benchmarks.servers.base import Server
from skline.files import write_json, write_text

TIMES = " \N{MULTIPLICATION SIGN}"
#: The same in every environment, and therefore told once.
SHARED = ("scikit-learn", "numpy", "pandas")
#: (heading, workload, what) of the columns.
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
    """One run of the benchmark, as it is written down.

    `duels` were taken side by side, their rounds being turns; `versions` has the versions in each server's environment
    by server name, `absent` the reason for everything that could not be measured by its title.
    """

    servers: Sequence[Server]
    readings: Sequence[Reading]
    duels: Sequence[Reading]
    versions: Mapping[str, Mapping[str, str]]
    absent: Mapping[str, str]
    facts: Mapping[str, Any]

    @property
    def shown(self) -> list[Server]:
        """The servers that were measured, ours first, references last, the quicker ones first among equals."""
        figures, order = medians(self.readings), {"ours": 0, "alternative": 1, "reference": 2}
        measured = {reading.server for reading in self.readings}
        return sorted(
            (server for server in self.servers if server.name in measured),
            key=lambda s: (order[s.role], -figures.get((s.name, "demo", "many rate"), 0.0)),
        )


def write(run: Run, folder: Path) -> dict[str, list[Finding]]:
    """Write serving.json and serving.md into a folder; return what was found, by the server of ours."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = medians([*run.readings, *run.duels])  # a start is timed in both
    findings = {
        ours: judge(figures, run.duels, run.servers, ours)
        for ours in (OURS, IN_PRODUCTION)
        if any(server.name == ours for server in run.shown)
    }
    document = {
        **run.facts,
        "findings": {ours: [asdict(finding) for finding in found] for ours, found in findings.items()},
        "absent": dict(run.absent),
        "servers": {s.name: {"title": s.title, "setup": s.setup, "versions": named(run, s)} for s in run.shown},
        "rounds": listed(run.readings),
        "side by side": listed(run.duels),
    }
    write_json(folder / "serving.json", document)
    write_text(folder / "serving.md", markdown(run, findings))
    return findings


def listed(readings: Sequence[Reading]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """All values of each figure, in their order."""
    values: dict[str, dict[str, dict[str, list[float]]]] = {}
    for reading in readings:
        of_server = values.setdefault(reading.server, {}).setdefault(reading.workload, {})
        of_server.setdefault(reading.what, []).append(float(f"{reading.value:.6g}"))
    return values


def markdown(run: Run, findings: Mapping[str, Sequence[Finding]]) -> str:
    """The report as Markdown."""
    titles = {server.name: server.title for server in run.shown}
    parts = ["# How fast is `/predict`?\n", introduction(run), "## What is asked, and what was found\n"]
    for ours, found in findings.items():
        parts += [f"{titles[ours]}:\n", findings_table(found)]
    parts += ["## Every server\n", servers_table(medians(run.readings), run.shown)]
    parts += ["![Requests and rows a second](serving.svg)\n", "## How each was set up\n", setup_table(run)]
    if run.absent:
        parts += ["## What could not be measured\n"]
        parts += ["\n".join(f"- {title}: {cell(reason)}" for title, reason in run.absent.items()) + "\n"]
    return "\n".join(parts)


def introduction(run: Run) -> str:
    """What was run, on what, and what the figures mean."""
    facts, versions = run.facts, run.versions.get(run.shown[0].name, {})
    shared = ", ".join(f"{name} {versions[name]}" for name in SHARED if name in versions)
    return (
        f"Written by `{facts['command']}` on {facts['date']}: {facts['machine']}; {facts['python']}; {shared}; "
        f"{facts['client']}.\n\n"
        f"The code is that of commit {facts['commit']}, the pipeline its own ({facts['model']}). Every server runs one "
        "worker on loopback, on the same "
        f"cores as the client. In each of {facts['rounds']} rounds every server is started afresh, in an order that "
        f"rotates; its answers to {PROVED_ROWS} rows, sixteen at a time, and to a batch of {BATCH_ROWS:,} must be the "
        "fitted pipeline's to the last bit before anything is measured. It is warmed up, and `wrk` posts "
        f"{DISTINCT_ROWS} different rows in turn for {facts['seconds']} s a figure, or batches over "
        f"{CONNECTIONS['batch']} connections. Between two figures the server works off what it has queued.\n\n"
        "What is asked for is a ratio, and the machine's pace changes while a round goes over all servers: so ours, "
        f"the {ALTERNATIVES} quickest alternatives of the rounds and the constant app run at once afterwards, and each "
        f"is driven for {facts['seconds']} s in each of {TURNS} turns, while the others are held still. What was found "
        "is the median over turns of the ratio to the best alternative of the turn; the start has no rival, its figure "
        "is the median of all starts.\n\n"
        "Figures of every server are medians over rounds. Latencies are as requests saw them: wrk's correction for "
        "coordinated omission, which adds requests that nobody sent, is taken back. Memory is that of all processes "
        "after the load, shared pages counted once. [batching.md](batching.md) tells how batching was tuned. A "
        "pipeline that is not planned is the same one behind a transformer of the user's own. Ratios compare within "
        "this run; another machine gives other figures.\n"
    )


def findings_table(findings: Sequence[Finding]) -> str:
    """One row a demand."""
    lines = ["| | asked | found | ours | theirs | holds |", "|---|---|--:|--:|--:|---|"]
    for finding in findings:
        theirs = "" if finding.theirs is None else f"{number(finding.theirs)} ({finding.rival})"
        cells = [finding.demand.label, finding.demand.asked, ratio(finding), number(finding.ours), theirs]
        lines.append(f"| {' | '.join([*cells, verdict(finding)])} |")
    return "\n".join(lines) + "\n"


def servers_table(figures: Medians, servers: Sequence[Server]) -> str:
    """One row a server."""
    lines = ["| | " + " | ".join(heading for heading, _, _ in COLUMNS) + " |", "|---|" + "--:|" * len(COLUMNS)]
    for server in servers:
        cells = [number(figures.get((server.name, workload, what))) for _, workload, what in COLUMNS]
        failed = sum(figures[key] for key in figures if key[0] == server.name and key[2].endswith("failed"))
        title = f"{server.title} ({failed:.0f} requests failed)" if failed else server.title
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def setup_table(run: Run) -> str:
    """Versions and tuning of each server."""
    lines = ["| | set up | versions |", "|---|---|---|"]
    for server in run.shown:
        versions = ", ".join(f"{name} {version}" for name, version in named(run, server).items())
        lines.append(f"| {server.title} | {server.setup} | {versions} |")
    return "\n".join(lines) + "\n"


def named(run: Run, server: Server) -> dict[str, str]:
    """The versions of what a server's environment was asked to hold."""
    asked = [name_of(requirement) for requirement in server.requirements]
    installed = run.versions.get(server.name, {})
    return {name: installed[name] for name in asked if name in installed and name not in SHARED}


def ratio(finding: Finding) -> str:
    """What was found, with a multiplication sign if it is a ratio."""
    return number(finding.found) + (TIMES if finding.demand.rival and finding.found is not None else "")


def verdict(finding: Finding) -> str:
    """Yes, no, or that this run cannot say."""
    return {True: "yes", False: "**no**", None: "not measured"}[finding.holds]


def cell(text: str) -> str:
    """Text that does not break a line."""
    return " ".join(text.split()).replace("|", "\\|")


def number(value: float | None) -> str:
    """Three significant digits for small numbers, whole ones with separators for large."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def commit(root: Path) -> str:
    """The commit that is measured, and whether the tree differs from it."""
    words = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(words, cwd=root, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def machine() -> str:
    """Cores, processor and memory; nothing that names the machine."""
    found = None
    if (cpuinfo := Path("/proc/cpuinfo")).is_file():
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = f" ({found[1]})" if found else ""
    return f"{os.cpu_count()} cores{model}, {memory:.0f} GiB, {platform.system()}"
