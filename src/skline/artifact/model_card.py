"""The model card: purpose, data, quality and limits of the model, generated from the settings and the reports.

The headings follow Mitchell et al. 2019, "Model Cards for Model Reporting". A card is a list of sections with
paragraphs, lists and tables; it is rendered as Markdown and as HTML.
"""

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from skline.artifact import USE_NOT_STATED
from skline.artifact.training_sample import TrainingSample
from skline.contract.spec import Column, Contract
from skline.reporting import html
from skline.reporting.format import format_interval, format_number, format_optional_interval
from skline.settings import Settings

#: A paragraph, a list of points, or a table (one mapping per row).
Block = str | list[str] | list[dict[str, Any]]
Sections = dict[str, list[Block]]
#: Number of segments that are listed as the weakest.
MAX_WEAKEST = 3


def sections(
    settings: Settings,
    contract: Contract,
    metadata: Mapping[str, Any],
    parts: Mapping[str, Any],
    details: Mapping[str, Any],
) -> Sections:
    """Return the sections of the card by heading; the first has an empty heading.

    Parameters
    ----------
    settings : Settings
    contract : Contract
    metadata : mapping
        The manifest: libraries, metrics.
    parts : mapping
        reports/split.json: rows, class shares and dates of each part.
    details : mapping
        reports/evaluation.json: intervals, segments, threshold and other results.
    """
    metrics = metadata["metrics"]
    card: Sections = {
        "": [contract.description, f"Task: {contract.task}."],
        "Intended use": [
            settings.project.intended_use or USE_NOT_STATED,
        ],
        "Data": [
            [_part_row(name, part) for name, part in parts.items()],
            *([TrainingSample.model_validate(metadata["sample"]).describe()] if metadata.get("sample") else []),
            *settings.train.weights.describe(),
        ],
        "Quality on the test part": [f"{metrics['rows']} rows.", _metric_rows(metrics, details)],
    }
    if points := list(_describe_tuning(details)):
        card["Predictions"] = [points]
    if rows := _segment_rows(details):
        min_rows = settings.evaluate.min_segment_rows
        card["Quality by segment"] = [
            f"{details['metric']} with its 95 % interval; segments of fewer than {min_rows} test rows are left out.",
            rows,
        ]
    if limits := list(_describe_limits(details, parts)):
        card["Limits"] = [limits]
    card["Inputs"] = [[_column_row(column) for column in contract.inputs]]
    card["Target"] = [[_column_row(contract.target)]]
    if contract.leaks:
        card["Excluded columns, known too late"] = [[f"`{name}`: {reason}" for name, reason in contract.leaks.items()]]
    card["Libraries"] = [", ".join(f"{name} {version}" for name, version in metadata["libraries"].items())]
    return card


def markdown(title: str, card: Sections) -> str:
    """Render the card as Markdown."""
    blocks = [f"# {title}"]
    for heading, contents in card.items():
        if heading:
            blocks.append(f"## {heading}")
        for block in contents:
            if isinstance(block, str):
                blocks.append(block)
            elif block and isinstance(block[0], dict):
                blocks.append(_markdown_table([row for row in block if isinstance(row, dict)]))
            else:
                blocks.append("\n".join(f"- {point}" for point in block))
    return "\n\n".join(blocks) + "\n"


def page(title: str, card: Sections) -> str:
    """Render the card as an HTML page."""
    parts = [f"<header><h1>{escape(title)}</h1>"]
    for heading, contents in card.items():
        parts.append(f"</header>\n<main>\n<section><h2>{escape(heading)}</h2>" if heading == "Intended use" else "")
        if heading and heading != "Intended use":
            parts.append(f"</section>\n<section><h2>{escape(heading)}</h2>")
        for block in contents:
            if isinstance(block, str):
                parts.append(f"<p>{_inline(block)}</p>")
            elif block and isinstance(block[0], dict):
                parts.append(html.table([row for row in block if isinstance(row, dict)], heading))
            else:
                parts.append("<ul>" + "".join(f"<li>{_inline(str(point))}</li>" for point in block) + "</ul>")
    return html.document(f"Model card: {title}", "\n".join(filter(None, parts)) + "\n</section>\n</main>")


def _inline(text: str) -> str:
    """Return text as HTML, with code between backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _part_row(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a part of the data: its size, its dates, and the share of each class."""
    row = {key: value for key, value in part.items() if not isinstance(value, Mapping)}
    shares = part.get("class_shares", {})
    return {"part": name} | row | {f"share of {key}": f"{share:.1%}" for key, share in shares.items()}


