"""`skline abort`: end the running experiment."""

import argparse

from skline import paths
from skline.commands import Subparsers
from skline.project import require_project


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser("abort", help="end the running experiment; the champion gets all requests")
    command.add_argument("--reason", default="", help="reason, for the journal")
    command.set_defaults(run=abort)


def abort(arguments: argparse.Namespace) -> None:
    """Publish a release without the experiment."""
    from skline.commands._releases import print_entry, report_services
    from skline.release.store import ReleaseStore

    require_project(paths.JOURNAL)
    releases = ReleaseStore()
    entry = releases.abort(arguments.reason)
    print_entry(entry)
    report_services(releases, entry)
