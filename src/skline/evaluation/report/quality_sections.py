"""Sections of the report about quality: metrics, curves, threshold and calibration."""

from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd

from skline.contract.spec import Contract
from skline.evaluation.champion import Comparison
from skline.evaluation.metrics import HEADLINE_METRICS, label_of
from skline.evaluation.resampling import Task
from skline.reporting import charts, html
from skline.reporting.charts import Axes, IntervalRow
from skline.reporting.format import format_interval, format_number, format_optional_interval

Plots = Mapping[str, pd.DataFrame]


def metrics_table(
    metrics: Mapping[str, Any], details: Mapping[str, Any], task: Task, comparison: Comparison | None
) -> list[str]:
    """Return the main metrics large, all of them in a table, and the differences from the baselines."""
    model, intervals = metrics["model"], details["intervals"]["model"]
    large = "".join(
        f"<div><dt>{label_of(name)}</dt><dd>{format_number(model[name])}"
        f"<small>{format_optional_interval(intervals.get(name))}</small></dd></div>"
        for name in HEADLINE_METRICS[task]
    )
    rows = []
    for name, value in model.items():
        row = {
            "metric": label_of(name),
            "model": format_number(value),
            "95 % interval": format_optional_interval(intervals.get(name)),
        }
        if comparison is not None and comparison.values and not comparison.rows:  # else they are of fewer rows
            row["champion"] = format_number(comparison.values.get(name))
        rows.append(
            row | {other: format_number(metrics[other][name]) for other in ("linear", "dummy") if other in metrics}
        )
    table = html.table(
        rows, f"All metrics on {metrics['rows']:,} test rows", ("model", "95 % interval", "champion", "linear", "dummy")
    )
    differences = [
        IntervalRow(
            f"than the {name}",
            each["value"],
            each["low"],
            each["high"],
            format_number(each["value"], signed=True),
            format_interval(each["low"], each["high"], signed=True),
        )
        for name, each in details["against"].items()
        if each
    ]
    title = f"How much better by {label_of(details['metric'])}, on the same rows"
    chart = charts.interval_rows(differences, title, mark=0.0)
    return [f'<dl class="figures">{large}</dl>', table, f"<h3>{title}</h3>", chart]


def curves(plots: Plots, metrics: Mapping[str, Any], contract: Contract) -> list[str]:
    """Return ROC, precision-recall and calibration curves, a confusion matrix, or a scatter plot, as the task has."""
    figures = []
    model = metrics["model"]
    if "roc" in plots:
        points = _points(plots["roc"], "false_positive_rate", "true_positive_rate")
        label = f"ROC curve, area {model['roc_auc']:.3f}"
        caption = f"<b>ROC.</b> Area {model['roc_auc']:.3f}; the dashed line is chance."
        chance = ((0, 0), (1, 1))
        figures.append(charts.curve(points, "False positive rate", "True positive rate", label, caption, chance))
    if "precision_recall" in plots:
        points = _points(plots["precision_recall"], "recall", "precision")
        share = metrics.get("dummy", {}).get("pr_auc")
        base_rate = ((0, share), (1, share)) if share is not None else ()
        label = f"Precision over recall, average precision {model['pr_auc']:.3f}"
        caption = (
            f"<b>Precision and recall.</b> Average precision {model['pr_auc']:.3f}; dashed: the share of positive rows."
        )
        figures.append(charts.curve(points, "Recall", "Precision", label, caption, base_rate))
    if "calibration" in plots:
        figures.append(_calibration_curve(plots["calibration"], model["ece"]))
    if "residuals" in plots:
        figures.append(_scatter_plot(plots["residuals"]))
    blocks = [f'<div class="charts">{"".join(figures)}</div>'] if figures else []
    if contract.task == "multiclass" and "confusion" in plots:
        blocks.append(_confusion_table(plots["confusion"]))
    return blocks


def _points(table: pd.DataFrame, x: str, y: str) -> list[tuple[float, float]]:
    return list(zip(table[x].astype(float), table[y].astype(float), strict=True))


def _calibration_curve(table: pd.DataFrame, error: float) -> str:
    """Return a chart of predicted and observed rates in bins of equal count."""
    points = _points(table, "predicted", "observed")
    top = min(1.0, max(max(pair) for pair in points) * 1.1)
    axes = Axes((0, top), (0, top))
    contents = axes.frame("Predicted rate", "Observed rate") + axes.line(((0, 0), (top, top)), charts.GREY, "4 4", 1.5)
    contents += axes.line(points, width=1.5) + axes.dots(points)
    caption = (
        "<b>Calibration.</b> Bins of equal count; on the dashed line predicted and observed rates are equal. "
        f"Calibration error {error:.3f}."
    )
    return charts.figure(contents, f"Calibration curve, calibration error {error:.3f}", caption)


