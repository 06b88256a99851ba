"""The page's HTML: a form with one field per input of the contract, and a summary of the model."""

import json
import re
from html import escape
from string import Template
from typing import Any

from skline.artifact import Artifact
from skline.contract.spec import Column, Scalar
from skline.serving.page.model_summary import model_summary

#: Phrases for a bound: of a number, and of a date.
BOUNDS = {
    "minimum": ("at least", "not before"),
    "exclusive_minimum": ("more than", "after"),
    "maximum": ("at most", "not after"),
    "exclusive_maximum": ("less than", "before"),
}
MONITOR_LINK = '<p><a href="monitor">Monitoring</a> (where keys are required, for requests with one of scope admin)</p>'
INPUT_TYPES = {"date": 'type="date"', "datetime": 'type="datetime-local"'}
INPUT_MODES = {"integer": "numeric", "number": "decimal"}


def render_page(template: str, artifact: Artifact, *, is_monitored: bool = False) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    template : str
        The text of index.html.
    artifact : Artifact
        Its contract defines the form; its manifest and model card the summary.
    is_monitored : bool
        Whether to link to /monitor.
    """
    contract, manifest = artifact.contract, artifact.manifest
    target = contract.target
    texts = {
        "title": manifest.title,
        "description": contract.description,
        "version": artifact.version,
        "target": json.dumps(
            {
                "label": display_name(target.name),
                "description": "" if target.description == display_name(target.name) else target.description,
            }
        ),
        "tuning": json.dumps(_tuning(artifact)),
    }
    return Template(template).substitute(
        {name: escape(text) for name, text in texts.items()},
        fields="\n".join(render_field(index, column) for index, column in enumerate(contract.for_requests().inputs)),
        model_summary=model_summary(manifest, artifact.card),
        monitor_link=MONITOR_LINK if is_monitored else "",
    )


def _tuning(artifact: Artifact) -> dict[str, Any]:
    """Return the threshold with the class that is predicted from it on, and the level of the prediction interval."""
    tuning, classes = artifact.manifest.tuning, artifact.contract.classes
    shown: dict[str, Any] = {}
    if tuning is not None and tuning.threshold is not None and classes is not None:
        shown |= {"threshold": tuning.threshold.value, "from_threshold": classes[1]}
    if tuning is not None and tuning.interval is not None:
        shown["level"] = tuning.interval.level
    return shown


def display_name(name: str) -> str:
    """Return a column's name for display: underscores become spaces, the first letter a capital."""
    text = " ".join(name.replace("_", " ").split()) or name
    return text[:1].upper() + text[1:]


def render_field(index: int, column: Column) -> str:
    """Return one field: label, hint, control, and an empty element for its error."""
    key = f"f{index}"
    label, hint = escape(display_name(column.name)), escape(hint_of(column))
    if column.kind == "boolean" and column.choices is None:
        content = _radios(key, column, label, hint)
    else:
        control = _select(key, column) if column.choices is not None else _input(key, column)
        content = f'<label for="{key}">{label}</label>\n<p class="hint" id="{key}-hint">{hint}</p>\n<div>{control}'
    example = None if column.example is None else json.dumps(column.example)
    data = {
        "name": column.name,
        "kind": column.kind,
        "label": display_name(column.name),
        "example": "null" if example is None and column.nullable else example,
    }
    attributes = " ".join(f'data-{name}="{escape(value)}"' for name, value in data.items() if value is not None)
    return f'<div class="field" {attributes}>\n{content}\n<p class="error" id="{key}-error" hidden></p></div>\n</div>'


def hint_of(column: Column) -> str:
    """Return the description (unless the label says the same), the allowed values and an example."""
    is_date = column.kind in ("date", "datetime")
    rules = [
        f"{phrases[is_date]} {getattr(column, name)}"
        for name, phrases in BOUNDS.items()
        if getattr(column, name) is not None
    ]
    if not is_date and column.minimum is not None and column.maximum is not None:
        rules = [f"{column.minimum} to {column.maximum}"]
    parts = [" and ".join(rules)] if rules else []
    if column.example is not None and column.choices is None and column.kind != "boolean":
        parts.append(f"for example {column.example}")
    if column.kind == "datetime" and not column.description.endswith(", UTC"):
        parts.append("in UTC")
    values = ", ".join(parts)
    description = column.description.rstrip(".")
    if description == display_name(column.name):
        description = ""
    sentences = [description, values[:1].upper() + values[1:]]
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def _input(key: str, column: Column) -> str:
    """Return a text or date input. Numbers are text, because the service validates them, with better messages."""
    input_type = INPUT_TYPES.get(column.kind, 'type="text" autocapitalize="off" spellcheck="false"')
    mode = f' inputmode="{INPUT_MODES[column.kind]}"' if column.kind in INPUT_MODES else ""
    limits = ""
    if column.kind == "datetime" and re.search(r":\d\d:(?!00(\.0*)?(Z|[+-]|$))", str(column.example)):
        limits = ' step="1"'  # seconds, which browsers offer only on request, if the example has some
    if column.kind == "date":
        for name, limit in (("min", column.minimum), ("max", column.maximum)):
            limits += f' {name}="{escape(str(limit))}"' if limit is not None else ""
    required = "" if column.nullable else " required"
    attributes = f'{input_type}{mode}{limits} autocomplete="off" aria-describedby="{key}-hint"{required}'
    control = f'<input id="{key}" {attributes}>'
    if not column.nullable:
        return control
    return (
        f'<div class="row">{control}\n<label class="unknown"><input type="checkbox" id="{key}-unknown"'
        f' aria-label="{escape(display_name(column.name))} is not known"> Not known</label></div>'
    )


def _select(key: str, column: Column) -> str:
    """Return a list of the allowed values; the value of each option is the JSON to send."""
    choices = [(json.dumps(choice), _display(choice)) for choice in column.choices or ()]
    if column.nullable:
        choices.append(("null", "Not known"))
    options = [f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in choices]
    return (
        f'<select id="{key}" aria-describedby="{key}-hint" required>\n<option value="" selected>Choose…</option>\n'
        + "\n".join(options)
        + "\n</select>"
    )


def _radios(key: str, column: Column, label: str, hint: str) -> str:
    """Return radio buttons for yes, no and, if the column is nullable, not known."""
    choices = [("", "true", "Yes"), ("-no", "false", "No")]
    if column.nullable:
        choices.append(("-unknown", "null", "Not known"))
    radios = "\n".join(
        f'<label><input type="radio" name="{key}" id="{key}{suffix}" value="{value}"> {text}</label>'
        for suffix, value, text in choices
    )
    return (
        f'<div class="label" id="{key}-label">{label}</div>\n<p class="hint" id="{key}-hint">{hint}</p>\n'
        f'<div><div class="radios" role="radiogroup" aria-labelledby="{key}-label" aria-describedby="{key}-hint"'
        f' aria-required="true">\n{radios}\n</div>'
    )


def _display(choice: Scalar) -> str:
    """Return a choice as text."""
    if isinstance(choice, bool):
        return "Yes" if choice else "No"
    return str(choice) if choice != "" else "(empty)"
