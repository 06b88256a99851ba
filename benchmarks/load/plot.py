"""serving.svg: requests a second at concurrency 1 and 64, and rows a second in batches, one bar a server."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.load.measure import BATCH, MANY, ONE, Reading
from benchmarks.load.summary import Subject, medians

PANELS = (
    (ONE, "concurrency 1, requests/s"),
    (MANY, "concurrency 64, requests/s"),
    (BATCH, "batches, rows/s"),
)
COLOURS = {"ours": "#c0392b", "alternative": "#4a6fa5", "reference": "#b0b0b0"}


def available() -> bool:
    """Whether matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def draw(readings: Sequence[Reading], subjects: Sequence[Subject], path: Path) -> None:
    """Draw the medians on a logarithmic scale; the same readings give the same bytes."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "serving"
    from matplotlib import pyplot as plt

    rate = medians(readings, "rate")
    shown = [s for s in subjects if (s.name, "demo", MANY) in rate]
    shown.sort(key=lambda s: rate[s.name, "demo", MANY])
    figure, axes = plt.subplots(1, len(PANELS), figsize=(13, 0.6 + 0.36 * len(shown)), sharey=True)
    for axis, (measure, label) in zip(axes, PANELS, strict=True):
        values = [rate.get((s.name, "demo", measure), 0.0) for s in shown]
        bars = axis.barh([s.title for s in shown], values, color=[COLOURS[s.role] for s in shown])
        axis.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=8)
        axis.set_xscale("log")
        axis.set_xlim(max(min(values, default=1) / 2, 1), max(values, default=1) * 6)
        axis.set_title(label, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
