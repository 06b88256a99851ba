"""`python -m scripts.reference`: write the generated pages of docs/, which a test compares with the code.

`configuration.md` comes from the models of the settings, `commands.md` from the parser of the command line, and
`contract.md` from the docstring of `column`.
"""

import argparse
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from skline import cli
from skline.contract.table import column
from skline.serving.settings import ServiceSettings
from skline.settings.declared import declared_settings, fields_of

ROOT = Path(__file__).parent.parent
#: The settings that most projects set, or decide to leave as they are.
COMMON = {
    "project.name", "project.title", "project.intended_use", "source.uri", "source.query", "source.snapshot",
    "validate.max_quarantined", "split.kind", "split.validation_from", "split.test_from", "train.params",
    "train.threshold", "train.search.candidates", "evaluate.metric", "gates.floors", "gates.worst_segment",
    "gates.max_ece", "gates.champion.margin",
    "SKLINE_HOST", "SKLINE_PORT", "SKLINE_ENVIRONMENT", "SKLINE_LOG__DATABASE", "SKLINE_LOG__ENTITY_COLUMN",
    "SKLINE_LIMITS__RATE", "SKLINE_LIMITS__CONCURRENT", "SKLINE_SECURITY__TRUSTED_PROXIES", "SKLINE_ROOT_PATH",
}  # fmt: skip
GENERATED = "<!-- Written by `uv run just docs` from the code; do not edit. -->\n"
CONFIGURATION = """# Configuration

A project has two sets of settings: [params.yaml](#paramsyaml) for the pipeline, and
[environment variables](#the-service) for the service. Every setting but `source.uri` has a default. An unknown name is
an error that names the closest known one.
"""
PARAMS = """## params.yaml

A dot stands for a level of the file: `train.search.folds` is `folds` in `search` in `train`. Editors that know the YAML
language server complete and check the file by `schemas/params.schema.json`, which `skline sync` writes;
`check-jsonschema --schemafile schemas/params.schema.json params.yaml` does so on the command line. After a change,
`dvc repro` runs the stages that read the section.

If the name of a section is misspelt, such as `gate` for `gates`, `dvc repro` may say only
`Parameters 'gates' are missing from 'params.yaml'.`, at the first stage that reads it. `uv run skline doctor` names the
line to correct: `gate is an unknown key; did you mean 'gates'?`
"""
SERVICE = """## The service

Environment variables; two underscores stand for a level. A file of the same name, in lower case, in the directory that
`SKLINE_SECRETS_DIR` names sets the same, which is how secrets are mounted into containers. Lists are JSON
(`["a", "b"]`). The options of `skline serve` take precedence. `skline serve --check` prints the effective settings.
"""
COMMANDS = """# Commands

`uv run skline COMMAND --help` prints the same. Every command exits with status 0 if it succeeded, 1 after an error,
which is one line on standard error, and 2 for a mistake in the command line; other statuses stand with their command.
A command runs in the root of the project, which it finds from any folder inside it; paths that you give are relative to
the folder that you are in.
"""
CONTRACT = """# The contract

`src/model/contract.py` declares the columns, one `column(…)` each, in two classes: `Inputs` for what is known when a
prediction is requested, and `Labelled(Inputs)` for the target and what belongs to it. `skline init` writes the file;
from then on it is yours. Validation, the API and its documentation, batch scoring and the model card follow from it.

A column is an annotated attribute, and its type is `int`, `float`, `bool`, `str`, `datetime.date` or
`datetime.datetime` (UTC, without a zone). [tables.md](tables.md#how-a-value-is-read) says which spellings of a value
are read.

```python
import datetime as dt

from skline.contract.table import Table, column


class Inputs(Table):
    age: float = column("Age of the customer, in years", example=41.0, ge=0, lt=130)
    city: str = column("Where the customer lives", example="Köln", nullable=True, segment=True)
    since: dt.date = column("First order", example="2020-05-17")


class Labelled(Inputs):
    churned: bool = column("Whether the customer left within a year", role="target")
```

## Arguments of `column`
"""


def pages() -> dict[Path, str]:
    """Return the content of each generated page."""
    docs = ROOT / "docs"
    return {
        docs / "configuration.md": configuration_page(),
        docs / "commands.md": commands_page(),
        docs / "contract.md": contract_page(),
    }


def configuration_page() -> str:
    """Return the page of all settings."""
    params, service = declared_settings(), dict(_service_fields())
    parts = [CONFIGURATION, GENERATED, PARAMS]
    parts += [f"### Common settings\n\n{_settings_table(params, COMMON)}"]
    parts += [f"### Advanced settings\n\n{_settings_table(params, params.keys() - COMMON)}"]
    parts += [SERVICE, f"### Common variables\n\n{_settings_table(service, COMMON)}"]
    parts += [f"### Advanced variables\n\n{_settings_table(service, service.keys() - COMMON)}"]
    return "\n".join(parts)


