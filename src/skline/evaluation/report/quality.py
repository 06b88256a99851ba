"""The report's figures of quality: metrics, curves, threshold and calibration."""

from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd

from skline import html
from skline.contract.spec import Contract
from skline.evaluation.champion import Comparison
from skline.evaluation.report import figures as charts
from skline.evaluation.report.figures import Axes, Row
from skline.numbers import between, interval, short

Plots = Mapping[str, pd.DataFrame]
NAMES = {
    "roc_auc": "ROC AUC",
    "pr_auc": "Average precision",
    "brier": "Brier score",
    "log_loss": "Log loss",
    "ece": "Calibration error",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "positive_rate": "Says yes to",
    "accuracy": "Accuracy",
    "rmse": "RMSE",
    "mae": "Mean absolute error",
    "median_ae": "Median absolute error",
    "r2": "R²",
}
#: What is shown large, of each task.
FIRST = {
    "binary": ("roc_auc", "pr_auc", "brier", "ece"),
    "multiclass": ("accuracy", "roc_auc", "f1", "ece"),
    "regression": ("rmse", "mae", "median_ae", "r2"),
}


def numbers(metrics: Mapping[str, Any], details: Mapping[str, Any], comparison: Comparison | None) -> list[str]:
    """The main metrics large, all of them in a table, and the differences from the baselines."""
    model, ends = metrics["model"], details["intervals"]["model"]
    task = "regression" if "rmse" in model else "multiclass" if "accuracy" in model else "binary"
    large = "".join(
        f"<div><dt>{NAMES[name]}</dt><dd>{short(model[name])}<small>{between(ends.get(name))}</small></dd></div>"
        for name in FIRST[task]
    )
    rows = []
    for name, value in model.items():
        row = {"metric": NAMES.get(name, name), "model": short(value), "95 % interval": between(ends.get(name))}
        if comparison is not None and comparison.values:
            row["champion"] = short(comparison.values.get(name))
        rows.append(row | {other: short(metrics[other][name]) for other in ("linear", "dummy") if other in metrics})
    table = html.table(
        rows, f"All metrics on {metrics['rows']:,} test rows", ("model", "95 % interval", "champion", "linear", "dummy")
    )
    metric = NAMES.get(details["metric"], details["metric"])
    beside = [
        Row(f"than the {name}", each["value"], each["low"], each["high"], short(each["value"], signed=True),
            interval(each["low"], each["high"], signed=True))
        for name, each in details["against"].items() if each
    ]  # fmt: skip
    title = f"How much better by {metric}, on the same rows"
    return [f'<dl class="figures">{large}</dl>', table, f"<h3>{title}</h3>", charts.rows(beside, title, mark=0.0)]


def curves(plots: Plots, metrics: Mapping[str, Any], contract: Contract) -> list[str]:
    """ROC, precision and recall, and calibration; or the confusion of many classes; or residuals."""
    found = []
    model = metrics["model"]
    if "roc" in plots:
        points = _points(plots["roc"], "false_positive_rate", "true_positive_rate")
        says = f"ROC curve, area {model['roc_auc']:.3f}"
        caption = f"<b>ROC.</b> Area {model['roc_auc']:.3f}; the dashed line is chance."
        found.append(charts.curve(points, "False positive rate", "True positive rate", says, caption, ((0, 0), (1, 1))))
    if "precision_recall" in plots:
        points = _points(plots["precision_recall"], "recall", "precision")
        share = metrics.get("dummy", {}).get("pr_auc")
        base = ((0, share), (1, share)) if share is not None else ()
        says = f"Precision over recall, average precision {model['pr_auc']:.3f}"
        caption = f"<b>Precision and recall.</b> Average precision {model['pr_auc']:.3f}; dashed: the share of yes."
        found.append(charts.curve(points, "Recall", "Precision", says, caption, base))
    if "calibration" in plots:
        found.append(_reliability(plots["calibration"], model["ece"]))
    if "residuals" in plots:
        found.append(_residuals(plots["residuals"]))
    charted = [f'<div class="charts">{"".join(found)}</div>'] if found else []
    if contract.task == "multiclass" and "confusion" in plots:
        charted.append(_confusion(plots["confusion"]))
    return charted


def _points(table: pd.DataFrame, x: str, y: str) -> list[tuple[float, float]]:
    return list(zip(table[x].astype(float), table[y].astype(float), strict=True))