def _metric_rows(metrics: Mapping[str, Any], details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row per metric: the model, its 95 % interval, and the baselines."""
    intervals = (details.get("intervals") or {}).get("model") or {}
    rows = []
    for metric, value in metrics["model"].items():
        row = {"metric": metric, "model": format_number(value)}
        if intervals:
            row["95 % interval"] = format_optional_interval(intervals.get(metric))
        row |= {name: format_number(metrics[name][metric]) for name in ("linear", "dummy") if name in metrics}
        rows.append(row)
    return rows


def _describe_tuning(details: Mapping[str, Any]) -> Iterator[str]:
    """Describe threshold, calibration and interval, and how they were set."""
    tuning = details.get("tuning") or {}
    if threshold := tuning.get("threshold"):
        yield f"Positive from a probability of {threshold['value']:.4f}: {threshold['objective']}."
    if calibration := tuning.get("calibration"):
        method = calibration["method"]
        summary = "Probabilities are not calibrated" if method == "off" else f"Calibrated by {method}"
        yield f"{summary}: {calibration['reason']}."
    if coverage := details.get("coverage"):
        yield (
            f"The prediction interval is ±{format_number(coverage['half_width'])}, for a coverage of "
            f"{coverage['level']:.0%}; on the test part it covers {coverage['coverage']:.1%} of true values."
        )


def _segment_rows(details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row per segment."""
    metric = details.get("metric", "")
    return [
        {
            "segment": f"{each['column']} = {each['value']}",
            "rows": each["rows"],
            metric: format_number(each[metric]),
            "95 % interval": format_optional_interval(each["intervals"].get(metric)),
        }
        for each in details.get("segments") or []
    ]


def _describe_limits(details: Mapping[str, Any], parts: Mapping[str, Any]) -> Iterator[str]:
    """Describe weaknesses that the evaluation shows."""
    metric = details.get("metric", "")
    measured = [each for each in details.get("segments") or [] if each.get(metric) is not None]
    if measured:
        lower_is_better = (details.get("descriptions") or {}).get(metric, {}).get("better") == "lower"
        worse_first = sorted(measured, key=lambda each: each[metric], reverse=lower_is_better)
        weakest = ", ".join(
            f"{each['column']} {each['value']} ({format_number(each[metric])})" for each in worse_first[:MAX_WEAKEST]
        )
        yield f"Weakest by {metric}: {weakest}."
    if small := details.get("small_segments"):
        yield f"Left out because they have too few rows: {sum(small.values())} segments of {', '.join(small)}."
    for gap in details.get("gaps") or []:
        rate = f"{gap['rate'].replace('_', ' ')} by `{gap['column']}`"
        if gap["gap"] is None:
            yield f"{rate} was not compared: fewer than two groups have {gap['min_rows']} rows on which it is defined."
        else:
            yield (
                f"{rate} differs by {format_number(gap['gap'])} ({format_interval(*gap['interval'])}), between "
                f"{gap['highest']} and {gap['lowest']}."
            )
    train, test = (parts.get(name, {}).get("class_shares") for name in ("train", "test"))
    if train and test:
        name = max(train, key=lambda name: abs(train[name] - test.get(name, 0.0)))
        yield (
            f"The share of {name} is {train[name]:.1%} in the training part and {test.get(name, 0.0):.1%} in the test "
            "part; probabilities are off by as much as this share changes."
        )
    if adversarial := (details.get("leaks") or {}).get("adversarial"):
        yield (
            f"A model distinguishes training rows from test rows with a ROC AUC of {adversarial['roc_auc']:.3f} (0.5: "
            f"no difference), mostly by `{next(iter(adversarial['columns']))}`."
        )


def _column_row(column: Column) -> dict[str, Any]:
    """Return the row of a column in the data dictionary."""
    rules = [
        f"{sign} {bound}"
        for sign, bound in (
            ("≥", column.minimum),
            (">", column.exclusive_minimum),
            ("≤", column.maximum),
            ("<", column.exclusive_maximum),
        )
        if bound is not None
    ]
    if column.choices is not None:
        rules.append("one of " + ", ".join(map(str, column.choices)))
    if column.pattern is not None:
        rules.append(f"matches `{column.pattern}`")
    return {
        "column": column.name,
        "type": column.kind,
        "may be missing": "yes" if column.nullable else "no",
        "rule": "; ".join(rules),
        "meaning": column.description,
    }


def _markdown_table(rows: list[dict[str, Any]]) -> str:
    """Render a Markdown table; the columns are the keys of all rows, in order of first appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[str(row.get(column, "")).replace("|", "\\|").replace("\n", " ") for column in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