def _service_fields() -> Iterator[tuple[str, FieldInfo]]:
    return ((f"SKLINE_{key.replace('.', '__').upper()}", field) for key, field in fields_of(ServiceSettings))


def _settings_table(fields: dict[str, FieldInfo], names: Iterable[str]) -> str:
    rows = [(f"`{key}`", *_described(field), field.description or "") for key, field in fields.items() if key in names]
    return _table(("setting", "type", "default", "meaning"), rows)


def _described(field: FieldInfo) -> tuple[str, str]:
    """Return the type of a setting in words, with its bounds, and its default as JSON."""

    class Holder(BaseModel):
        value: Any = None

    Holder.model_fields["value"] = field
    Holder.model_rebuild(force=True)
    schema = Holder.model_json_schema(by_alias=False, mode="serialization")
    [node] = schema["properties"].values()
    default = field.get_default(call_default_factory=True)
    if field.is_required():
        text = "required"
    elif default is None or default in ({}, (), ""):
        text = ""
    else:
        text = f"`{json.dumps(node.get('default', default), ensure_ascii=False)}`"
    return _type_text(node, schema.get("$defs", {})), text


def _type_text(node: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return a node of a JSON Schema as a short text."""
    if "$ref" in node:
        return _type_text(definitions[node["$ref"].rpartition("/")[2]], definitions)
    if choices := node.get("anyOf") or node.get("oneOf"):
        texts = [_type_text(choice, definitions) for choice in choices if choice.get("type") != "null"]
        return " or ".join(dict.fromkeys(texts))
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if node["type"] == "array" and "items" in node:
        return f"list of {_type_text(node['items'], definitions)}"
    if "properties" in node:
        return "mapping of " + ", ".join(f"`{name}`" for name in node["properties"])
    words = {"array": "pair", "object": "mapping", "string": "text"}
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {node[limit]:g}" for limit, sign in limits.items() if limit in node]
    return " ".join([words.get(node["type"], node["type"]), ", ".join(bounds)]).strip()


def commands_page() -> str:
    """Return the page of all commands with their arguments."""
    parts = [COMMANDS, GENERATED]
    for name, parser, summary in _commands(cli.parser()):
        parts.append(f"## skline {name}\n\n{_sentence(parser.description or summary)}\n")
        rows = [(_flags(action), _help(action)) for action in parser._actions if not _is_general(action)]
        if rows:
            parts.append(_table(("argument", "meaning"), rows))
    return "\n".join(parts)


def _commands(parser: argparse.ArgumentParser, prefix: str = "") -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """Yield each command and its subcommands: name, parser, help."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, command in action.choices.items():
                yield f"{prefix}{name}", command, helps.get(name, "")
                yield from _commands(command, f"{prefix}{name} ")


def _is_general(action: argparse.Action) -> bool:
    return isinstance(action, argparse._HelpAction | argparse._SubParsersAction)


def _flags(action: argparse.Action) -> str:
    choices = f"{{{','.join(map(str, action.choices))}}}" if action.choices else None
    value = action.metavar or choices or action.dest.upper()
    if not action.option_strings:
        return f"`[{value}]`" if action.nargs in ("?", "*") else f"`{value}`"
    return ", ".join(f"`{flag}`" if action.nargs == 0 else f"`{flag} {value}`" for flag in action.option_strings)


def _help(action: argparse.Action) -> str:
    values = vars(action) | {"prog": "skline"}
    text = (action.help or "") % values
    return f"{text} (required)" if action.required and action.option_strings else text


def _sentence(text: str) -> str:
    text = text[0].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."


def contract_page() -> str:
    """Return the page of the contract's vocabulary, from the docstring of `column`."""
    described = parameters_of(column)
    rows = [(", ".join(f"`{name}`" for name in names), kind, text) for names, kind, text in described]
    return "\n".join([CONTRACT, GENERATED, _table(("argument", "type", "meaning"), rows)])


def parameters_of(function: Callable[..., Any]) -> list[tuple[list[str], str, str]]:
    """Return the parameters in a function's numpy docstring: names, type and description."""
    section = (inspect.getdoc(function) or "").partition("Parameters\n----------\n")[2]
    entries = re.findall(r"^(\w[\w, ]*) : (.*)\n((?:    .*\n?)+)", section, re.M)
    return [(names.split(", "), kind, " ".join(text.split())) for names, kind, text in entries]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def main() -> None:
    """Write the pages."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
