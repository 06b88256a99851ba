"""`skline flag`: switch features of the service without a restart."""

import argparse

from skline import paths
from skline.commands import Subparsers
from skline.errors import SklineError
from skline.project import require_project

FLAGS = ("explain", "review", "challenger")


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser("flag", help="switch features of the service without a restart")
    command.add_argument("name", nargs="?", choices=FLAGS, help="without a name the current flags are printed")
    command.add_argument("state", nargs="?", choices=("on", "off"), help="the new value")
    command.add_argument("--reason", default="", help="reason, for the journal")
    command.set_defaults(run=set_flag)


def set_flag(arguments: argparse.Namespace) -> None:
    """Publish a release with the flag changed; without a name print the flags."""
    from skline.commands._releases import print_entry, report_services
    from skline.release.store import ReleaseStore

    require_project(paths.JOURNAL)
    releases = ReleaseStore()
    if arguments.name is not None and arguments.state is None:
        raise SklineError(f"skline flag {arguments.name}: add on or off")
    if arguments.name is not None:
        entry = releases.set_flag(arguments.name, on=arguments.state == "on", why=arguments.reason)
        print_entry(entry)
        report_services(releases, entry)
        return
    current = releases.current()
    if current is None:
        raise SklineError("flags belong to a release, and there is none yet; run `uv run skline promote` first")
    for name, on in current.flags.model_dump().items():
        print(f"{name:<12}{'on' if on else 'off'}")
