"""Sections of the page about labels: performance, estimates without labels, arms and business figures."""

from collections.abc import Sequence
from html import escape
from itertools import groupby

from skline.counting import counted
from skline.evaluation.metrics import label_of
from skline.monitoring.estimates import Estimate
from skline.monitoring.label_results import CalibrationBin, Coverage, MetricResult, Performance, SegmentResult
from skline.monitoring.report.charts import Moment, over_time
from skline.monitoring.report.content import PageContent
from skline.monitoring.result import WindowResult
from skline.reporting import charts, html
from skline.reporting.charts import Axes, IntervalRow
from skline.reporting.format import format_interval, format_number

#: Height of the chart of the main metric.
HEIGHT = 240


def format_ends(figure: Estimate) -> str:
    """Format the interval of a figure; "none" without one."""
    return "none" if figure.low is None or figure.high is None else format_interval(figure.low, figure.high)


def performance(content: PageContent) -> list[str]:
    """Return the metrics on matured labels: over time, in a table, by segment; calibration and label coverage."""
    measured = content.result.performance
    if measured is None:
        return ["<p>The metrics could not be computed; see the problems below.</p>"]
    period = f"{measured.start:%Y-%m-%d %H:%M} to {measured.end:%Y-%m-%d %H:%M} UTC"
    if not measured.metrics:
        return [
            (
                f"<p>Of {measured.rows:,} predictions from {period}, which are older than the label horizon, "
                f"{measured.labelled:,} have a label: too few for a metric. Metrics appear here with the labels.</p>"
            ),
            _coverage(measured.bands),
        ]
    share = measured.labelled / measured.rows if measured.rows else 0.0
    text = f"{measured.labelled:,} of {measured.rows:,} predictions ({share:.1%}) from {period} have a label."
    if measured.weighted:
        text += (
            " Labels are weighted so that each band of scores counts as much as among all predictions; this cannot "
            "repair labels that are missing because of their value."
        )
        if measured.uncovered:
            text += f" {measured.uncovered:.1%} of the predictions are in bands without any label."
    if measured.sampled:
        text += (
            f" The review sample is the {measured.sampled:,} labelled predictions that were drawn at random: its "
            "metrics hold even if labels are missing because of their value."
        )
    figures = [*_metric_over_time(content), _curve(measured), _calibration(measured.calibration)]
    return [
        f"<p>{text}</p>",
        f'<div class="charts">{"".join(figures)}</div>',
        _release_list(content),
        _metrics_table(measured),
        *_segments(measured),
        _coverage(measured.bands),
    ]


def _metric_over_time(content: PageContent) -> list[str]:
    """Return the chart of the main metric over the windows, with releases, floor and the value on the test part."""
    main = content.result.main_metric
    moments = [
        Moment(each.end, each.estimate.value, each.estimate.low, each.estimate.high)
        for each in content.history
        if main is not None and each.metric == main.name and each.estimate.value is not None
    ]
    if main is None or not moments:
        return []
    limits = [(value, colour) for value, colour in ((main.reference.value, "var(--grey)"), (main.floor, "var(--red)"))
              if value is not None]  # fmt: skip
    lines = ["grey: the test part"] if main.reference.value is not None else []
    lines += ["red: the floor"] if main.floor is not None else []
    caption = f"<b>{escape(main.label)}</b> by window, with its 95 % interval" + (
        f". Dashed, {', '.join(lines)}" if lines else ""
    )
    if content.shown_releases:
        caption += ". Dotted, with numbers: releases"
    label = f"{main.label} over {counted(len(moments), 'window')}, now {format_number(main.estimate.value)}"
    return [over_time(moments, label, caption + ".", releases=content.shown_releases, limits=limits, height=HEIGHT)]


def _release_list(content: PageContent) -> str:
    shown = content.shown_releases
    if not shown:
        return ""
    rows = [{"release": str(each.number), "time": f"{each.time:%Y-%m-%d %H:%M}", "what": each.text} for each in shown]
    return f"<details><summary>{len(rows)} releases in this time</summary>{html.table(rows, 'Releases, UTC')}</details>"


def _curve(measured: Performance) -> str:
    """Return the main metric of periods within the window."""
    if len(measured.curve) < 2:
        return ""
    name = label_of(measured.metric)
    caption = f"<b>{escape(name)} within the window</b>, of periods of about {measured.curve[0].rows:,} labels."
    moments = [Moment(each.start, each.value) for each in measured.curve]
    return over_time(moments, f"{name} within the window", caption, height=HEIGHT)


def _calibration(bins: Sequence[CalibrationBin]) -> str:
    if len(bins) < 2:
        return ""
    most = max(max(each.score, each.rate) for each in bins)
    axes = Axes((0, most), (0, most), HEIGHT)
    points = [(each.score, each.rate) for each in bins]
    inside = axes.frame("Mean score", "") + axes.line([(0, 0), (most, most)], charts.GREY, "4 4", 1.5)
    caption = (
        "<b>Calibration.</b> Share of positive labels by mean score; calibrated probabilities are on the dashed line."
    )
    return charts.figure(
        inside + axes.line(points) + axes.dots(points), "Calibration curve of the window", caption, HEIGHT
    )


