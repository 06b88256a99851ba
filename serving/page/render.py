"""Fill in the page: a form with one field for each of the contract's inputs, and the model's main figures."""

import json
import re
from html import escape
from string import Template

from serving.page.figures import facts
from skline.artifact import Artifact
from skline.contract.spec import Column, Scalar

BOUNDS = {
    "minimum": ("at least", "not before"),
    "exclusive_minimum": ("more than", "after"),
    "maximum": ("at most", "not after"),
    "exclusive_maximum": ("less than", "before"),
}
TYPES = {"date": 'type="date"', "datetime": 'type="datetime-local"'}
KEYBOARDS = {"integer": "numeric", "number": "decimal"}


def page(template: str, artifact: Artifact) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    template : str
        The text of index.html.
    artifact : Artifact
        Whose contract makes the form, and whose manifest and card the figures.
    """
    contract, manifest = artifact.contract, artifact.manifest
    target = contract.target
    words = {
        "title": manifest.title,
        "description": contract.description,
        "version": artifact.version,
        "target": json.dumps({"label": label_of(target.name), "description": target.description}),
    }
    return Template(template).substitute(
        {name: escape(word) for name, word in words.items()},
        fields="\n".join(field(index, column) for index, column in enumerate(contract.inputs)),
        facts=facts(manifest, artifact.card),
    )


def label_of(name: str) -> str:
    """A column's name as a person would write it: words apart, the first letter large."""
    words = " ".join(name.replace("_", " ").split()) or name
    return words[:1].upper() + words[1:]


def field(index: int, column: Column) -> str:
    """Return one field: label, hint, control, and room for what is wrong with it."""
    key = f"f{index}"
    label, hint = escape(label_of(column.name)), escape(hint_of(column))
    if column.kind == "boolean" and column.choices is None:
        inside = _radios(key, column, label, hint)
    else:
        control = _select(key, column) if column.choices is not None else _input(key, column)
        inside = f'<label for="{key}">{label}</label>\n<p class="hint" id="{key}-hint">{hint}</p>\n<div>{control}'
    example = None if column.example is None else json.dumps(column.example)
    facts_ = {
        "name": column.name,
        "kind": column.kind,
        "label": label_of(column.name),
        "example": "null" if example is None and column.nullable else example,
    }
    data = " ".join(f'data-{name}="{escape(fact)}"' for name, fact in facts_.items() if fact is not None)
    return f'<div class="field" {data}>\n{inside}\n<p class="fault" id="{key}-fault" hidden></p></div>\n</div>'


def hint_of(column: Column) -> str:
    """What the column means, if its label does not say the same; which values it may have, and an example."""
    dated = column.kind in ("date", "datetime")
    rules = [
        f"{words[dated]} {getattr(column, name)}" for name, words in BOUNDS.items() if getattr(column, name) is not None
    ]
    if not dated and column.minimum is not None and column.maximum is not None:
        rules = [f"{column.minimum} to {column.maximum}"]
    parts = [" and ".join(rules)] if rules else []
    if column.example is not None and column.choices is None and column.kind != "boolean":
        parts.append(f"for example {column.example}")
    if column.kind == "datetime":
        parts.append("in UTC")
    told = ", ".join(parts)
    meaning = column.description.rstrip(".")
    if meaning == label_of(column.name):  # it stands above the hint
        meaning = ""
    sentences = [meaning, told[:1].upper() + told[1:]]
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def _input(key: str, column: Column) -> str:
    """A line to write in; the service judges what is written, so numbers are text here."""
    type_ = TYPES.get(column.kind, 'type="text" autocapitalize="off" spellcheck="false"')
    keyboard = f' inputmode="{KEYBOARDS[column.kind]}"' if column.kind in KEYBOARDS else ""
    bounds = ""
    if column.kind == "datetime" and re.search(r":\d\d:(?!00(\.0*)?(Z|[+-]|$))", str(column.example)):
        bounds = ' step="1"'  # asked for to the minute, unless the example has seconds
    if column.kind == "date":
        for name, limit in (("min", column.minimum), ("max", column.maximum)):
            bounds += f' {name}="{escape(str(limit))}"' if limit is not None else ""
    required = "" if column.nullable else " required"
    control = f'<input id="{key}" {type_}{keyboard}{bounds} autocomplete="off" aria-describedby="{key}-hint"{required}>'
    if not column.nullable:
        return control
    return (
        f'<div class="row">{control}\n<label class="unknown"><input type="checkbox" id="{key}-unknown"'
        f' aria-label="{escape(label_of(column.name))} is not known"> Not known</label></div>'
    )


def _select(key: str, column: Column) -> str:
    """A closed set; each option's value is the JSON that is sent."""
    choices = [(json.dumps(choice), _say(choice)) for choice in column.choices or ()]
    if column.nullable:
        choices.append(("null", "Not known"))
    options = [f'<option value="{escape(value)}">{escape(word)}</option>' for value, word in choices]
    return (
        f'<select id="{key}" aria-describedby="{key}-hint" required>\n<option value="" selected>Choose…</option>\n'
        + "\n".join(options)
        + "\n</select>"
    )


def _radios(key: str, column: Column, label: str, hint: str) -> str:
    """Yes, no, and where it may be missing, not known."""
    choices = [("", "true", "Yes"), ("-no", "false", "No")]
    if column.nullable:
        choices.append(("-unknown", "null", "Not known"))
    radios = "\n".join(
        f'<label><input type="radio" name="{key}" id="{key}{suffix}" value="{value}"> {word}</label>'
        for suffix, value, word in choices
    )
    return (
        f'<div class="label" id="{key}-label">{label}</div>\n<p class="hint" id="{key}-hint">{hint}</p>\n'
        f'<div><div class="radios" role="radiogroup" aria-labelledby="{key}-label" aria-describedby="{key}-hint"'
        f' aria-required="true">\n{radios}\n</div>'
    )


def _say(choice: Scalar) -> str:
    """A choice in words."""
    if isinstance(choice, bool):
        return "Yes" if choice else "No"
    return str(choice) if choice != "" else "(empty)"
