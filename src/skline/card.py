"""The model card: what the model is for, what it was made of and how good it is, from facts alone.

The headings follow Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

from collections.abc import Mapping
from typing import Any

from skline.contract.spec import Column, Contract
from skline.settings import Settings


def write(settings: Settings, contract: Contract, facts: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    settings : Settings
    contract : Contract
    facts : mapping
        The manifest's facts: commit, libraries, metrics.
    parts : mapping
        reports/split.json: rows, class shares and dates of each part.
    """
    sections = [
        f"# {facts['title']}",
        f"{contract.description}\n\nTask: {contract.task}. Made {facts['created_at']} from commit "
        + (facts["git_commit"] or "none")
        + (" with uncommitted changes." if facts["git_dirty"] else "."),
        "## Intended use\n\n"
        + (settings.project.intended_use or "Not stated: fill in project.intended_use in params.yaml."),
        "## Data\n\n" + _table([{"part": name} | dict(part) for name, part in parts.items()]),
        "## Quality on the test part\n\n" + _quality(facts["metrics"]),
        "## Inputs\n\n" + _table([_row(column) for column in contract.inputs]),
        "## Target\n\n" + _table([_row(contract.target)]),
    ]
    if contract.leaks:
        leaks = "\n".join(f"- `{name}`: {reason}" for name, reason in contract.leaks.items())
        sections.append(f"## Known too late to be inputs\n\n{leaks}")
    libraries = ", ".join(f"{name} {version}" for name, version in facts["libraries"].items())
    sections.append(f"## Made with\n\n{libraries}")
    return "\n\n".join(sections) + "\n"


def _quality(metrics: Mapping[str, Any]) -> str:
    """One line a metric, one column a model."""
    models = [name for name in ("model", "linear", "dummy") if name in metrics]
    rows = [
        {"metric": metric} | {name: f"{metrics[name][metric]:.4f}" for name in models} for metric in metrics["model"]
    ]
    return f"{metrics['rows']} rows.\n\n" + _table(rows)


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
