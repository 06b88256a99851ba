"""The report's other sections: champion, segments, inputs, leaks, data, model."""

from collections.abc import Mapping
from html import escape
from itertools import groupby
from typing import Any

from skline import html
from skline.artifact import Artifact
from skline.evaluation.champion import Comparison
from skline.evaluation.report import figures
from skline.evaluation.report.figures import Row
from skline.evaluation.report.quality import NAMES
from skline.evaluation.verdict import Verdict
from skline.numbers import between, interval, short
from skline.settings import Settings

#: A column with more segments shows the smallest ones folded away.
OPEN_SEGMENTS = 16


def champion(verdict: Verdict, comparison: Comparison | None) -> list[str]:
    """The difference on the same rows, and the segments that are worse."""
    if comparison is None:
        said = next((each.reason for each in verdict.findings if each.gate == "champion"), "nothing was compared")
        return [f"<p>{escape(said[:1].upper() + said[1:])}.</p>"]
    found = comparison.difference
    if found is None:
        return [f"<p>This artifact is the champion {escape(comparison.version)}.</p>"]
    metric = NAMES.get(found.metric, found.metric)
    says = f"How much better by {metric} than {comparison.version}, on the same {found.rows:,} rows"
    rows = [Row("all rows", found.value, found.low, found.high, short(found.value, signed=True),
                interval(found.low, found.high, signed=True))]  # fmt: skip
    for each in comparison.worse_segments:
        part = each.difference
        text = interval(part.low, part.high, signed=True)
        rows.append(
            Row(f"{each.column} {each.value}", part.value, part.low, part.high, short(part.value, signed=True), text)
        )
    words = {
        True: "It is better beyond chance.",
        False: "No improvement is shown: the interval reaches zero or less.",
        None: "",
    }[verdict.improved]
    judged = f"{comparison.judged_segments} segments were compared; named here are those that look much worse."
    return [f"<h3>{escape(says)}</h3>", figures.rows(rows, says, mark=0.0), f"<p>{words} {judged}</p>"]


def segments(details: Mapping[str, Any], whole: float | None) -> list[str]:
    """The comparison metric of every segment, by column, beside that of all rows."""
    metric = details["metric"]
    name = NAMES.get(metric, metric)
    parts = []
    for column, entries in groupby(details["segments"], key=lambda each: each["column"]):
        rows = []
        for each in entries:
            ends = each["intervals"].get(metric) or (None, None)
            more = f"{each['rows']:,} rows"
            rows.append(Row(each["value"], each[metric], ends[0], ends[1], short(each[metric]), more))
        shown = sorted(rows, key=lambda row: -int(row.more.split()[0].replace(",", "")))[:OPEN_SEGMENTS]
        says = f"{name} by {column}"
        parts.append(f"<h3>By {escape(column)}</h3>")
        parts.append(figures.rows([row for row in rows if row in shown], says, whole))
        if rest := [row for row in rows if row not in shown]:
            parts.append(
                f"<details><summary>{len(rest)} smaller ones</summary>{figures.rows(rest, says, whole)}</details>"
            )
        if small := details["small_segments"].get(column):
            parts.append(f'<p class="soft">Not shown: {small} of too few rows.</p>')
    if not parts:
        return ["<p>No column of the contract is a segment, or none has enough rows.</p>"]
    table = [
        {"segment": f"{each['column']} = {each['value']}", "rows": f"{each['rows']:,}"}
        | {NAMES.get(key, key): short(value) for key, value in each.items()
           if key not in ("column", "value", "rows", "intervals")}
        for each in details["segments"]
    ]  # fmt: skip
    columns = list(dict.fromkeys(key for row in table for key in row))[1:]
    return [
        f"<p>{escape(name)} with its 95 % interval; dashed: all test rows. Missing values are a group too.</p>",
        *parts,
        f"<details><summary>All of them</summary>{html.table(table, 'All metrics by segment', columns)}</details>",
    ]


def gaps(details: Mapping[str, Any]) -> list[str]:
    """Differences between groups of sensitive columns."""
    rows = [
        {
            "column": each["column"],
            "rate": each["rate"].replace("_", " "),
            "gap": short(each["gap"]),
            "95 % interval": between(each["interval"]),
            "highest": f"{each['highest']} ({short(each['groups'][each['highest']])})",
            "lowest": f"{each['lowest']} ({short(each['groups'][each['lowest']])})",
        }
        for each in details["gaps"]
    ]
    return [html.table(rows, "Largest differences between groups of sensitive columns", ("gap",))] if rows else []


