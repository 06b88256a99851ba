"""Render src/model/contract.py: one statement for each column, in the format of ruff."""

import datetime as dt
import re
import unicodedata
from typing import Any

import numpy as np
import pandas as pd

from skline.contract.spec import DEFAULT_MISSING, Kind
from skline.init.inference.column_guess import ColumnGuess
from skline.init.inference.names import attribute_names, to_words

WIDTH = 120
TYPES: dict[Kind, str] = {
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "string": "str",
    "date": "dt.date",
    "datetime": "dt.datetime",
}
HEADER = '''"""The columns of the table: what a request to /predict contains, and what a training row has in addition.

Validation, the API and its documentation, batch scoring, drift profiles and tests are derived from these two
classes. Only source.py names columns too, where it computes one.
{aliases}"""

'''
ALIASES = """
The name of a column is its `alias`, in pipeline.py, source.py, tables and requests; the attribute is used nowhere else.
"""
LEAKS_COMMENT = "#: Source columns that must not be inputs, because they reveal the target, with the evidence.\n"


def render_contract(guesses: list[ColumnGuess], target: ColumnGuess, event_time: ColumnGuess | None, table: str) -> str:
    """Return the text of src/model/contract.py.

    Parameters
    ----------
    guesses : list of ColumnGuess
        Every column of the table, including the target.
    target : ColumnGuess
    event_time : ColumnGuess or None
        The copy of an input that `prepare` adds for the split by time.
    table : str
        The name of the table.
    """
    inputs = [guess for guess in guesses if guess.role == "input"]
    others = [guess for guess in guesses if guess.role in ("id", "time", "group")]
    names = attribute_names(
        [guess.name for guess in [*inputs, target, *others]] + ([event_time.name] if event_time else [])
    )
    inputs_text = f"The columns of {table} that are known when {target.name} is predicted."
    lines = [HEADER.format(aliases=ALIASES if any(name != attribute for name, attribute in names.items()) else "")]
    if any(guess.kind in ("date", "datetime") for guess in [*inputs, *others]):
        lines.append("import datetime as dt\n\n")
    if any(set(DEFAULT_MISSING) <= set(guess.missing or ()) for guess in [*inputs, target, *others]):
        lines.append("from skline.contract.spec import DEFAULT_MISSING\n")
    lines.append("from skline.contract.table import Table, column\n\n\n")
    lines.append(f"class Inputs(Table):\n    {one_line_docstring(inputs_text)}\n\n")
    lines += [column_declaration(guess, names[guess.name]) for guess in inputs]
    labelled_text = f"A training row: the inputs, and the known value of {target.name}."
    lines.append(f"\n\nclass Labelled(Inputs):\n    {one_line_docstring(labelled_text)}\n\n")
    lines += [column_declaration(guess, names[guess.name]) for guess in [target, *others]]
    if event_time is not None:
        lines.append(column_declaration(event_time, names[event_time.name]))
    lines.append(_leaks_and_excluded(guesses))
    return "".join(lines)


def _leaks_and_excluded(guesses: list[ColumnGuess]) -> str:
    """Render the constant LEAKS, after a comment that lists the excluded columns."""
    leaks = [guess for guess in guesses if guess.role == "leak"]
    useless = [guess for guess in guesses if guess.role == "excluded"]
    text = ""
    if useless:
        text += "\n\n# Excluded columns, which a model cannot learn from:\n"
        text += "".join(_comment(f"{guess.name}: {guess.reasons[-1]}") for guess in useless)
    text += "\n" if useless else "\n\n"
    if not leaks:
        return f"{text}{LEAKS_COMMENT}LEAKS: dict[str, str] = {{}}\n"
    lines = "".join(f"    {literal(guess.name)}: {literal(guess.reasons[-1])},\n" for guess in leaks)
    return f"{text}{LEAKS_COMMENT}LEAKS = {{\n{lines}}}\n"


def _one_line(text: str) -> str:
    """Collapse whitespace, and replace unprintable characters by U+FFFD: Python rejects source with null bytes."""
    return "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.split()))


def _comment(text: str) -> str:
    """Render a comment of one line."""
    return f"#   {shorten(_one_line(text), WIDTH - 4)}\n"