def _metrics_table(measured: Performance) -> str:
    rows = []
    for each in measured.metrics:
        row = {
            "metric": each.label,
            "window": format_number(each.estimate.value),
            "95 % interval": format_ends(each.estimate),
            "test part": format_number(each.reference.value),
            "floor": _limit(each),
        }
        if measured.weighted:
            row["not weighted"] = format_number(each.unweighted)
        if measured.sampled:
            row["review sample"] = format_number(each.sampled.value)
            row["its 95 % interval"] = format_ends(each.sampled)
        rows.append(row)
    numbers = [name for name in rows[0] if name != "metric"]
    return html.table(rows, "Metrics on matured labels", numbers)


def _limit(metric: MetricResult) -> str:
    return "" if metric.floor is None else format_number(metric.floor)


def _segments(measured: Performance) -> list[str]:
    main = next((each for each in measured.metrics if each.name == measured.metric), None)
    if main is None or not measured.segments:
        return []
    parts = [f"<h3>{escape(main.label)} by segment</h3><p>Dashed: all labelled rows.</p>"]
    for column, entries in groupby(measured.segments, key=lambda each: each.column):
        rows = [_segment_row(each) for each in entries]
        parts.append(f"<h3>By {escape(column)}</h3>")
        parts.append(charts.interval_rows(rows, f"{main.label} by {column}", main.estimate.value))
    return parts


def _segment_row(segment: SegmentResult) -> IntervalRow:
    figure = segment.estimate
    text = "few" if figure.value is None else format_number(figure.value)
    note = f"{segment.labelled:,} of {segment.rows:,} labelled"
    return IntervalRow(segment.value, figure.value, figure.low, figure.high, text, note)


def _coverage(bands: Sequence[Coverage]) -> str:
    if not bands or all(band.labelled == band.rows for band in bands):
        return ""
    rows = [
        {
            "scores": format_interval(band.low, band.high),
            "predictions": f"{band.rows:,}",
            "labelled": f"{band.labelled:,}",
            "share": f"{band.labelled / band.rows:.1%}" if band.rows else "",
        }
        for band in bands
    ]
    return html.table(rows, "Labels by band of scores", ("predictions", "labelled", "share"))


def estimates(result: WindowResult) -> list[str]:
    """Return the metrics estimated without labels, next to the realized ones."""
    if not result.estimates:
        return []
    rows = [
        {
            "metric": label_of(each.name),
            "estimated": format_number(each.estimate.value),
            "95 % interval": format_ends(each.estimate),
            "on labels": format_number(each.realized),
        }
        for each in result.estimates
    ]
    note = (
        "<p>Estimated from the probabilities alone (CBPE). The estimates assume that the probabilities are calibrated, "
        "and they are blind to concept drift: if the relation between inputs and label changes, they stay as they are. "
        "They raise no alarm.</p>"
    )
    return [note, html.table(rows, "Metrics estimated without labels", ("estimated", "95 % interval", "on labels"))]


def arms(result: WindowResult) -> list[str]:
    """Return the figures of each arm; empty if there is one arm without labels."""
    if not result.arms or (len(result.arms) == 1 and not result.arms[0].labelled):
        return []
    rows = [
        {
            "arm": each.arm,
            "predictions": f"{each.rows:,}",
            "labelled": f"{each.labelled:,}",
            "mean score": format_number(each.mean_score),
            "mean label": format_number(each.mean_label),
            "bias": format_number(each.bias.value, signed=True),
            "95 % interval": format_ends(each.bias),
            "predicted positive": "" if each.positive_rate.value is None else f"{each.positive_rate.value:.1%}",
        }
        for each in result.arms
    ]
    numbers = [name for name in rows[0] if name != "arm"]
    return [html.table(rows, "Bias by arm: the mean score less the mean label", numbers)]


def business_figures(result: WindowResult) -> list[str]:
    """Return the business figures: of all rows and by arm in a table, and by segment."""
    figures = [each for each in result.kpis if each.error is None]
    if not figures:
        return []
    rows = [
        {
            "figure": each.name,
            "rows": f"{each.rows:,}",
            "of": each.arm or each.segment or "all",
            "for 1,000 predictions": format_number(each.per_thousand.value),
            "95 % interval": format_ends(each.per_thousand),
            "unit": each.unit,
        }
        for each in figures
    ]
    numbers = ("rows", "for 1,000 predictions", "95 % interval")
    main = [row for row, each in zip(rows, figures, strict=True) if each.segment is None]
    by_segment = [row for row, each in zip(rows, figures, strict=True) if each.segment is not None]
    blocks = [html.table(main, "Business figures", numbers)]
    if by_segment:
        table = html.table(by_segment, "Business figures by segment", numbers)
        blocks.append(f"<details><summary>By segment</summary>{table}</details>")
    return blocks