def _reliability(table: pd.DataFrame, error: float) -> str:
    """Predicted against observed rates in bins of equal count."""
    points = _points(table, "predicted", "observed")
    top = min(1.0, max(max(pair) for pair in points) * 1.1)
    axes = Axes((0, top), (0, top))
    inside = axes.frame("Predicted rate", "Observed rate") + axes.line(((0, 0), (top, top)), charts.GREY, "4 4", 1.5)
    inside += axes.line(points, width=1.5) + axes.dots(points)
    caption = f"<b>Calibration.</b> Bins of equal count; on the dashed line rates are true. Mean gap {error:.3f}."
    return charts.chart(inside, f"Reliability curve, mean gap {error:.3f}", caption)


def _residuals(table: pd.DataFrame) -> str:
    """Predicted against actual numbers."""
    points = _points(table, "predicted", "actual")
    ends = [value for pair in points for value in pair]
    axes = Axes((min(ends), max(ends)), (min(ends), max(ends)))
    line = axes.line(((min(ends), min(ends)), (max(ends), max(ends))), charts.GREY, "4 4", 1.5)
    inside = axes.frame("Predicted", "Actual") + line + axes.dots(points, 2.5, 0.5)
    caption = f"<b>Predicted and actual</b>, {len(points)} test rows; on the dashed line a prediction is true."
    return charts.chart(inside, "Scatter of predicted and actual numbers", caption)


def _confusion(table: pd.DataFrame) -> str:
    """Counts of actual by predicted class."""
    counts = table.pivot_table(index="actual", columns="predicted", values="rows", aggfunc="sum", fill_value=0)
    rows = [{"actual": str(actual)} | {str(name): f"{int(n):,}" for name, n in line.items()} for actual, line in
            counts.iterrows()]  # fmt: skip
    return html.table(rows, "Actual classes down, predicted across", [str(name) for name in counts.columns])


def operating(plots: Plots, details: Mapping[str, Any], contract: Contract) -> list[str]:
    """The threshold with its confusion, what calibration did, and what a regression's interval holds."""
    tuning = details.get("tuning") or {}
    found: list[str] = []
    limit = tuning.get("threshold")
    if details.get("threshold") is not None:
        how = f" ({escape(limit['objective'])})" if limit else ""
        found.append(f"<p>It says yes from a probability of <b>{details['threshold']:.4f}</b> on{how}.</p>")
        pictures = []
        if "threshold" in plots:
            table = plots["threshold"]
            lines = {name: _points(table, "threshold", name.lower()) for name in ("Precision", "Recall", "F1")}
            span = float(table["threshold"].min()), float(table["threshold"].max())
            caption = "<b>Threshold.</b> The dashed upright is where it stands; it was not chosen on these rows."
            says = "Precision, recall and F1 over the threshold"
            pictures.append(charts.curves(lines, span, details["threshold"], "Threshold", says, caption))
        if "confusion" in plots:
            pictures.append(_two_by_two(plots["confusion"], contract))
        found.append(f'<div class="charts">{"".join(pictures)}</div>')
    if calibration := tuning.get("calibration"):
        found.append(f"<h3>Calibration: {escape(calibration['method'])}</h3><p>{escape(calibration['reason'])}.</p>")
    if before := details.get("uncalibrated"):
        said = ", ".join(f"{NAMES[name]} {short(value)}" for name, value in before.items())
        found.append(
            f"<p>Without it the test part gets: {said}. It is fitted on the validation part: where the share of yes "
            "moves on afterwards, probabilities are off by as much, calibrated or not.</p>"
        )
    if covered := details.get("coverage"):
        found.append(
            f"<p>Each prediction comes with ±<b>{short(covered['half_width'])}</b>, made to hold "
            f"{covered['level']:.0%} of true values (split conformal, {covered['rows']:,} validation rows). On the "
            f"test part it holds <b>{covered['coverage']:.1%}</b> ({covered['low']:.1%} to {covered['high']:.1%}).</p>"
        )
    return found


def _two_by_two(table: pd.DataFrame, contract: Contract) -> str:
    """The confusion of two classes, with shares."""
    counts = {(str(a), str(p)): int(n) for a, p, n in table[["actual", "predicted", "rows"]].itertuples(index=False)}
    total = max(sum(counts.values()), 1)
    name = contract.target.name

    def cell(actual: str, said: str) -> str:
        count = counts.get((actual, said), 0)
        return f"<td>{count:,}<br><span class=soft>{count / total:.1%}</span></td>"

    body = "".join(
        f'<tr><th scope="row">{label}</th>{cell(actual, "True")}{cell(actual, "False")}</tr>'
        for label, actual in ((f"is {escape(name)}", "True"), ("is not", "False"))
    )
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Confusion"><table class="matrix">'
        "<caption>Confusion at the threshold</caption><thead><tr><td></td>"
        f'<th scope="col">said yes</th><th scope="col">said no</th></tr></thead><tbody>{body}</tbody></table></div>'
    )
