"""`skline changes`: what differs between the results of two commits, as Markdown."""

import argparse

from skline.commands import Subparsers


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "changes",
        help="compare the results of two commits, as Markdown for a pull request",
        description="Print what differs between the results of two commits, as Markdown for the body of a pull "
        "request: gates, metrics, settings, data, and the tables and files of code that the stages read.",
    )
    command.add_argument("base", nargs="?", default="HEAD", help="the earlier commit (default: HEAD)")
    command.add_argument("head", nargs="?", help="the later commit (default: the working tree)")
    command.add_argument("--report", metavar="URL", help="address of the report, for a link")
    command.set_defaults(run=changes)


def changes(arguments: argparse.Namespace) -> None:
    """Print the difference."""
    import sys
    from pathlib import Path

    from skline.changes.markdown import describe_changes
    from skline.changes.results import read_results
    from skline.project import require_project

    require_project()
    base, head = (read_results(Path(), revision) for revision in (arguments.base, arguments.head))
    sys.stdout.write(describe_changes(base, head, arguments.report))
