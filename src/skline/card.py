"""The model card: what the model is for, what it was made of and how good it is, from facts alone.

The headings follow Mitchell et al. 2019, "Model Cards for Model Reporting". It is made of headed sections, each of
paragraphs, lists and tables, which are written as Markdown and as HTML.
"""

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from skline import html
from skline.contract.spec import Column, Contract
from skline.numbers import between, short
from skline.settings import Settings

#: A paragraph, a list of points, or a table: one mapping a row.
Block = str | list[str] | list[dict[str, Any]]
Sections = dict[str, list[Block]]
#: So many segments are named as the weakest.
WEAKEST = 3


def sections(
    settings: Settings,
    contract: Contract,
    facts: Mapping[str, Any],
    parts: Mapping[str, Any],
    details: Mapping[str, Any],
) -> Sections:
    """Collect the card's sections by heading; the first has none.

    Parameters
    ----------
    settings : Settings
    contract : Contract
    facts : mapping
        The manifest's facts: commit, libraries, metrics.
    parts : mapping
        reports/split.json: rows, class shares and dates of each part.
    details : mapping
        reports/evaluation.json: intervals, segments, threshold and the like.
    """
    made = f"Task: {contract.task}. Made {facts['created_at']} from commit " + (facts["git_commit"] or "none")
    found: Sections = {
        "": [contract.description, made + (" with uncommitted changes." if facts["git_dirty"] else ".")],
        "Intended use": [
            settings.project.intended_use or "Not stated: fill in project.intended_use in params.yaml.",
        ],
        "Data": [[{"part": name} | dict(part) for name, part in parts.items()]],
        "Quality on the test part": [f"{facts['metrics']['rows']} rows.", _quality(facts["metrics"], details)],
    }
    if how := list(_how(details)):
        found["How it answers"] = [how]
    least = settings.evaluate.min_segment_rows
    if rows := _segments(details):
        found["Quality by segment"] = [
            f"{details['metric']} with its 95 % interval; smaller ones than {least} test rows are not judged.",
            rows,
        ]
    if limits := list(_limits(details, parts)):
        found["Limits"] = [limits]
    found["Inputs"] = [[_row(column) for column in contract.inputs]]
    found["Target"] = [[_row(contract.target)]]
    if contract.leaks:
        found["Known too late to be inputs"] = [[f"`{name}`: {reason}" for name, reason in contract.leaks.items()]]
    found["Made with"] = [", ".join(f"{name} {version}" for name, version in facts["libraries"].items())]
    return found


def markdown(title: str, found: Sections) -> str:
    """Write the card as Markdown."""
    blocks = [f"# {title}"]
    for heading, contents in found.items():
        if heading:
            blocks.append(f"## {heading}")
        for block in contents:
            if isinstance(block, str):
                blocks.append(block)
            elif block and isinstance(block[0], dict):
                blocks.append(_table([row for row in block if isinstance(row, dict)]))
            else:
                blocks.append("\n".join(f"- {point}" for point in block))
    return "\n\n".join(blocks) + "\n"


def page(title: str, found: Sections) -> str:
    """Write the card as a page of its own."""
    parts = [f"<header><h1>{escape(title)}</h1>"]
    for heading, contents in found.items():
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
    """Text as HTML; what stands between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _quality(metrics: Mapping[str, Any], details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One line a metric: the model, its 95 % interval, and the baselines."""
    ends = (details.get("intervals") or {}).get("model") or {}
    rows = []
    for metric, value in metrics["model"].items():
        row = {"metric": metric, "model": short(value)}
        if ends:
            row["95 % interval"] = between(ends.get(metric))
        row |= {name: short(metrics[name][metric]) for name in ("linear", "dummy") if name in metrics}
        rows.append(row)
    return rows


def _how(details: Mapping[str, Any]) -> Iterator[str]:
    """Threshold, calibration and interval, and how they were found."""
    tuning = details.get("tuning") or {}
    if limit := tuning.get("threshold"):
        yield f"It says yes from a probability of {limit['value']:.4f} on: {limit['objective']}."
    if calibration := tuning.get("calibration"):
        method = calibration["method"]
        how = "Probabilities are as the model gives them" if method == "off" else f"Calibrated by {method}"
        yield f"{how}: {calibration['reason']}."
    if covered := details.get("coverage"):
        yield (
            f"With each number an interval of ±{short(covered['half_width'])} is given, made to hold "
            f"{covered['level']:.0%} of true values; it held {covered['coverage']:.1%} of the test part's."
        )


def _segments(details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One line a segment."""
    metric = details.get("metric", "")
    return [
        {
            "segment": f"{each['column']} = {each['value']}",
            "rows": each["rows"],
            metric: short(each[metric]),
            "95 % interval": between(each["intervals"].get(metric)),
        }
        for each in details.get("segments") or []
    ]


def _limits(details: Mapping[str, Any], parts: Mapping[str, Any]) -> Iterator[str]:
    """What the evaluation found to be weak."""
    metric = details.get("metric", "")
    judged = [each for each in details.get("segments") or [] if each.get(metric) is not None]
    if judged:
        worse_first = sorted(judged, key=lambda each: each[metric], reverse=metric in ("rmse", "mae", "median_ae"))
        named = ", ".join(f"{each['column']} {each['value']} ({short(each[metric])})" for each in worse_first[:WEAKEST])
        yield f"It is weakest in {named}, by {metric}."
    if small := details.get("small_segments"):
        yield f"Not judged for want of rows: {sum(small.values())} segments of {', '.join(small)}."
    for gap in details.get("gaps") or []:
        yield (
            f"{gap['rate'].replace('_', ' ')} by `{gap['column']}` differs by {short(gap['gap'])}, between "
            f"{gap['highest']} and {gap['lowest']}."
        )
    first, last = (parts.get(name, {}).get("class_shares") for name in ("train", "test"))
    if first and last:
        moved = max(first, key=lambda name: abs(first[name] - last.get(name, 0.0)))
        yield (
            f"The share of {moved} was {first[moved]:.1%} where it was trained and {last.get(moved, 0.0):.1%} where it "
            "was tested; probabilities are as far off as this share moves on."
        )
    apart = (details.get("leaks") or {}).get("adversarial")
    if apart:
        yield (
            f"A model tells training rows from test rows with a ROC AUC of {apart['roc_auc']:.3f} (0.5 is alike), "
            f"mostly by `{next(iter(apart['columns']))}`."
        )


def _row(column: Column) -> dict[str, Any]:
    """One line of the data dictionary."""
    bounds = [
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
        bounds.append("one of " + ", ".join(map(str, column.choices)))
    if column.pattern is not None:
        bounds.append(f"matches `{column.pattern}`")
    return {
        "column": column.name,
        "type": column.kind,
        "may be missing": "yes" if column.nullable else "no",
        "rule": "; ".join(bounds),
        "meaning": column.description,
    }


def _table(rows: list[dict[str, Any]]) -> str:
    """Write a Markdown table; the columns are the keys of all rows, in order."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[str(row.get(column, "")).replace("|", "\\|").replace("\n", " ") for column in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
