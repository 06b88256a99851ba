"""The command line `skline`: one command for each task in a project."""

import argparse
import difflib
import platform
import re
import sys
from typing import NoReturn

from skline.commands import (
    abort,
    changes,
    compare,
    deploy,
    doctor,
    experiment,
    flag,
    init,
    key,
    label,
    log,
    monitor,
    predict,
    promote,
    releases,
    remote,
    replay,
    retrain,
    rollback,
    score,
    serve,
    shadow,
    source,
    stage,
    stream,
    sync,
    threshold,
    trace,
)
from skline.entrypoint import run_main
from skline.project import enter_project

#: In the order of `skline --help`.
COMMANDS = (
    init,
    source,
    remote,
    doctor,
    stage,
    sync,
    threshold,
    predict,
    score,
    stream,
    serve,
    compare,
    deploy,
    key,
    promote,
    rollback,
    abort,
    releases,
    flag,
    experiment,
    shadow,
    label,
    log,
    monitor,
    retrain,
    replay,
    changes,
    trace,
)


def main() -> None:
    """Parse the command line and run the command in the root of the project."""
    arguments = parser().parse_args()
    enter_project()
    run_main(lambda: arguments.run(arguments))


def parser() -> argparse.ArgumentParser:
    """Build the parser; the attribute `run` of what it returns is the function of the command."""
    root = SuggestingParser(prog="skline", description="Turn a table into a served scikit-learn model.")
    root.add_argument(
        "--version",
        action=PrintVersion,
        nargs=0,
        default=argparse.SUPPRESS,
        help="print the version, the commit and the folder of the engine, and the version of Python",
    )
    commands = root.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return root


class SuggestingParser(argparse.ArgumentParser):
    """A parser that suggests the closest of the choices; its subparsers do so, too."""

    def error(self, message: str) -> NoReturn:
        """Print usage and message, with a suggestion if a choice was mistyped, and exit with status 2."""
        if re.fullmatch("the following arguments are required: (COMMAND|ACTION)", message):
            self.print_help(sys.stderr)  # the list says more than the usage
            self.exit(2)
        if match := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
            close = difflib.get_close_matches(match[1], re.findall(r"[\w-]+", match[2]), n=1)
            message = message.replace(" (choose", f"; did you mean {close[0]!r}? (choose") if close else message
        super().error(message)


class PrintVersion(argparse.Action):
    """Print what runs: the engine, its commit and folder, and Python; they are read only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print, and exit with status 0."""
        from skline import engine

        commit = engine.commit() or "unknown"
        print(f"skline {engine.version()} (commit {commit}, Python {platform.python_version()}) in {engine.location()}")
        parser.exit()


if __name__ == "__main__":
    main()
