"""Sections of the page about data: the windows so far, drift, quality and operations."""

from collections.abc import Callable
from html import escape

from skline.counting import counted
from skline.evaluation.metrics import label_of
from skline.monitoring.data_results import ColumnDrift, ColumnQuality, Drift
from skline.monitoring.estimates import Estimate
from skline.monitoring.quality import describe_unknown
from skline.monitoring.reference import reference_of
from skline.monitoring.report.charts import Moment, histograms, over_time, states_over_time
from skline.monitoring.report.content import PageContent
from skline.monitoring.report.label_sections import format_ends
from skline.monitoring.result import WindowResult
from skline.monitoring.state import PastResult
from skline.monitoring.summary import describe_other_versions
from skline.reporting import html
from skline.reporting.format import format_number

#: Columns with histograms, and rows of a table that are not folded away.
MAX_HISTOGRAMS, MAX_OPEN_ROWS = 6, 15
#: References that the page calls otherwise than the settings do.
REFERENCE_NAMES = {"season": "the earlier season", "previous": "the previous window"}


def history(content: PageContent) -> list[str]:
    """Return states, main metric, drift and rows of the windows so far, as small charts."""
    windows, main = content.history, content.result.main_metric
    if len(windows) < 2:
        return ["<p>This is the first window of this length; from the next one on its figures are shown over time.</p>"]
    figures = [
        states_over_time(
            [(each.end, each.state) for each in windows],
            f"States of {len(windows)} windows",
            "<b>State.</b> The higher, the worse: ok, warning, alarm; grey: too few data.",
        )
    ]
    if main is not None:
        figures.append(
            _small(windows, lambda each: each.estimate.value if each.metric == main.name else None, label_of(main.name))
        )
    figures.append(_small(windows, lambda each: each.drift, "Importance-weighted drift", from_zero=True))
    figures.append(_small(windows, lambda each: float(each.rows), "Predictions", from_zero=True))
    return [f'<div class="charts">{"".join(figures)}</div>']


def _small(
    windows: tuple[PastResult, ...], figure: Callable[[PastResult], float | None], name: str, *, from_zero: bool = False
) -> str:
    moments = [Moment(each.end, value) for each in windows if (value := figure(each)) is not None]
    if not moments:
        return ""
    text = f"{name}, now {format_number(moments[-1].value)}"
    return over_time(
        moments, f"{text}, in {counted(len(moments), 'window')}", f"<b>{escape(name)}.</b>", from_zero=from_zero
    )


def drift(result: WindowResult) -> list[str]:
    """Return whether drift matters, the histograms of the worst columns, and a table of all of them."""
    found = result.drift
    if found is None or not found.columns:
        reason = "no rows in the window" if found is None else found.obstacle or "no rows in the reference"
        return [f"<p>Nothing was compared: {reason}.</p>"]
    drifted = sum(1 for each in found.columns if each.drifted)
    text = f"{drifted} of {len(found.columns)} columns have drifted from {_reference(found)}"
    if found.importance is not None:
        text += f"; they hold {found.importance:.1%} of the model's importance, each weighted by its effect"
    worst = [each for each in found.columns if each.effect.value is not None][:MAX_HISTOGRAMS]
    figures = "".join(histograms(each, found.reference, _other_reference(each, found)) for each in worst)
    seasonal = {each.column: each for each in found.seasonal}
    rows = [_drift_row(each, seasonal, _other_reference(each, found)) for each in found.columns]
    numbers = [name for name in rows[0] if name not in ("column", "drifted")]
    note = (
        '<p class="soft">A column has drifted if its effect reaches the limit and the adjusted p-value lies below '
        "monitor.drift.alpha. Bins of numbers hold equal shares of the reference. Dates and times are not tested.</p>"
    )
    return [
        f"<p>{text}. Grey bars: {_reference(found)}; blue: this window.</p>",
        f'<div class="charts">{figures}</div>',
        _folded_table(rows, "Drift by column", numbers),
        note,
    ]


def _reference(found: Drift) -> str:
    name = REFERENCE_NAMES.get(found.reference, found.reference)
    return f"{name} ({counted(found.reference_rows, 'row')})"


def _other_reference(column: ColumnDrift, found: Drift) -> str:
    """Return the reference of a column with its rows if it is not that of the others; else an empty text."""
    name = reference_of(column.column, found.reference)
    return "" if name == found.reference else f"{name} ({counted(column.reference_rows, 'row')})"