def _scatter_plot(table: pd.DataFrame) -> str:
    """Return a chart of predicted and actual numbers."""
    points = _points(table, "predicted", "actual")
    ends = [value for pair in points for value in pair]
    axes = Axes((min(ends), max(ends)), (min(ends), max(ends)))
    line = axes.line(((min(ends), min(ends)), (max(ends), max(ends))), charts.GREY, "4 4", 1.5)
    contents = axes.frame("Predicted", "Actual") + line + axes.dots(points, 2.5, 0.5)
    caption = f"<b>Predicted and actual</b>, {len(points)} test rows; on the dashed line a prediction is exact."
    return charts.figure(contents, "Scatter plot of predicted and actual numbers", caption)


def _confusion_table(table: pd.DataFrame) -> str:
    """Return the confusion matrix of three or more classes."""
    counts = table.pivot_table(index="actual", columns="predicted", values="rows", aggfunc="sum", fill_value=0)
    rows = [
        {"actual": str(actual)} | {str(name): f"{int(count):,}" for name, count in row.items()}
        for actual, row in counts.iterrows()
    ]
    return html.table(rows, "Actual classes down, predicted across", [str(name) for name in counts.columns])


def threshold_and_calibration(plots: Plots, details: Mapping[str, Any], contract: Contract) -> list[str]:
    """Return the threshold with its confusion matrix, the effect of the calibration, and the interval's coverage."""
    tuning = details.get("tuning") or {}
    blocks: list[str] = []
    if details.get("threshold") is not None:
        threshold = tuning.get("threshold")
        how = f" ({escape(threshold['objective'])})" if threshold else ""
        blocks.append(
            f"<p>A row is predicted positive from a probability of <b>{details['threshold']:.4f}</b> on{how}.</p>"
        )
        figures = []
        if "threshold" in plots:
            table = plots["threshold"]
            lines = {name: _points(table, "threshold", name.lower()) for name in ("Precision", "Recall", "F1")}
            span = float(table["threshold"].min()), float(table["threshold"].max())
            caption = "<b>Threshold.</b> Dashed: the operating threshold, which was not chosen on these rows."
            label = "Precision, recall and F1 over the threshold"
            figures.append(charts.curves(lines, span, details["threshold"], "Threshold", label, caption))
        if "confusion" in plots:
            figures.append(_confusion_matrix(plots["confusion"], contract))
        blocks.append(f'<div class="charts">{"".join(figures)}</div>')
    if calibration := tuning.get("calibration"):
        blocks.append(f"<h3>Calibration: {escape(calibration['method'])}</h3><p>{escape(calibration['reason'])}.</p>")
    if uncalibrated := details.get("uncalibrated"):
        values = ", ".join(f"{label_of(name)} {format_number(value)}" for name, value in uncalibrated.items())
        blocks.append(
            f"<p>On the test part the model without the calibration has: {values}. The calibration is fitted on the "
            "validation part: where the share of positive rows changes afterwards, probabilities are off by as much, "
            "calibrated or not.</p>"
        )
    if covered := details.get("coverage"):
        blocks.append(
            f"<p>Each prediction has an interval of ±<b>{format_number(covered['half_width'])}</b>, designed to hold "
            f"{covered['level']:.0%} of true values (split conformal, {covered['rows']:,} validation rows). On the "
            f"test part it holds <b>{covered['coverage']:.1%}</b> ({covered['low']:.1%} to {covered['high']:.1%}).</p>"
        )
    return blocks


def _confusion_matrix(table: pd.DataFrame, contract: Contract) -> str:
    """Return the confusion matrix of two classes, with shares."""
    counts = {(str(a), str(p)): int(n) for a, p, n in table[["actual", "predicted", "rows"]].itertuples(index=False)}
    total = max(sum(counts.values()), 1)
    name = contract.target.name

    def cell(actual: str, predicted: str) -> str:
        count = counts.get((actual, predicted), 0)
        return f"<td>{count:,}<br><span class=soft>{count / total:.1%}</span></td>"

    body = "".join(
        f'<tr><th scope="row">{label}</th>{cell(actual, "True")}{cell(actual, "False")}</tr>'
        for label, actual in ((f"is {escape(name)}", "True"), ("is not", "False"))
    )
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Confusion matrix"><table class="matrix">'
        "<caption>Confusion matrix at the threshold</caption><thead><tr><td></td>"
        '<th scope="col">predicted</th><th scope="col">not predicted</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
