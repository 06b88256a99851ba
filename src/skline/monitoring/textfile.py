"""The newest state as a Prometheus textfile, which a scrape of the service or the node exporter picks up."""

from collections.abc import Iterator, Mapping

from skline.monitoring.result import STATES, WindowResult


def prometheus_text(result: WindowResult) -> str:
    """Return the metrics of a result in Prometheus' text format."""
    lines: list[str] = []

    def family(name: str, meaning: str, samples: Iterator[tuple[Mapping[str, str], float | None]]) -> None:
        lines.extend((f"# HELP skline_monitor_{name} {meaning}", f"# TYPE skline_monitor_{name} gauge"))
        lines.extend(
            f"skline_monitor_{name}{_labels(labels)} {value!r}" for labels, value in samples if value is not None
        )

    window = result.window
    family("run_timestamp_seconds", "When monitoring last succeeded.", iter([({}, result.written_at.timestamp())]))
    family("window_end_timestamp_seconds", "End of the newest window.", iter([({}, window.end.timestamp())]))
    family("window_rows", "Predictions of the window.", iter([({}, float(window.rows))]))
    family(
        "state",
        "1 for the state that a part of monitoring is in, 0 for the others; the part all is the worst of them.",
        (
            ({"part": part, "state": state}, float(state == current))
            for part, current in (("all", result.state), *result.states.items())
            for state in STATES
        ),
    )
    family("problems", "Parts or columns that could not be computed.", iter([({}, float(len(result.problems)))]))
    drift = result.drift
    if drift is not None:
        family(
            "drift_effect",
            "Kolmogorov-Smirnov distance or total variation of a column.",
            (({"column": each.column}, each.effect.value) for each in drift.columns),
        )
        family("drift_importance", "Importance-weighted drift.", iter([({}, drift.importance)]))
    performance = result.performance
    if performance is not None:
        family(
            "metric",
            "Metric on matured labels, and the ends of its 95 % interval.",
            (
                ({"metric": each.name, "bound": bound}, value)
                for each in performance.metrics
                for bound, value in (
                    ("value", each.estimate.value),
                    ("low", each.estimate.low),
                    ("high", each.estimate.high),
                )
            ),
        )
        coverage = performance.labelled / performance.rows if performance.rows else None
        family("label_coverage", "Share of matured predictions with a label.", iter([({}, coverage)]))
    family(
        "kpi_per_thousand",
        "Business figures for 1,000 predictions.",
        (
            ({"kpi": each.name}, each.per_thousand.value)
            for each in result.kpis
            if each.arm is None and each.segment is None
        ),
    )
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    """Format labels, with quotes, backslashes and line breaks escaped."""
    if not labels:
        return ""
    escaped = {
        name: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for name, value in labels.items()
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"