def _drift_row(column: ColumnDrift, seasonal: dict[str, ColumnDrift], other_reference: str) -> dict[str, str]:
    drifted = {True: "yes", False: "no", None: "too few rows"}[column.drifted] if column.tested else "not tested"
    row = {
        "column": f"{column.column}, from {other_reference}" if other_reference else column.column,
        "drifted": drifted,
        "effect": format_number(column.effect.value),
        "95 % interval": format_ends(column.effect),
        "adjusted p": "" if column.p_adjusted is None else f"{column.p_adjusted:.2g}",
        "PSI": "" if column.psi is None else f"{column.psi:.2g}",
        "importance": "" if column.importance is None else f"{column.importance:.1%}",
    }
    if seasonal:
        other = seasonal.get(column.column)
        row["against the season"] = "" if other is None else format_number(other.effect.value)
    return row


def quality(result: WindowResult) -> list[str]:
    """Return the number of rows, what cannot be read, and missing, unseen and outside values by column."""
    found = result.quality
    text = counted(found.rows, "row")
    if found.expected_rows is not None:
        text += f", {found.expected_rows:,.0f} are usual in these hours"
    text += f". {found.broken_rows:,} rows cannot be read; {found.conflicting_labels:,} labels contradict each other."
    if other := describe_other_versions(result):
        text += f" {other}."
    if found.by_unknown:
        text += f" {sum(found.by_unknown.values()):,} rows are of {describe_unknown(found)}."
    if found.rejected_rows:
        text += (
            f" {found.rejected_rows:,} rows were rejected in {found.rejected_requests:,} requests, "
            f"{_share(found.rejected)} of all rows."
        )
    blocks = [f"<p>{escape(text)}</p>"]
    if found.rejections:
        rejected = [
            {"rule": each.rule, "column": each.column, "requests": f"{each.requests:,}", "rows": f"{each.rows:,}"}
            for each in found.rejections
        ]
        caption = "Rejected requests; one counts for each rule and column that it breaks"
        blocks.append(_folded_table(rejected, caption, ("requests", "rows")))
    if found.columns:
        columns = sorted(found.columns, key=lambda each: -_worst_share(each))
        numbers = ("missing", "in training", "unseen", "usual", "outside")
        blocks.append(_folded_table([_quality_row(each) for each in columns], "Quality by column", numbers))
        blocks.append(
            '<p class="soft">Unseen: categories that training did not see, and the share that is usual. Outside: '
            "numbers outside the range of training. The intervals are in brackets.</p>"
        )
    return blocks


def _worst_share(column: ColumnQuality) -> float:
    shares = (column.unseen.value or 0.0, column.outside.value or 0.0)
    return max((column.missing.value or 0.0) - column.reference_missing, *shares, float(column.is_constant))


def _quality_row(column: ColumnQuality) -> dict[str, str]:
    note = "is empty" if column.is_empty else "has a single value" if column.is_constant else ""
    return {
        "column": column.column,
        "missing": _share(column.missing),
        "in training": f"{column.reference_missing:.1%}",
        "unseen": _share(column.unseen),
        "usual": f"{column.reference_unseen:.1%}" if column.unseen.value is not None else "",
        "outside": _share(column.outside),
        "note": note,
    }


def _share(figure: Estimate) -> str:
    if figure.value is None:
        return ""
    if not figure.value or figure.low is None or figure.high is None:
        return f"{figure.value:.1%}"
    return f"{figure.value:.1%} ({figure.low:.1%} to {figure.high:.1%})"


def operations(result: WindowResult) -> list[str]:
    """Return latency, fallbacks and reviews, and the rows by path and version."""
    served = result.operations
    if served is None or not (served.by_path or served.requests):
        return []
    figures = {f"Latency {name}": f"{value:.3g} ms" for name, value in served.latency_ms.items()}
    figures |= {"Fallbacks": _share(served.fallbacks), "Reviews": _share(served.reviews)}
    if served.requests is not None:
        figures |= {
            "Requests": f"{served.requests:,.0f}",
            "Server errors": _share(served.errors),
            "Client errors": _share(served.client_errors),
            "Dropped log rows": _share(served.log_drops),
        }
    large = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in figures.items())
    rows = [{"by": "scoring path", "value": name, "rows": f"{count:,}"} for name, count in served.by_path.items()]
    rows += [{"by": "version", "value": name, "rows": f"{count:,}"} for name, count in served.by_version.items()]
    return [f'<dl class="figures">{large}</dl>', html.table(rows, "Predictions by path and version", ("rows",))]


def _folded_table(rows: list[dict[str, str]], caption: str, numbers: list[str] | tuple[str, ...]) -> str:
    """Return a table whose later rows are folded away."""
    first, rest = rows[:MAX_OPEN_ROWS], rows[MAX_OPEN_ROWS:]
    table = html.table(first, caption, numbers)
    if rest:
        more = html.table(rest, f"{caption}, the others", numbers)
        table += f"<details><summary>{len(rest)} more rows</summary>{more}</details>"
    return table
