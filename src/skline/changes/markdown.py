"""The difference of two results as Markdown, for the body of a pull request.

Values come from tables and settings. They stand in code spans, or are escaped, so that a value can neither break a
table nor mention a person.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skline import paths
from skline.changes.results import Results
from skline.release.verdict import GateResult
from skline.reporting.format import format_number, format_optional_interval

#: Rows of a table, and characters of a value: GitHub takes 65,536 characters of a body.
MAX_ROWS, MAX_LENGTH = 40, 160
_PUNCTUATION = re.compile(r"([\\`*_\[\]<>|~&$])")
#: GitHub makes links of these to people and issues, also behind a backslash.
_REFERENCE = re.compile("([@#])")
_NOT_IN_ADDRESS = re.compile(r"[<>\s]")


def describe_changes(base: Results, head: Results, report: str | None = None) -> str:
    """Return what `head` changes of `base`; `report` is the address of the report of `head`."""
    sections = [
        ("Gates", gates_section(base, head)),
        ("Metrics", metrics_section(base, head)),
        ("Settings", changed_values(base.params, head.params)),
        ("Data", changed_values(base.data, head.data)),
        ("Inputs", changed_inputs(base.inputs, head.inputs)),
    ]
    blocks = [*heading(base, head, report)]
    for title, lines in sections:
        blocks.append("\n".join([f"### {title}", "", *(lines or ["No difference."])]))
    return "\n\n".join(blocks) + "\n"


def heading(base: Results, head: Results, report: str | None) -> list[str]:
    """Return the paragraphs before the sections: the verdict, the artifact, and where the report is."""
    verdict = "There is no verdict." if head.verdict is None else escape(head.verdict.summary())
    if base.artifact == head.artifact:
        artifact = "The artifact is the same."
    else:
        artifact = f"Artifact: {short_hash(base.artifact)} → {short_hash(head.artifact)}."
    blocks = [f"**{verdict}**", f"{artifact} From {code(base.name)} to {code(head.name)}."]
    if report is not None:
        blocks.append(f"[Report](<{_NOT_IN_ADDRESS.sub('', report)}>)")
    if head.verdict is not None and head.verdict.warnings:
        blocks.append("\n".join(f"- Warning: {escape(warning)}" for warning in head.verdict.warnings))
    return blocks


def gates_section(base: Results, head: Results) -> list[str]:
    """Return the table of the gates: outcome before and after, and the reason."""
    before = {} if base.verdict is None else {gate.gate: gate for gate in base.verdict.gates}
    after = {} if head.verdict is None else {gate.gate: gate for gate in head.verdict.gates}
    rows = [
        (escape(name), outcome(before.get(name)), outcome(after.get(name)), reason(after.get(name)))
        for name in dict.fromkeys([*after, *before])
    ]
    return table(("gate", "before", "after", "reason"), rows) if rows else ["There are no gates."]


def metrics_section(base: Results, head: Results) -> list[str]:
    """Return the table of the metrics on the test part, and a note if the test parts differ."""
    labels = base.labels | head.labels
    rows = []
    for name in dict.fromkeys([*head.metrics, *base.metrics]):
        label, better = labels.get(name, (name, None))
        old, new = base.metrics.get(name), head.metrics.get(name)
        interval = format_optional_interval(head.intervals.get(name))
        rows.append((escape(label), format_number(old), format_number(new), change(old, new, better), interval))
    if not rows:
        return ["There are no metrics."]
    lines = table(("metric", "before", "after", "change", "interval"), rows)
    if base.test_part != head.test_part:
        lines += [
            "",
            "The test rows differ: a change may come from them. The gate `champion` compares on the same rows.",
        ]
    return lines


def change(old: float | None, new: float | None, better: str | None) -> str:
    """Return the difference, and whether it is better; a difference below four decimals is none."""
    if old is None or new is None:
        return ""
    if format_number(old) == format_number(new):
        return "0"
    text = format_number(new - old, signed=True)
    if better is None:
        return text
    return f"{text} ({'better' if (new > old) == (better == 'higher') else 'worse'})"


def changed_values(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the table of the values that differ; empty if none does."""
    rows = [
        (code(name), value_text(old, name), value_text(new, name))
        for name in dict.fromkeys([*new, *old])
        if name not in old or name not in new or old[name] != new[name]
    ]
    return table(("", "before", "after"), rows) if rows else []


def changed_inputs(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return the table of the inputs of the stages that differ, code included; empty if none does."""
    rows = [
        (code(name), short_hash(old.get(name)), short_hash(new.get(name)))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    return table(("input", "before", "after"), rows) if rows else []


def table(head: Sequence[str], rows: Sequence[Iterable[str]]) -> list[str]:
    """Return the lines of a table; of a long one the first rows, and how many there are besides."""
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows[:MAX_ROWS]]
    if len(rows) > MAX_ROWS:
        lines += ["", f"{len(rows) - MAX_ROWS} more differ; `git diff` shows all."]
    return lines


def outcome(gate: GateResult | None) -> str:
    """Return the result of a gate in a word or a few."""
    if gate is None:
        return ""
    return f"**{gate.outcome}**" if gate.passed is False else gate.outcome


def reason(gate: GateResult | None) -> str:
    """Return the reason of a gate."""
    return "" if gate is None else escape(gate.reason.replace(f"; {paths.COSTS.as_posix()} has the value", ""))


def value_text(values: Mapping[str, Any], name: str) -> str:
    """Return a value as code, as YAML would have it; empty if it is missing."""
    if name not in values:
        return ""
    value = values[name]
    return code("null" if value is None else str(value).lower() if isinstance(value, bool) else str(value))


def short_hash(text: str | None) -> str:
    """Return the first characters of a hash as code."""
    return "none" if not text else code(text[:9])


def code(text: str) -> str:
    """Return a text as a code span that a cell of a table may hold."""
    text = shortened(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    padding = " " if text.startswith("`") or text.endswith("`") or not text else ""
    text = text.replace("|", "\\|")
    return f"{fence}{padding}{text}{padding}{fence}"


def escape(text: str) -> str:
    """Return a text without markup; after @ and # stands a character without width, so that nothing is referred to."""
    return _REFERENCE.sub("\\1\u200b", _PUNCTUATION.sub(r"\\\1", shortened(text, 3 * MAX_LENGTH)))


def shortened(text: str, length: int = MAX_LENGTH) -> str:
    """Return a text in one line, and its beginning if it is long."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"
