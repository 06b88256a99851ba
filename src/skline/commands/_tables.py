"""The options that say how a table file is written; the commands that read one share them."""

import argparse


def add_format_options(
    command: argparse.ArgumentParser, delimiter: str = "detected", encoding: str = "detected"
) -> None:
    """Declare the options; `delimiter` and `encoding` describe what holds without them."""
    command.add_argument("--delimiter", help=f"delimiter of a CSV file (default: {delimiter})")
    command.add_argument("--encoding", help=f"encoding of a CSV file (default: {encoding})")
    command.add_argument("--member", metavar="FILE", help="name of the file in a zip archive that has several")
    command.add_argument("--sheet", metavar="NAME", help="name of the sheet of a workbook that has several")
    command.add_argument(
        "--skip", type=int, metavar="LINES", help="lines above the column names, such as titles (default: detected)"
    )
    command.add_argument(
        "--skip-footer", type=int, metavar="LINES", help="lines at the end that are no rows (default: detected)"
    )


def given_options(arguments: argparse.Namespace) -> dict[str, object]:
    """Return the options of `add_format_options` that were given."""
    names = ("delimiter", "encoding", "member", "sheet", "skip", "skip_footer")
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
