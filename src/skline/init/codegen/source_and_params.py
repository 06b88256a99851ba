"""Render src/model/source.py and params.yaml."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from skline.contract.spec import Task
from skline.init.codegen.contract_source import literal
from skline.settings import Settings
from skline.settings.base import SettingsSection
from skline.settings.evaluation import Gates
from skline.settings.schema import SCHEMA_COMMENT

SOURCE = '''"""Derive the contract's columns, including the label, from the columns of the source.

If the table does not have a column of the contract, or has it in another form, compute it in `prepare`, and list the
source columns that it is computed from in `READS`.
"""

import pandas as pd

#: Source columns that `prepare` needs in addition to the contract's, with their types.
READS: dict[str, type] = {{}}
#: Each row that `prepare` returns depends on that row alone, so that it may get the table in batches of rows. Set this
#: to False if it ever looks at other rows (a mean, a rank, the row before): it then gets the whole table at once.
ROW_WISE = True


def prepare(source: pd.DataFrame) -> pd.DataFrame:
    """Derive the contract's columns from the source's.

    Parameters
    ----------
    source : DataFrame
        The typed source columns that the contract or `READS` names; missing values are NaN or NaT.

    Returns
    -------
    DataFrame
        At least the columns of `Labelled`. Rows without a target are not used for training.
    """
    return {expression}
'''
#: Share of the rows that may break the contract: `validate.max_quarantined`.
MAX_QUARANTINED = 0.01
MOVING_CUTS = "the cuts are times before the newest row, so that later rows are trained on when newer ones have come"
FIXED_CUTS = "quote the dates: DVC does not support YAML dates"
PARAMS = """# The settings of this project; docs/configuration.md of skline documents all of them.
project:
  name: {name}
  title: {title}

source:
{source}

validate:
  max_quarantined: {max_quarantined}

split:
{split}

train:
{train}

evaluate:
{evaluate}

package:
  reference_rows: 5000

register:
  timeout: 10
"""
#: Settings that dvc.yaml tracks, with their defaults: DVC knows none.
UNLIMITED: dict[str, Any] = {"rows": None, "memory": None, "take": "random"}


def render_source(event_time: str | None, time: str | None) -> str:
    """Return the text of src/model/source.py, which copies the column `time` to `event_time` if both are named."""
    if event_time is None or time is None:
        return SOURCE.format(expression="source")
    key = event_time if event_time.isidentifier() else None
    argument = f"{key}=source[{literal(time)}]" if key else f"**{{{literal(event_time)}: source[{literal(time)}]}}"
    return SOURCE.format(expression=f"source.assign({argument})")


def render_params(
    name: str,
    title: str,
    source: Mapping[str, Any],
    split: Mapping[str, Any],
    gates: Mapping[str, Any],
    test_rows: int,
    task: Task,
    retrain: Mapping[str, Any] | None = None,
    monitored_margin: float | None = None,
) -> str:
    """Return the text of params.yaml; it names every section, because DVC requires those that dvc.yaml tracks."""
    train: dict[str, Any] = {"seed": 17, "params": {}, "search": {}, "weights": {}} | UNLIMITED
    if task == "binary":  # other tasks have no threshold
        train["threshold"] = 0.5
    evaluate = {"min_segment_rows": max(20, min(200, test_rows // 10))}
    text = PARAMS.format(
        name=yaml_scalar(name),
        title=yaml_scalar(title),
        source=yaml_section(source),
        max_quarantined=MAX_QUARANTINED,
        split=yaml_section(split),
        train=yaml_section(train),
        evaluate=yaml_section(evaluate),
    )
    text += f"\ngates:  # chosen for a test part of about {test_rows} rows\n{_render_gates(gates)}\n"
    if monitored_margin is not None:
        why = "tolerated loss against the test part: 2 % of the target's standard deviation"
        text += f"\nmonitor:\n  performance:\n    margin: {yaml_scalar(monitored_margin)}  # {why}\n"
    if retrain:
        why = "alarms, and a largest age: replays of tables in time support both"
        text += f"\nretrain:  # {why}\n{yaml_section(retrain)}\n"
    sections = [field.alias or name for name, field in Settings.model_fields.items()]
    return SCHEMA_COMMENT + text + "".join(f"\n{name}: {{}}\n" for name in sections if f"\n{name}:" not in text)


def _render_gates(chosen: Mapping[str, Any]) -> str:
    """Render every gate that is in force, with the chosen limits or the defaults, and what each of them limits."""
    return "\n".join(_gate_lines(Gates.model_validate(chosen), "  "))


def _gate_lines(section: SettingsSection, indent: str) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, SettingsSection):
            yield f"{indent}{name}:"
            yield from _gate_lines(value, f"{indent}  ")
        elif value is not None and value != {}:  # the others limit nothing
            yield f"{indent}{name}: {yaml_scalar(value)}" + (f"  # {field.description}" if field.description else "")


def yaml_section(values: Mapping[str, Any]) -> str:
    """Render the keys and values of a section; a comment says what the cuts of a split by time are."""
    lines = []
    for key, value in values.items():
        note = ""
        if key == "kind" and value == "time":
            note = f"  # {MOVING_CUTS if str(values.get('test_from')).startswith('-') else FIXED_CUTS}"
        lines.append(f"  {key}: {yaml_scalar(value)}{note}")
    return "\n".join(lines)


def yaml_block(text: str) -> str:
    """Render text of several lines as a literal block, or as a JSON string if YAML would read the block differently."""
    block = "|-\n" + "\n".join(f"    {line}".rstrip(" ") for line in text.split("\n"))
    try:
        same = yaml.safe_load(f"  key: {block}\n")["key"] == text
    except yaml.YAMLError:
        same = False
    return block if same else json.dumps(text, ensure_ascii=False)


def yaml_scalar(value: Any) -> str:
    """Render a value; text is in double quotes if YAML could read it as another type."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(yaml_scalar(item) for item in value)}]"
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if "\n" in value:
        return yaml_block(value)
    if re.fullmatch(r"[A-Za-z0-9][\w ./-]*", value) and value == value.strip() and yaml.safe_load(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)
