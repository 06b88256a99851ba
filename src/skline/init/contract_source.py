"""Write src/model/contract.py as a person would: a line a column, formatted as ruff formats it."""

import datetime as dt
import re
import unicodedata
from typing import Any

import pandas as pd

from skline.contract.spec import Kind
from skline.init.guess import Guess
from skline.init.names import attributes, words

WIDTH = 120
TYPES: dict[Kind, str] = {
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "string": "str",
    "date": "dt.date",
    "datetime": "dt.datetime",
}
HEADER = '''"""The columns: what a caller of /predict knows, and what a training row has besides.

Everything else is derived from these two classes: validation, the API and its documentation, batch
scoring, drift profiles, tests. No column name stands anywhere else as a string.
"""

'''


def contract_source(guesses: list[Guess], target: Guess, event_time: Guess | None, table: str) -> str:
    """Return the text of src/model/contract.py.

    Parameters
    ----------
    guesses : list of Guess
        Every column of the table, the target too.
    target : Guess
    event_time : Guess or None
        The column that `prepare` makes of an input to split by.
    table : str
        What to call the table.
    """
    inputs = [guess for guess in guesses if guess.part == "input"]
    others = [guess for guess in guesses if guess.part in ("id", "time", "group")]
    names = attributes([guess.name for guess in [*inputs, target, *others]] + ([event_time.name] if event_time else []))
    lines = [HEADER]
    if any(guess.kind in ("date", "datetime") for guess in [*inputs, *others]):
        lines.append("import datetime as dt\n\n")
    lines.append("from skline.contract.table import Table, column\n\n\n")
    lines.append(
        f"class Inputs(Table):\n    {docstring(f'What is known when {target.name} is asked for: {table}.')}\n\n"
    )
    lines += [declaration(guess, names[guess.name]) for guess in inputs]
    lines.append(f"\n\nclass Labelled(Inputs):\n    {docstring(f'A row whose {target.name} is known.')}\n\n")
    lines += [declaration(guess, names[guess.name]) for guess in [target, *others]]
    if event_time is not None:
        lines.append(declaration(event_time, names[event_time.name]))
    lines.append(_left_out(guesses))
    return "".join(lines)


def _left_out(guesses: list[Guess]) -> str:
    """Write LEAKS, and as a comment the columns that are of no use."""
    leaks = [guess for guess in guesses if guess.part == "leak"]
    useless = [guess for guess in guesses if guess.part == "left out"]
    text = ""
    if useless:
        text += "\n\n# Left out, for there is nothing to learn from them:\n"
        text += "".join(_comment(f"{guess.name}: {guess.reasons[-1]}") for guess in useless)
    text += "\n" if useless else "\n\n"
    if not leaks:
        return (
            text
            + "#: Columns of the source that are known too late to be inputs, and why.\nLEAKS: dict[str, str] = {}\n"
        )
    lines = "".join(f"    {literal(guess.name)}: {literal(guess.reasons[-1])},\n" for guess in leaks)
    return f"{text}#: Columns of the source that are known too late to be inputs, and why.\nLEAKS = {{\n{lines}}}\n"


def _one_line(text: str) -> str:
    """Blanks as single spaces; what cannot be printed, a null byte for one, as U+FFFD: Python reads no such source."""
    return "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.split()))


def _comment(text: str) -> str:
    """Write a comment of one line."""
    return f"#   {cut(_one_line(text), WIDTH - 4)}\n"


def wide(text: str) -> int:
    """Columns that a text takes on the screen, as ruff counts them: two for a letter of Chinese."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def cut(text: str, room: int) -> str:
    """Shorten a text to so many columns."""
    if wide(text) <= room:
        return text
    while wide(text) >= room:
        text = text[:-1]
    return f"{text}…"


def docstring(text: str) -> str:
    """Write a docstring of one line."""
    text = _one_line(text).replace('"""', "'''")
    text = cut(text, max(20, WIDTH - 13 - text.count("\\"))).replace("\\", "\\\\")
    return f'"""{text}{" " if text.endswith(chr(34)) else ""}"""'