def importance(details: Mapping[str, Any]) -> list[str]:
    """What permuting each input costs."""
    name = NAMES.get(details["metric"], details["metric"])
    rows = [
        Row(each["column"], each["mean"], each["low"], each["high"], short(each["mean"]))
        for each in details["importance"]
    ]
    if not rows:
        return []
    says = f"How much worse {name} gets when an input's values change hands among test rows"
    return [f"<p>{escape(says)}: mean and range of five goes.</p>", figures.rows(rows, says, mark=0.0)]


def refits(details: Mapping[str, Any]) -> list[str]:
    """Other seeds, and fewer rows."""
    found = []
    if seeds := details.get("seeds"):
        name = NAMES.get(seeds["metric"], seeds["metric"])
        found.append(
            f"<p>Fitted {len(seeds['values'])} times with other seeds, {escape(name)} is {short(seeds['mean'])} on "
            f"average and moves within {short(seeds['range'])}.</p>"
        )
    if curve := details.get("learning_curve"):
        rows = [Row(f"{each['rows']:,} rows", each["value"], None, None, short(each["value"])) for each in curve]
        says = f"{NAMES.get(details['metric'], details['metric'])} when fitted on fewer rows"
        found += [f"<h3>{escape(says)}</h3>", figures.rows(rows, says)]
    return found


def leaks(details: Mapping[str, Any]) -> list[str]:
    """Rows in both parts, and whether the parts can be told apart."""
    twice, apart = details["leaks"]["duplicates"], details["leaks"]["adversarial"]
    points = [
        f"{twice['exact']:.2%} of test rows equal a training row in every input, {twice['near']:.2%} in all but one"
        + (f" (mostly but {max(twice['but'], key=twice['but'].get)})." if twice["but"] else ".")
    ]
    points += [f"{count:,} values of {name} are in both parts." for name, count in twice["ids"].items()]
    if apart:
        by = ", ".join(f"{name} ({fall:.3f})" for name, fall in list(apart["columns"].items())[:3])
        without = f", without {', '.join(apart['left_out'])}" if apart["left_out"] else ""
        points.append(
            f"A model tells training from test rows with a ROC AUC of {apart['roc_auc']:.3f} "
            f"({between(apart['interval'])}; 0.5 is alike){without}: by {by}."
        )
    return ["<ul>" + "".join(f"<li>{escape(point)}</li>" for point in points) + "</ul>"]


def data(lineage: Mapping[str, Any], parts: Mapping[str, Any]) -> list[str]:
    """Where the table came from, and the parts of it."""
    rows = []
    for name, part in parts.items():
        row = {"part": name, "rows": f"{part['rows']:,}", "from": str(part.get("from", ""))[:10],
               "to": str(part.get("to", ""))[:10]}  # fmt: skip
        row |= {f"share of {key}": f"{share:.1%}" for key, share in part.get("class_shares", {}).items()}
        if "target_mean" in part:
            row["target's mean"] = short(part["target_mean"])
        rows.append(row)
    facts = {
        "Source": lineage.get("source"),
        "Query": lineage.get("query"),
        "Read": lineage.get("read_at"),
        "Rows": f"{lineage['rows']:,}" if "rows" in lineage else None,
        "Sha256": lineage.get("sha256"),
        "Left out as leaks": ", ".join(lineage.get("leaks_left_out") or []),
    }
    points = "".join(f"<li>{escape(name)}: {escape(str(value))}</li>" for name, value in facts.items() if value)
    return [html.table(rows, "Parts of the data", ("rows",)), f"<ul>{points}</ul>"]


def model(artifact: Artifact, settings: Settings) -> list[str]:
    """What it is for, and what it was made from."""
    manifest = artifact.manifest
    scored = "its exact plan" if manifest.scoring.path == "plan" else f"the pipeline ({manifest.scoring.reason})"
    facts = {
        "Intended use": settings.project.intended_use or "not stated: fill in project.intended_use in params.yaml",
        "Artifact": artifact.digest,
        "Commit": (manifest.git_commit or "none") + (" with uncommitted changes" if manifest.git_dirty else ""),
        "Training data": manifest.data_sha256.get("train", ""),
        "Scored by": scored,
        "Libraries": ", ".join(f"{name} {version}" for name, version in manifest.libraries.items()),
    }
    points = "".join(f"<li>{escape(name)}: {escape(str(value))}</li>" for name, value in facts.items() if value)
    return [f"<ul>{points}</ul>", "<p>The artifact's model card says what each input means and may be.</p>"]
