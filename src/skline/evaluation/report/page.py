"""The report's page: the verdict first, then the sections that it rests on."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import pandas as pd

from skline.artifact import Artifact
from skline.contract.spec import Task
from skline.evaluation.champion import Comparison
from skline.evaluation.report import quality_sections, sections
from skline.release.verdict import Verdict
from skline.reporting import html
from skline.settings import Settings

#: Heading of the section about what was set on the validation part.
TUNING_HEADINGS: dict[Task, str] = {
    "binary": "Threshold and calibration", "multiclass": "Calibration", "regression": "Prediction interval",
}  # fmt: skip


def render_report(
    settings: Settings,
    artifact: Artifact,
    verdict: Verdict,
    comparison: Comparison | None,
    *,
    metrics: Mapping[str, Any],
    details: Mapping[str, Any],
    plots: Mapping[str, pd.DataFrame],
    lineage: Mapping[str, Any],
    parts: Mapping[str, Any],
) -> str:
    """Return the whole page.

    Parameters
    ----------
    settings : Settings
    artifact : Artifact
        The one that was assessed.
    verdict : Verdict
    comparison : Comparison or None
        With the champion, if there was one.
    metrics, details, lineage, parts : mapping
        reports/metrics.json, evaluation.json, lineage.json and split.json.
    plots : mapping
        Tables of reports/plots by name.
    """
    title = artifact.manifest.title
    contract = artifact.contract
    plots = {name: table for name, table in plots.items() if len(table)}  # tables of other tasks have no rows
    contents = [
        ("Gates", [_gates(verdict)]),
        ("Quality on the test part", quality_sections.metrics_table(metrics, details, contract.task, comparison)),
        ("Curves", quality_sections.curves(plots, metrics, contract)),
        (TUNING_HEADINGS[contract.task], quality_sections.threshold_and_calibration(plots, details, contract)),
        ("Comparison with the champion", sections.champion(verdict, comparison)),
        ("Segments", sections.segments(details, metrics["model"].get(details["metric"]))),
        ("Gaps between groups", sections.gaps(details)),
        ("Importance of the inputs", sections.importance(details)),
        ("Seeds and learning curve", sections.refits(details)),
        ("Independence of the test part", sections.leakage(details)),
        ("Data", sections.data(lineage, parts)),
        ("Model", sections.model(artifact, settings)),
    ]
    body = [f'<header>\n<p class="kicker">Evaluation report</p>\n<h1>{escape(title)}</h1>']
    body.append(f'<p class="soft">{escape(artifact.version)}</p>')
    body.append(_banner(verdict) + "\n</header>\n<main>")
    body += _sections(contents)
    body.append("</main>\n<footer>")
    body.append(
        "Intervals have a confidence of 95 %, from bootstrap resamples of the test rows (the calibration error's: a "
        "normal approximation), which are assumed to be independent of each other."
    )
    body.append("</footer>")
    return html.document(f"Report: {title}", "\n".join(body))


def _sections(contents: list[tuple[str, list[str]]]) -> Iterator[str]:
    """Yield the sections that have contents, under their headings."""
    for heading, blocks in contents:
        if inside := "\n".join(filter(None, blocks)):
            yield f"<section>\n<h2>{escape(heading)}</h2>\n{inside}\n</section>"


def _banner(verdict: Verdict) -> str:
    head, _, rest = verdict.summary().partition(": ")
    kind = "verdict" if verdict.passed else "verdict no"
    warnings = "".join(
        f'<li class="warning"><span class="tag">warning</span><span>{escape(warning)}.</span></li>'
        for warning in verdict.warnings
    )
    banner = f'<div class="{kind}"><p><strong>{escape(head)}</strong> {escape(rest[:1].upper() + rest[1:])}</p></div>'
    return banner + (f'<ul class="gates warnings">{warnings}</ul>' if warnings else "")


def _gates(verdict: Verdict) -> str:
    """List the gates: those that failed first, then the undecided ones."""
    styles: dict[bool | None, str] = {False: "no", None: "undecided", True: "yes"}
    lines = [
        f'<li class="{style}"><span class="tag">{gate.outcome}</span>'
        f"<b>{escape(gate.gate)}</b><span>{escape(gate.reason)}</span></li>"
        for passed, style in styles.items()
        for gate in verdict.gates
        if gate.passed is passed
    ]
    return '<ul class="gates">\n' + "\n".join(lines) + "\n</ul>"
