"""Sections of the report about everything but quality: champion, segments, inputs, leakage, data, model."""

from collections.abc import Mapping
from html import escape
from itertools import groupby
from typing import Any

from skline.artifact import Artifact
from skline.counting import counted
from skline.evaluation.champion import Comparison
from skline.evaluation.importance import REPEATS
from skline.evaluation.metrics import label_of
from skline.release.verdict import Verdict
from skline.reporting import charts, html
from skline.reporting.charts import IntervalRow
from skline.reporting.format import format_interval, format_number, format_optional_interval
from skline.settings import Settings

#: Of a column with more segments, the smallest ones are folded away.
MAX_OPEN_SEGMENTS = 16
#: The groups that a gap is between.
ENDS = ("highest", "lowest")


def champion(verdict: Verdict, comparison: Comparison | None) -> list[str]:
    """Return the difference from the champion on the same rows, and the segments that are worse."""
    if comparison is None or comparison.obstacle is not None:
        reason = next((each.reason for each in verdict.gates if each.gate == "champion"), "nothing was compared")
        return [f"<p>{escape(reason[:1].upper() + reason[1:])}.</p>"]
    overall = comparison.difference
    if overall is None:
        return [f"<p>This artifact is the champion {escape(comparison.version)}.</p>"]
    title = (
        f"How much better by {label_of(overall.metric)} than {comparison.version}, on the same {overall.rows:,} rows"
    )
    differences = {"all rows": overall}
    differences |= {f"{each.column} {each.value}": each.difference for each in comparison.worse_segments}
    rows = [
        IntervalRow(
            label,
            each.value,
            each.low,
            each.high,
            format_number(each.value, signed=True),
            format_interval(each.low, each.high, signed=True),
        )
        for label, each in differences.items()
    ]
    conclusion = {
        True: "It is better beyond chance.",
        False: "No improvement is shown: the interval reaches zero or less.",
        None: "",
    }[verdict.improved]
    number = counted(comparison.compared_segments, "segment was compared", "segments were compared")
    compared = f"{number}; those listed are worse by more than the margin."
    if comparison.rows:
        compared = f"The models are compared on {escape(comparison.rows)}. {compared}"
    return [f"<h3>{escape(title)}</h3>", charts.interval_rows(rows, title, mark=0.0), f"<p>{conclusion} {compared}</p>"]


def segments(details: Mapping[str, Any], overall: float | None) -> list[str]:
    """Return the comparison metric of every segment, by column, with that of all rows."""
    metric = details["metric"]
    name = label_of(metric)
    parts = []
    for column, entries in groupby(details["segments"], key=lambda each: each["column"]):
        own = list(entries)
        by_size = sorted(own, key=lambda each: -each["rows"])
        largest = {each["value"] for each in by_size[:MAX_OPEN_SEGMENTS]}
        title = f"{name} by {column}"
        parts.append(f"<h3>By {escape(column)}</h3>")
        rows = [_segment_row(each, metric) for each in own if each["value"] in largest]
        parts.append(charts.interval_rows(rows, title, overall))
        if rest := [_segment_row(each, metric) for each in own if each["value"] not in largest]:
            chart = charts.interval_rows(rest, title, overall)
            parts.append(f"<details><summary>{len(rest)} smaller segments</summary>{chart}</details>")
        if small := details["small_segments"].get(column):
            parts.append(f'<p class="soft">Not shown: {small} with too few rows.</p>')
    if not parts:
        return ["<p>The contract has no segment column, or no segment has enough rows.</p>"]
    table = [
        {"segment": f"{each['column']} = {each['value']}", "rows": f"{each['rows']:,}"}
        | {
            label_of(key): format_number(value)
            for key, value in each.items()
            if key not in ("column", "value", "rows", "intervals")
        }
        for each in details["segments"]
    ]
    columns = list(dict.fromkeys(key for row in table for key in row))[1:]
    return [
        f"<p>{escape(name)} with its 95 % interval; dashed: all test rows. Missing values are a segment too.</p>",
        *parts,
        f"<details><summary>All metrics</summary>{html.table(table, 'All metrics by segment', columns)}</details>",
    ]


def _segment_row(segment: Mapping[str, Any], metric: str) -> IntervalRow:
    low, high = segment["intervals"].get(metric) or (None, None)
    note = counted(segment["rows"], "row")
    return IntervalRow(segment["value"], segment[metric], low, high, format_number(segment[metric]), note)


def gaps(details: Mapping[str, Any]) -> list[str]:
    """Return the differences between groups of sensitive columns."""
    rows = [_gap_row(each) for each in details["gaps"]]
    if not rows:
        return []
    note = (
        "<p>The intervals hold for all pairs of groups of a column together. Only groups with enough rows on which a "
        "rate is defined are compared.</p>"
    )
    return [note, html.table(rows, "Largest differences between groups of sensitive columns", ("gap",))]


