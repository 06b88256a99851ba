"""What the checks find, and how findings are printed, as text or as JSON."""

import json
from collections.abc import Mapping
from typing import Literal, NamedTuple

Level = Literal["ok", "warning", "broken"]
LABELS: dict[Level, str] = {"ok": "ok", "warning": "warning", "broken": "BROKEN"}


class Finding(NamedTuple):
    """The result of a check.

    Attributes
    ----------
    level : {"ok", "warning", "broken"}
        broken: the pipeline, the service or an update fails; warning: check whether this is intended.
    message : str
        What was found, with the file or setting.
    remedy : str
        How to fix it, if possible as a command; empty if there is nothing to do.
    details : tuple of str
        Further lines for the report.
    """

    level: Level
    message: str
    remedy: str = ""
    details: tuple[str, ...] = ()


def format_findings(findings: Mapping[str, list[Finding]]) -> str:
    """Format the findings of each check as text, a line each, with the remedy below."""
    lines = []
    for check, results in findings.items():
        for finding in results:
            lines.append(f"{LABELS[finding.level]:<7}  {check:<12} {finding.message}")
            lines += [f"{'':23} {detail}" for detail in finding.details]
            if finding.remedy:
                lines.append(f"{'':21} → {finding.remedy}")
    return "\n".join(lines)


def findings_as_json(findings: Mapping[str, list[Finding]]) -> str:
    """Format the findings as a JSON array of objects: `check`, and the attributes of a finding."""
    objects = [{"check": check} | finding._asdict() for check, results in findings.items() for finding in results]
    return json.dumps(objects, ensure_ascii=False, indent=2)


def join_first(items: list[str], limit: int = 5) -> str:
    """Join the first items with commas, and state how many more there are."""
    return ", ".join(items[:limit]) + (f" and {len(items) - limit} more" if len(items) > limit else "")
