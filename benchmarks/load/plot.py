"""Plot of serving.svg: four rates, one bar for each server, on logarithmic scales."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from benchmarks.load.summary import Medians
from benchmarks.servers.base import Server

PANELS = (
    ("concurrency 1, requests/s", "demo", "one rate"),
    ("concurrency 64, requests/s", "demo", "many rate"),
    ("1,000-row batches, rows/s", "demo", "batch rate"),
    ("not planned, concurrency 64, requests/s", "custom", "many rate"),
)
COLOURS = {"ours": "#c0392b", "alternative": "#4a6fa5", "reference": "#b0b0b0"}


def draw(figures: Medians, servers: Sequence[Server], path: Path) -> None:
    """Draw the medians of `servers`, the first at the top; equal figures give equal bytes."""
    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "serving", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
    from matplotlib import pyplot as plt

    shown = list(reversed(servers))
    titles = [server.title.replace("*", "") for server in shown]
    figure, axes = plt.subplots(1, len(PANELS), figsize=(14, 0.8 + 0.3 * len(shown)), sharey=True)
    for axis, (label, workload, name) in zip(axes, PANELS, strict=True):
        values = [figures.get((server.name, workload, name)) for server in shown]
        measured = [value for value in values if value is not None]
        bars = axis.barh(titles, [value or 0.0 for value in values], color=[COLOURS[s.role] for s in shown])
        axis.bar_label(bars, ["" if value is None else f"{value:,.0f}" for value in values], padding=3, fontsize=8)
        if measured:
            axis.set_xscale("log")
            axis.set_xlim(min(measured) / 2, max(measured) * 8)
        axis.set_title(label, fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
