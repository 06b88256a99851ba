"""The report's page: the verdict first, then what it rests on."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import pandas as pd

from skline import html
from skline.artifact import Artifact
from skline.evaluation.champion import Comparison
from skline.evaluation.report import parts as words
from skline.evaluation.report import quality
from skline.evaluation.verdict import Verdict
from skline.settings import Settings


def write(
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
        The one that was judged.
    verdict : Verdict
    comparison : Comparison or None
        With the champion, if there was one.
    metrics, details, lineage, parts : mapping
        reports/metrics.json, evaluation.json, lineage.json and split.json.
    plots : mapping
        Tables of reports/plots by name.
    """
    title = artifact.manifest.title
    plots = {name: table for name, table in plots.items() if len(table)}  # what is not the task's has no rows
    sections = [
        ("Gates", [_gates(verdict)]),
        ("Quality on the test part", quality.numbers(metrics, details, comparison)),
        ("Curves", quality.curves(plots, metrics, artifact.contract)),
        ("Threshold and calibration", quality.operating(plots, details, artifact.contract)),
        ("Beside the champion", words.champion(verdict, comparison)),
        ("Segments", words.segments(details, metrics["model"].get(details["metric"]))),
        ("Gaps between groups", words.gaps(details)),
        ("What the inputs are worth", words.importance(details)),
        ("Seeds and learning curve", words.refits(details)),
        ("Is the test part new?", words.leaks(details)),
        ("Data", words.data(lineage, parts)),
        ("Model", words.model(artifact, settings)),
    ]
    body = [f'<header>\n<p class="kicker">Evaluation report</p>\n<h1>{escape(title)}</h1>']
    body.append(f'<p class="soft">{escape(artifact.version)}, made {escape(artifact.manifest.created_at[:10])}</p>')
    body.append(_banner(verdict) + "\n</header>\n<main>")
    body += _sections(sections)
    body.append("</main>\n<footer>")
    body.append(
        "Intervals hold 95 % of bootstrap resamples of the test rows, which are taken to be independent of each other."
    )
    body.append("</footer>")
    return html.document(f"Report: {title}", "\n".join(body))


def _sections(sections: list[tuple[str, list[str]]]) -> Iterator[str]:
    """Sections that have contents, under their headings."""
    for heading, contents in sections:
        if inside := "\n".join(filter(None, contents)):
            yield f"<section>\n<h2>{escape(heading)}</h2>\n{inside}\n</section>"


def _banner(verdict: Verdict) -> str:
    """The verdict in one sentence."""
    answer, _, rest = verdict.words().partition(": ")
    kind = "verdict" if verdict.passed else "verdict no"
    head = "May be released" if verdict.passed else "Must not be released"
    return f'<div class="{kind}"><p><strong>{head}</strong> {escape(answer)}: {escape(rest)}</p></div>'


def _gates(verdict: Verdict) -> str:
    """Each gate, those that failed first."""
    ordered = sorted(verdict.findings, key=lambda finding: finding.passed)
    lines = [
        f'<li class="{"yes" if finding.passed else "no"}">'
        f'<span class="tag">{"passed" if finding.passed else "failed"}</span>'
        f"<b>{escape(finding.gate)}</b><span>{escape(finding.reason)}</span></li>"
        for finding in ordered
    ]
    return '<ul class="gates">\n' + "\n".join(lines) + "\n</ul>"