def _gap_row(gap: Mapping[str, Any]) -> dict[str, str]:
    """Return one row of the table of gaps; without a gap where fewer than two groups are large enough."""
    ends = {
        end: f"{gap[end]} ({format_number(gap['groups'][gap[end]])})" if gap[end] is not None else "" for end in ENDS
    }
    return {
        "column": gap["column"],
        "rate": gap["rate"].replace("_", " "),
        "gap": "too few rows" if gap["gap"] is None else format_number(gap["gap"]),
        "95 % interval": format_optional_interval(gap["interval"]),
        **ends,
        "too small": ", ".join(f"{name} ({rows})" for name, rows in gap["small"].items()),
    }


def importance(details: Mapping[str, Any]) -> list[str]:
    """Return the permutation importance of each input."""
    rows = [
        IntervalRow(each["column"], each["mean"], each["low"], each["high"], format_number(each["mean"]))
        for each in details["importance"]
    ]
    if not rows:
        return []
    title = f"How much worse {label_of(details['metric'])} gets when an input's values are shuffled among test rows"
    return [
        f"<p>{escape(title)}: mean and range of {REPEATS} repeats.</p>",
        charts.interval_rows(rows, title, mark=0.0),
    ]


def refits(details: Mapping[str, Any]) -> list[str]:
    """Return the results of fits with other seeds, and on fewer rows."""
    blocks = []
    if seeds := details.get("seeds"):
        blocks.append(
            f"<p>In {len(seeds['values'])} fits with other seeds {escape(label_of(seeds['metric']))} is "
            f"{format_number(seeds['mean'])} on average, with a range of {format_number(seeds['range'])}.</p>"
        )
    if curve := details.get("learning_curve"):
        rows = [
            IntervalRow(counted(each["rows"], "row"), each["value"], None, None, format_number(each["value"]))
            for each in curve
        ]
        title = f"{label_of(details['metric'])} when fitted on fewer rows"
        blocks += [f"<h3>{escape(title)}</h3>", charts.interval_rows(rows, title)]
    return blocks


def leakage(details: Mapping[str, Any]) -> list[str]:
    """Return the rows that are in both parts, and whether a model can distinguish the parts."""
    duplicates, adversarial = details["leaks"]["duplicates"], details["leaks"]["adversarial"]
    differing = duplicates["but"]
    points = [
        f"{duplicates['exact']:.2%} of test rows equal a training row in every input, {duplicates['near']:.2%} in all "
        "but one" + (f" (mostly but {max(differing, key=differing.get)})." if differing else ".")
    ]
    points += [f"{count:,} values of {name} are in both parts." for name, count in duplicates["ids"].items()]
    if adversarial:
        columns = ", ".join(f"{name} ({drop:.3f})" for name, drop in list(adversarial["columns"].items())[:3])
        without = f", without {', '.join(adversarial['left_out'])}" if adversarial["left_out"] else ""
        points.append(
            f"A model distinguishes training from test rows with a ROC AUC of {adversarial['roc_auc']:.3f} "
            f"({format_optional_interval(adversarial['interval'])}; 0.5: the parts are alike){without}: by {columns}."
        )
    return ["<ul>" + "".join(f"<li>{escape(point)}</li>" for point in points) + "</ul>"]


def data(lineage: Mapping[str, Any], parts: Mapping[str, Any]) -> list[str]:
    """Return where the table came from, and its parts."""
    rows = []
    for name, part in parts.items():
        row = {
            "part": name,
            "rows": f"{part['rows']:,}",
            "share": f"{part['share']:.1%}" if "share" in part else "",
            "from": str(part.get("from", ""))[:10],
            "to": str(part.get("to", ""))[:10],
        }
        row |= {f"share of {key}": f"{share:.1%}" for key, share in part.get("class_shares", {}).items()}
        if "target_mean" in part:
            row["target's mean"] = format_number(part["target_mean"])
        rows.append(row)
    origin = {
        "Source": lineage.get("source"),
        "Query": lineage.get("query"),
        "Rows": f"{lineage['rows']:,}" if "rows" in lineage else None,
        "Sha256": lineage.get("sha256"),
        "Left out as leaks": ", ".join(lineage.get("leaks_left_out") or []),
    }
    return [html.table(rows, "Parts of the data", ("rows", "share")), _list_of(origin)]


def model(artifact: Artifact, settings: Settings) -> list[str]:
    """Return what the model is for, and what it was made from."""
    manifest = artifact.manifest
    scorer = "its exact plan" if manifest.scoring.path == "plan" else f"the pipeline ({manifest.scoring.reason})"
    origin = {
        "Intended use": settings.project.intended_use,
        "Artifact": artifact.digest,
        "Training data": manifest.data_sha256.get("train", ""),
        "Scored by": scorer,
        "Engine's code": manifest.engine,
        "Libraries": ", ".join(f"{name} {version}" for name, version in manifest.libraries.items()),
    }
    return [_list_of(origin), "<p>The artifact's model card describes each input and its allowed values.</p>"]


def _list_of(items: Mapping[str, Any]) -> str:
    points = "".join(f"<li>{escape(name)}: {escape(str(value))}</li>" for name, value in items.items() if value)
    return f"<ul>{points}</ul>"
