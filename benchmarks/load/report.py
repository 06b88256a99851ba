"""The report: serving.json with every reading, serving.md for people."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.load.measure import BATCH, MANY, ONE, Reading
from benchmarks.load.summary import Subject, medians, ratios

SHOWN = ("scikit-learn", "numpy", "pandas", "fastapi", "pydantic", "uvicorn")


def write(
    out: Path,
    readings: Sequence[Reading],
    subjects: Sequence[Subject],
    absent: dict[str, str],
    run: dict[str, Any],
) -> None:
    """Write serving.json and serving.md into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    document = {
        "run": run,
        "subjects": [asdict(subject) for subject in subjects],
        "absent": absent,
        "ratios": ratios(readings, subjects),
        "readings": [asdict(reading) for reading in readings],
    }
    (out / "serving.json").write_text(json.dumps(document, indent=1) + "\n")
    (out / "serving.md").write_text(markdown(readings, subjects, absent, run))


def markdown(
    readings: Sequence[Reading], subjects: Sequence[Subject], absent: dict[str, str], run: dict[str, Any]
) -> str:
    """The report as Markdown."""
    measured = {reading.server for reading in readings}
    shown = [subject for subject in subjects if subject.name in measured]
    parts = [
        "# How fast is `/predict`?\n",
        introduction(run),
        "## Side by side\n",
        servers_table(readings, shown),
        comparison(readings, shown),
        "![Requests a second](serving.svg)\n",
        "## How each was set up\n",
        setup_table(shown),
    ]
    if absent:
        parts += ["## What could not be measured\n", absent_list(absent)]
    return "\n".join(parts)


def introduction(run: dict[str, Any]) -> str:
    """What was run, on what, and what the figures mean."""
    return (
        f"Written by `{run['command']}` on {run['date']}: {run['machine']}; {run['python']}; {run['wrk']}.\n\n"
        f"The pipeline is from {run['source']}. Every server runs one worker on loopback, on the same cores as the "
        f"client. In each of {run['rounds']} rounds each server is started afresh, in an order that rotates; its "
        "answers to 256 different rows, asked sixteen at a time, and to a batch of 1,000 rows must equal the "
        f"pipeline's within 1e-12; it is warmed up, and `wrk` drives it for {run['seconds']:g} s a column with those "
        "rows in turn. Figures are medians over rounds, latencies in milliseconds. "
        "A pipeline that cannot be planned is the same one behind a transformer of the user's own.\n"
    )


def servers_table(readings: Sequence[Reading], subjects: Sequence[Subject]) -> str:
    """One row a server, best at concurrency 64 first within its role."""
    rate, p50, p99 = (medians(readings, field) for field in ("rate", "p50_ms", "p99_ms"))
    start = medians(readings, "start_seconds")
    lines = [
        "| | c = 1, req/s | p50 | p99 | c = 64, req/s | p50 | p99 | 1,000-row batches, rows/s | start, s | "
        "cannot be planned, c = 64, req/s |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    order = {"ours": 0, "alternative": 1, "reference": 2}
    for subject in sorted(subjects, key=lambda s: (order[s.role], -rate.get((s.name, "demo", MANY), 0.0))):
        one, many, batch = ((subject.name, "demo", measure) for measure in (ONE, MANY, BATCH))
        cells = [number(table.get(key)) for key in (one, many) for table in (rate, p50, p99)]
        cells += [number(rate.get(batch)), number(start.get((subject.name, "demo", "start")))]
        cells.append(number(rate.get((subject.name, "custom", MANY))))
        failed = sum(r.failed for r in readings if r.server == subject.name)
        mark = f" ({failed} failed requests)" if failed else ""
        lines.append(f"| {subject.title}{mark} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def comparison(readings: Sequence[Reading], subjects: Sequence[Subject]) -> str:
    """Ours against the best alternative and the constant app; empty if ours was not measured."""
    titles = {subject.name: subject.title for subject in subjects}
    if "ours" not in titles:
        return "`skline serve` was not measured in this run, so there are no ratios.\n"
    lines = [
        "| ours | | best alternative | ratio | constant FastAPI app | ratio |",
        "|---|--:|---|--:|--:|--:|",
    ]
    for entry in ratios(readings, subjects):
        rival = f"{number(entry['best_figure'])} ({titles[entry['best']]})" if entry["best"] else "–"
        cells = [entry["label"], number(entry["ours"]), rival, times(entry["to_best"])]
        lines.append(f"| {' | '.join([*cells, number(entry['constant']), times(entry['to_constant'])])} |")
    return "\n".join(lines) + "\n"


def setup_table(subjects: Sequence[Subject]) -> str:
    """Versions and tuning of each server."""
    lines = ["| | set up | versions | |", "|---|---|---|---|"]
    for subject in subjects:
        versions = ", ".join(f"{name} {version}" for name, version in subject.versions.items())
        lines.append(f"| {subject.title} | {subject.tuning} | {versions} | {subject.note} |")
    return "\n".join(lines) + "\n"


def absent_list(absent: dict[str, str]) -> str:
    """One line for each server that was left out, with the reason that was met."""
    return "\n".join(f"- {title}: {cell(reason)}" for title, reason in absent.items()) + "\n"


def cell(text: str) -> str:
    """Text that does not break a table."""
    return " ".join(text.split()).replace("|", "\\|")


def number(value: float | None) -> str:
    """Three significant digits for small numbers, whole ones with separators for large."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def times(ratio: float | None) -> str:
    """A ratio such as 25.3 ×."""
    return "–" if ratio is None else f"{ratio:.3g} ×" if ratio < 100 else f"{ratio:,.0f} ×"


def versions(installed: dict[str, str], requirements: tuple[str, ...]) -> dict[str, str]:
    """The versions worth naming: what was asked for, then the libraries that all share."""
    names = [*(name for name in requirements if name not in SHOWN), *SHOWN]
    return {name: installed[name] for name in names if name in installed}


def machine() -> str:
    """Cores, processor and memory; nothing that names the machine."""
    model = "unknown processor"
    if (cpuinfo := Path("/proc/cpuinfo")).is_file():
        names = [
            line.partition(":")[2].strip()
            for line in cpuinfo.read_text().splitlines()
            if "model name" in line
        ]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, {platform.system()}"
