"""Write src/model/source.py and params.yaml."""

import json
import re
from collections.abc import Mapping
from typing import Any

from skline.contract.spec import Task
from skline.init.contract_source import literal
from skline.settings import Settings

SOURCE = '''"""From the source's columns to the contract's: what the label means, and what the rows are called.

A column that the table does not have, or has in another form, is made here; what it is made of goes into `READS`.
"""

import pandas as pd

#: Columns of the source that `prepare` needs beside the contract's own, with their types.
READS: dict[str, type] = {{}}


def prepare(source: pd.DataFrame) -> pd.DataFrame:
    """Derive the contract's columns from the source's.

    Parameters
    ----------
    source : DataFrame
        The source's columns that the contract or `READS` names, typed; missing values are NaN or NaT.

    Returns
    -------
    DataFrame with at least the columns of `Labelled`; a row whose target is missing is set aside.
    """
    return {made}
'''
PARAMS = """# Settings of this project; `skline.settings` says what else there is, and checks them.
project:
  name: {name}
  title: {title}

source:
{source}

validate:
  max_quarantined: 0.01

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


def source_source(event_time: str | None, time: str | None) -> str:
    """Return the text of src/model/source.py; `event_time` is made of `time` to split by, where both are given."""
    if event_time is None or time is None:
        return SOURCE.format(made="source")
    key = event_time if event_time.isidentifier() else None
    made = f"{key}=source[{literal(time)}]" if key else f"**{{{literal(event_time)}: source[{literal(time)}]}}"
    return SOURCE.format(made=f"source.assign({made})")


def params_source(
    name: str,
    title: str,
    source: Mapping[str, Any],
    split: Mapping[str, Any],
    gates: Mapping[str, Any],
    test_rows: int,
    task: Task,
) -> str:
    """Return the text of params.yaml; sections without a wish of their own stand there empty, for DVC wants them."""
    train: dict[str, Any] = {"seed": 17}
    if task == "binary":  # nothing else has a threshold
        train["threshold"] = 0.5
    evaluate = {"min_segment_rows": max(20, min(200, test_rows // 10))}
    text = PARAMS.format(
        name=name,
        title=scalar(title),
        source=section(source),
        split=section(split),
        train=section(train),
        evaluate=section(evaluate),
    )
    if gates:
        text += f"\ngates:  # for a test part of about {test_rows} rows\n{section(gates)}\n"
    sections = [field.alias or name for name, field in Settings.model_fields.items()]
    return text + "".join(f"\n{name}: {{}}\n" for name in sections if f"\n{name}:" not in text)


def section(values: Mapping[str, Any]) -> str:
    """Write keys and values, dates with the remark that they need quotes."""
    lines = []
    for key, value in values.items():
        note = "  # dates in quotes: DVC takes no YAML dates" if value == "time" and key == "kind" else ""
        lines.append(f"  {key}: {scalar(value)}{note}")
    return "\n".join(lines)


def block(text: str) -> str:
    """Write text of several lines as it stands, where YAML can, below a key of a section."""
    import yaml

    written = "|-\n" + "\n".join(f"    {line}".rstrip(" ") for line in text.split("\n"))
    try:
        same = yaml.safe_load(f"  key: {written}\n")["key"] == text
    except yaml.YAMLError:
        same = False
    return written if same else json.dumps(text, ensure_ascii=False)


def scalar(value: Any) -> str:
    """Write a value in YAML, text in double quotes where it could be read as something else."""
    import yaml

    if isinstance(value, tuple | list):
        return f"[{', '.join(scalar(item) for item in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    if "\n" in value:
        return block(value)
    if re.fullmatch(r"[A-Za-z0-9][\w ./-]*", value) and value == value.strip() and yaml.safe_load(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)