def display_width(text: str) -> int:
    """Return the width of a text as ruff counts it: a Chinese character is two columns wide."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def shorten(text: str, max_width: int) -> str:
    """Shorten a text to `max_width` columns."""
    if display_width(text) <= max_width:
        return text
    while display_width(text) >= max_width:
        text = text[:-1]
    return f"{text}…"


def one_line_docstring(text: str) -> str:
    """Render a docstring of one line."""
    text = _one_line(text).replace('"""', "'''")
    text = shorten(text, max(20, WIDTH - 13 - text.count("\\"))).replace("\\", "\\\\")
    return f'"""{text}{" " if text.endswith(chr(34)) else ""}"""'


def column_declaration(guess: ColumnGuess, attribute: str) -> str:
    """Render one column as `attribute: type = column(…)`."""
    arguments = [literal(column_description(guess))]
    if guess.role == "input":
        arguments.append(f"example={literal(column_example(guess))}")
    else:
        arguments.append(f"role={literal(guess.role)}")
    arguments += [f"{name}={literal(value)}" for name, value in guess.bounds.items()]
    if guess.choices is not None:
        arguments.append(f"isin={literal(guess.choices)}")
    if guess.nullable and guess.role == "input":
        arguments.append("nullable=True")
    if guess.feature_group is not None and guess.role == "input":
        arguments.append(f"feature_group={literal(guess.feature_group)}")
    if guess.notation is not None:
        arguments.append(f"notation={literal(guess.notation)}")
    if guess.missing is not None:
        arguments.append(f"missing={missing_words(guess.missing)}")
    if attribute != guess.name:
        arguments.append(f"alias={literal(guess.name)}")
    return format_call(f"    {attribute}: {TYPES[guess.kind]} = column(", arguments)


def missing_words(words: list[str]) -> str:
    """Render the words for a missing value: the usual ones by their name, and the others."""
    extra = [word for word in words if word not in DEFAULT_MISSING]
    if set(DEFAULT_MISSING) <= set(words):
        return f"[{', '.join(['*DEFAULT_MISSING', *map(literal, extra)])}]"
    return literal(words)


def format_call(head: str, arguments: list[str]) -> str:
    """Render a call on one line, on three lines, or with one line per argument, whichever fits first."""
    line = f"{head}{', '.join(arguments)})\n"
    if display_width(line) <= WIDTH + 1:
        return line
    inner = f"        {', '.join(arguments)}\n"
    if display_width(inner) <= WIDTH + 1:
        return f"{head}\n{inner}    )\n"
    return f"{head}\n{''.join(_format_argument(argument) for argument in arguments)}    )\n"


def _format_argument(argument: str) -> str:
    """Render an argument on its own line, and a list that is too long with one line per item."""
    line = f"        {argument},\n"
    match = re.fullmatch(r"(\w+=)\[(.*)\]", argument)
    if display_width(line) <= WIDTH + 1 or match is None:
        return line
    inner = f"            {match[2]}\n"
    if display_width(inner) > WIDTH + 1:
        inner = "".join(
            f"            {item},\n" for item in re.findall(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[^,\s]+', match[2])
        )
    return f"        {match[1]}[\n{inner}        ],\n"


def literal(value: Any) -> str:
    """Render a value like ruff: in double quotes, unless single quotes need fewer escapes."""
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


def column_description(guess: ColumnGuess) -> str:
    """Return the description of a column, derived from its name."""
    text = to_words(guess.name)
    text = shorten(text, 80)
    if guess.notation and guess.notation.endswith("%") and guess.kind in ("integer", "number"):
        return f"{text}, in percent"
    if guess.kind == "datetime":
        return f"{text}, UTC"
    return text or "Column without a name"


def column_example(guess: ColumnGuess) -> Any:
    """Return a value from the table as in a JSON request: the most frequent category, or the median number."""
    if guess.kind == "string":
        return str(_most_frequent(guess))
    if guess.kind == "boolean":
        return bool(_most_frequent(guess))
    if guess.choices is not None or guess.feature_group in ("category", "many_categories"):
        return int(_most_frequent(guess))
    values = guess.values.dropna()
    middle = np.partition(values.to_numpy(), len(values) // 2)[len(values) // 2]
    if guess.kind == "integer":
        return int(middle)
    if guess.kind == "number":
        return float(middle)
    stamp: dt.datetime = pd.Timestamp(middle).to_pydatetime()
    return stamp.date().isoformat() if guess.kind == "date" else stamp.isoformat()


def _most_frequent(guess: ColumnGuess) -> Any:
    """Return the smallest of the most frequent values."""
    return guess.counts.index[guess.counts == guess.counts.iloc[0]].min()
