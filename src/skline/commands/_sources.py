"""The options that say where a table is; the commands that take an address share them."""

import argparse
from pathlib import Path
from typing import Any

from skline.errors import SklineError
from skline.project import given_path


def add_source_options(command: argparse.ArgumentParser) -> None:
    """Declare the options."""
    command.add_argument(
        "--query",
        metavar="SELECT",
        help="the query whose result is the table, for a database (postgresql://HOST/DATABASE, sqlite:///FILE)",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="another setting of the section source, such as trim=false; a dot stands for a level; repeatable",
    )


def given_table(text: str) -> str:
    """Return the address of a table; that of a file, a folder or a pattern here as `given_path` does."""
    is_pattern = "://" not in text and any(wildcard in text for wildcard in "*?[")
    return str(given_path(text)) if is_pattern or Path(text).expanduser().exists() else text


def parse_settings(texts: list[str]) -> dict[str, Any]:
    """Return settings of the section `source` from texts such as `name.key=value`; a value is YAML.

    Raises
    ------
    SklineError
        If a text has no `=`, its value is not YAML, or two texts contradict each other.
    """
    import yaml

    section: dict[str, Any] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise SklineError(f"--set {text}: write KEY=VALUE")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise SklineError(f"--set {text}: the value is not valid YAML: {' '.join(str(error).split())}") from None
        *levels, name = key.removeprefix("source.").split(".")
        holder = section
        for level in levels:
            holder = holder.setdefault(level, {})
            if not isinstance(holder, dict):
                raise SklineError(f"--set {text}: {level} has a value already")
        if name in holder:
            raise SklineError(f"--set {text}: {key} is set twice")
        holder[name] = parsed
    return section
