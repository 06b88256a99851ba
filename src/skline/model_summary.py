"""What a loaded model shows of itself in a notebook: version, origin, metrics and inputs, as HTML."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from skline.artifact import Artifact, Manifest, Scoring
from skline.artifact.provenance import describe_libraries
from skline.contract.spec import Column
from skline.reporting import html
from skline.reporting.format import format_number
from skline.scoring.equality import describe_exactness

#: The summary has the colours of the page around it, light or dark.
STYLE = """\
.skline-model { color: inherit; font: 14px/1.45 system-ui, sans-serif; max-width: 60rem; }
.skline-model h3 { font-size: 1.15em; margin: 0; }
.skline-model p { margin: .25em 0 .75em; opacity: .8; }
.skline-model .wide { overflow-x: auto; margin: 0 0 .75em; }
.skline-model table { border-collapse: collapse; color: inherit; background: none; margin: 0;
  font-variant-numeric: tabular-nums; }
.skline-model caption { text-align: left; font-weight: 600; padding: .25em 0; color: inherit; caption-side: top; }
.skline-model th, .skline-model td { text-align: left; padding: .2em 1em .2em 0; background: none; color: inherit;
  border: 0; border-bottom: 1px solid rgba(128, 128, 128, .35); vertical-align: top; }
.skline-model th { font-weight: 600; }
.skline-model .n { text-align: right; }
.skline-model summary { cursor: pointer; font-weight: 600; }
"""


def describe_scoring(scoring: Scoring) -> str:
    """Return in words how a model is scored."""
    exactness = describe_exactness(scoring.exactness)
    return f"a plan that equals the pipeline {exactness}" if scoring.path == "plan" else "the pipeline"


def summarize_as_html(artifact: Artifact, scoring: Scoring) -> str:
    """Return a fragment of HTML without scripts or external resources; text of the artifact is escaped."""
    manifest, contract = artifact.manifest, artifact.contract
    facts = " · ".join(escape(fact) for fact in _facts(manifest, scoring))
    rows = _metric_rows(manifest)
    metrics = html.table(rows, _metrics_caption(manifest), ("model", "linear", "dummy")) if rows else ""
    heading = f"{len(contract.inputs)} inputs, predicts {escape(contract.target.name)}"
    inputs = html.table([_input_row(column) for column in contract.inputs], f"Inputs of {artifact.version}")
    return (
        f'<div class="skline-model"><style>{STYLE}</style>\n<h3>{escape(manifest.title)}</h3>\n'
        f"<p><code>{escape(artifact.version)}</code> · {facts}</p>\n{metrics}\n"
        f"<details><summary>{heading}</summary>\n{inputs}\n</details>\n</div>"
    )


def _facts(manifest: Manifest, scoring: Scoring) -> Iterator[str]:
    yield manifest.task
    yield f"fitted with {describe_libraries(manifest.libraries)}"
    yield f"scored by {describe_scoring(scoring)}"


def _metrics_caption(manifest: Manifest) -> str:
    rows = manifest.metrics.get("rows")
    return "Metrics" if rows is None else f"Metrics on {rows:,} rows of the test part"


def _metric_rows(manifest: Manifest) -> list[dict[str, Any]]:
    """Return one row a metric: the model and the baselines."""
    metrics = manifest.metrics
    columns: dict[str, Mapping[str, Any]] = {
        name: metrics[name] for name in ("model", "linear", "dummy") if isinstance(metrics.get(name), Mapping)
    }
    return [
        {"metric": _label(manifest, metric)} | {name: _number(values.get(metric)) for name, values in columns.items()}
        for metric in columns.get("model", {})
    ]


def _label(manifest: Manifest, metric: str) -> str:
    description = manifest.metric_descriptions.get(metric)
    return metric if description is None else description.label


def _number(value: Any) -> str:
    return format_number(value) if isinstance(value, int | float) else ""


def _input_row(column: Column) -> dict[str, Any]:
    return {
        "input": column.name,
        "type": column.kind + (", may be missing" if column.nullable else ""),
        "example": "" if column.example is None else column.example,
        "meaning": column.description,
    }
