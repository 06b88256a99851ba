"""The page of a window: the state in a sentence first, then what it rests on."""

from html import escape

from skline.counting import counted
from skline.monitoring.checks import Check, Part, State
from skline.monitoring.report import data_sections, label_sections
from skline.monitoring.report.content import PageContent
from skline.monitoring.result import WindowResult
from skline.monitoring.summary import describe_finding
from skline.reporting import html

#: Class of the style sheet, and word, of a line of the findings, by state.
TAGS: dict[State, tuple[str, str]] = {
    "ok": ("yes", "ok"),
    "insufficient_data": ("unknown", "too few data"),
    "warning": ("warning", "warning"),
    "alarm": ("no", "alarm"),
}
#: The same of the banner with the state of the window.
BANNERS: dict[State, tuple[str, str]] = {
    "ok": ("verdict", "Ok"),
    "insufficient_data": ("verdict unknown", "Too few data"),
    "warning": ("verdict undecided", "Warning"),
    "alarm": ("verdict no", "Alarm"),
}
#: Findings that are not folded away.
MAX_FINDINGS = 12


def render_page(content: PageContent) -> str:
    """Return the whole page as HTML."""
    result = content.result
    contents = [
        ("Findings", _findings(result)),
        ("Windows so far", data_sections.history(content)),
        ("Performance on labels", label_sections.performance(content)),
        ("Estimates without labels", label_sections.estimates(result)),
        ("Drift of the inputs", data_sections.drift(result)),
        ("Arms", label_sections.arms(result)),
        ("Business figures", label_sections.business_figures(result)),
        ("Quality of the data", data_sections.quality(result)),
        ("Operations", data_sections.operations(result)),
        ("Problems of monitoring itself", _problems(result)),
    ]
    body = [f'<header>\n<p class="kicker">Monitoring</p>\n<h1>{escape(content.title)}</h1>', _window(result)]
    body.append(_banner(result) + "\n</header>\n<main>")
    body += [
        f"<section>\n<h2>{escape(heading)}</h2>\n{inside}\n</section>"
        for heading, blocks in contents
        if (inside := "\n".join(filter(None, blocks)))
    ]
    body.append(f"</main>\n<footer>{_footer(result)}</footer>")
    return html.document(f"Monitoring: {content.title}", "\n".join(body))


def _window(result: WindowResult) -> str:
    window = result.window
    return (
        f'<p class="soft">{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC ({escape(window.length)}), '
        f"{counted(window.rows, 'prediction')}, compared with version {escape(window.model_version)}. "
        f"Written {result.written_at:%Y-%m-%d %H:%M} UTC.</p>"
    )


def _banner(result: WindowResult) -> str:
    style, word = BANNERS[result.state]
    sentence = result.sentence.removeprefix(f"{result.state.capitalize()}: ")
    return f'<div class="{style}"><p><strong>{word}</strong> {escape(sentence)}</p></div>'


def _findings(result: WindowResult) -> list[str]:
    """Return the state of each part, and what is raised."""
    raised = [check for check in result.checks if check.raised]
    quiet = [_part_line(result, part) for part in result.states if not any(check.part == part for check in raised)]
    shown, folded = ([_finding(check) for check in part] for part in (raised[:MAX_FINDINGS], raised[MAX_FINDINGS:]))
    blocks = ['<ul class="gates">\n' + "\n".join([*shown, *quiet]) + "\n</ul>"]
    if folded:
        lines = "\n".join(folded)
        blocks.append(f'<details><summary>{len(folded)} more</summary><ul class="gates">\n{lines}\n</ul></details>')
    return blocks


def _finding(check: Check) -> str:
    return _line(check.state, check.part, f"{describe_finding(check)}.")


def _part_line(result: WindowResult, part: Part) -> str:
    checks = [check for check in result.checks if check.part == part]
    undecided = [check for check in checks if check.raised is None]
    decided = len(checks) - len(undecided)
    text = f"{counted(decided, 'check')}, none raised"
    if undecided:
        reasons = dict.fromkeys(check.message or "too few data" for check in undecided)
        text += f"; {len(undecided)} undecided: {', '.join(reasons)}"
    return _line(result.states[part], part, text + ".")


def _line(state: State, subject: str, text: str) -> str:
    style, word = TAGS[state]
    return (
        f'<li class="{style}"><span class="tag">{word}</span><b>{escape(subject)}</b><span>{escape(text)}</span></li>'
    )


def _problems(result: WindowResult) -> list[str]:
    if not result.problems:
        return []
    rows = [{"part": each.part, "subject": each.subject, "message": each.message} for each in result.problems]
    return [html.table(rows, "Parts and columns that could not be computed; the others are not affected")]


def _footer(result: WindowResult) -> str:
    window, performance = result.window, result.performance
    entities = window.entities if performance is None or performance.entities is None else performance.entities
    basis = (
        "Rows are taken to be independent, because the log holds no entities."
        if entities is None
        else f"Intervals are by entity ({entities:,} of them): tests use effective rows, metrics draw whole entities."
    )
    sampled = ""
    if window.sampled_rows < window.rows:
        sampled = f" {window.sampled_rows:,} of {window.rows:,} rows are tested, a sample; counts are of all rows."
    return (
        f"Intervals have a confidence of 95 %. {basis}{sampled} Labels that arrived after "
        f"{window.asof:%Y-%m-%d %H:%M} UTC are not used. All figures are in metrics.json next to this page. "
        f"Artifact {escape(window.artifact_digest)}."
    )
