"""The section "About the model": its purpose, metrics and provenance, from the manifest and the model card."""

from collections.abc import Mapping
from html import escape
from typing import Any

from skline.artifact import USE_NOT_STATED, Manifest, MetricDescription
from skline.artifact.provenance import describe_libraries

MODELS = {"model": "This model", "linear": "Linear model", "dummy": "Constant prediction"}
PARTS = {"train": "Training data", "validation": "Validation data", "test": "Test data"}


def model_summary(manifest: Manifest, card: str) -> str:
    """Return intended use, metrics and provenance of the model as HTML."""
    sections = card_sections(card)
    intended_use = sections.get("Intended use", "").replace(USE_NOT_STATED, "")
    details = {
        **_data_parts(sections.get("Data", "")),
        "Data (SHA-256)": manifest.data_sha256.get("train", "")[:12],
        "Made with": describe_libraries(manifest.libraries),
    }
    items = "\n".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in details.items() if value
    )
    use = f'<p class="use">{escape(intended_use)}</p>\n' if intended_use else ""
    table = _metrics_table(manifest.metrics, manifest.metric_descriptions)
    return f'{use}<div class="figures">\n{table}<dl>\n{items}\n</dl>\n</div>'


def card_sections(card: str) -> dict[str, str]:
    """Return the sections of a model card by heading."""
    parts = card.split("\n## ")[1:]
    return {heading.strip(): text.strip() for heading, _, text in (part.partition("\n") for part in parts)}


def _data_parts(section: str) -> dict[str, str]:
    """Return rows and dates of each part of the data, from the table in the card's section Data."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    parts = {}
    for cells in lines[2:]:
        part = dict(zip(lines[0], cells, strict=False))
        name, rows = PARTS.get(part.get("part", "")), part.get("rows", "")
        if name and rows.isdigit():
            dates = f", {part['from'][:10]} to {part['to'][:10]}" if part.get("from") and part.get("to") else ""
            parts[name] = f"{int(rows):,} rows{dates}"
    return parts


def _metrics_table(metrics: Mapping[str, Any], descriptions: Mapping[str, MetricDescription]) -> str:
    """Return the table of metrics of the model and its baselines; empty if there are none.

    Metrics that depend on a threshold are in the model card only.
    """
    models = [name for name in MODELS if isinstance(metrics.get(name), dict)]
    names = [
        name
        for name in (metrics["model"] if "model" in models else ())
        if name not in descriptions or not descriptions[name].of_classes
    ]
    if not names:
        return ""
    head = "".join(f'<th scope="col">{escape(MODELS[name])}</th>' for name in models)
    body = "\n".join(
        f'<tr><th scope="row">{_metric_label(name, descriptions.get(name))}</th>'
        + "".join(f"<td>{_format(metrics[model].get(name))}</td>" for model in models)
        + "</tr>"
        for name in names
    )
    rows = metrics.get("rows")
    caption = f"On {rows:,} rows outside the training data" if isinstance(rows, int) else "Outside the training data"
    return (
        f"<table>\n<caption>{caption}</caption>\n<thead><tr><td></td>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table>\n"
    )


def _metric_label(name: str, description: MetricDescription | None) -> str:
    if description is None:
        return escape(name)
    return f'{escape(description.label)}<span class="hint">{escape(description.meaning)}</span>'


def _format(value: Any) -> str:
    """Format a metric with three significant digits."""
    if not isinstance(value, int | float):
        return "none"
    value = 0.0 if abs(value) < 0.0005 else value  # and not -0.000
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.4g}"