def declaration(guess: Guess, attribute: str) -> str:
    """Write one column as `attribute: type = column(…)`."""
    arguments = [literal(describe(guess))]
    if guess.part == "input":
        arguments.append(f"example={literal(example(guess))}")
    else:
        arguments.append(f"role={literal(guess.part)}")
    arguments += [f"{name}={literal(value)}" for name, value in guess.bounds.items()]
    if guess.choices is not None:
        arguments.append(f"isin={literal(guess.choices)}")
    if guess.nullable and guess.part == "input":
        arguments.append("nullable=True")
    if guess.feature_group is not None and guess.part == "input":
        arguments.append(f"feature_group={literal(guess.feature_group)}")
    if guess.written is not None:
        arguments.append(f"written={literal(guess.written)}")
    if attribute != guess.name:
        arguments.append(f"alias={literal(guess.name)}")
    return call(f"    {attribute}: {TYPES[guess.kind]} = column(", arguments)


def call(head: str, arguments: list[str]) -> str:
    """Write a call on one line, or on three, or with a line an argument, whichever fits first."""
    line = f"{head}{', '.join(arguments)})\n"
    if wide(line) <= WIDTH + 1:
        return line
    inner = f"        {', '.join(arguments)}\n"
    if wide(inner) <= WIDTH + 1:
        return f"{head}\n{inner}    )\n"
    return f"{head}\n{''.join(_argument(argument) for argument in arguments)}    )\n"


def _argument(argument: str) -> str:
    """Write an argument on a line of its own, a long list with a line an item."""
    line = f"        {argument},\n"
    found = re.fullmatch(r"(\w+=)\[(.*)\]", argument)
    if wide(line) <= WIDTH + 1 or found is None:
        return line
    inner = f"            {found[2]}\n"
    if wide(inner) > WIDTH + 1:
        inner = "".join(
            f"            {item},\n" for item in re.findall(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[^,\s]+', found[2])
        )
    return f"        {found[1]}[\n{inner}        ],\n"


def literal(value: Any) -> str:
    """Write a value as ruff does: double quotes, unless they would need more escapes."""
    if isinstance(value, list):
        return f"[{', '.join(literal(item) for item in value)}]"
    if not isinstance(value, str):
        return repr(value)
    if value.isprintable() and '"' in value and value.count('"') > value.count("'"):
        return repr(value) if "'" not in value else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    escaped = "".join(
        char if char.isprintable() or char == " " else char.encode("unicode_escape").decode()
        for char in value.replace("\\", "\\\\")
    )
    return '"' + escaped.replace('"', '\\"') + '"'


def describe(guess: Guess) -> str:
    """Say what a column means, as far as its name tells."""
    text = words(guess.name)
    text = cut(text, 80)
    if guess.written and guess.written.endswith("%") and guess.kind in ("integer", "number"):
        return f"{text}, in percent"
    if guess.kind == "datetime":
        return f"{text}, UTC"
    return text or "Column without a name"


def example(guess: Guess) -> Any:
    """Return a value that occurs, as a JSON client sends it: the most frequent category, the middle of numbers."""
    values = guess.values.dropna()
    if guess.kind == "string":
        return str(values.mode().iloc[0])
    if guess.kind == "boolean":
        return bool(values.mode().iloc[0])
    if guess.choices is not None or guess.feature_group in ("category", "many_categories"):
        return int(values.mode().iloc[0])
    middle = values.sort_values(kind="stable").iloc[len(values) // 2]
    if guess.kind == "integer":
        return int(middle)
    if guess.kind == "number":
        return float(middle)
    stamp: dt.datetime = pd.Timestamp(middle).to_pydatetime()
    return stamp.date().isoformat() if guess.kind == "date" else stamp.isoformat()
