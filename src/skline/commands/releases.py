"""`skline releases`: list the releases, or upload the one in force to object storage."""

import argparse

from skline import paths
from skline.commands import Subparsers
from skline.project import require_project


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser("releases", help="list releases with time, author and reason")
    command.add_argument("--last", type=int, default=20, help="number of releases to list (default: %(default)s)")
    command.add_argument(
        "--push",
        metavar="ADDRESS",
        help="upload the release in force, with its artifacts, to s3://BUCKET/PREFIX/release.json (gs://, az://)",
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """List, or upload."""
    require_project(paths.JOURNAL)
    if arguments.push is None:
        list_releases(arguments)
    else:
        push(arguments.push)


def push(address: str) -> None:
    """Upload the release in force; services that follow the address serve it within their SKLINE_WATCH_SECONDS.

    Raises
    ------
    SklineError
        If there is no release, the store has a later one, or it does not respond.
    """
    from skline.errors import SklineError
    from skline.release.object_storage import open_store, push_release
    from skline.release.store import ReleaseStore

    releases = ReleaseStore()
    release = releases.current()
    if release is None:
        raise SklineError("there is no release yet; run `uv run skline promote` first")
    written = push_release(*open_store(address, seconds=300), release, releases.folder)
    print(f"release {release.number} is at {address}: {len(written)} objects written")


def list_releases(arguments: argparse.Namespace) -> None:
    """Print the last entries of the journal."""
    from skline.release.journal import read_journal
    from skline.release.store import ReleaseStore

    releases = ReleaseStore()
    content, current = read_journal(releases.journal), releases.current()
    published = {entry.release.number for entry in releases.history()}
    if not content.entries:
        print(f"no release yet; `skline serve` serves artifact/ ({releases.journal} has no entry)")
    for entry in content.entries[-max(arguments.last, 1) :]:
        number = entry.release.number
        mark = "*" if current is not None and number == current.number else " "
        action = f"{entry.action}: {entry.what}" + ("" if number in published else " (never published)")
        approved = f"; approved by {entry.approval.name}: {entry.approval.reason}" if entry.approval else ""
        approved += "; its newest verdict failed" if entry.verdict and not entry.verdict.passed else ""
        approved += "; its digest was accepted by hand" if entry.accepted_digest else ""
        reason = f"; {entry.why}" if entry.why and not entry.approval else ""
        print(f"{mark}{number:>4}  {entry.time:%Y-%m-%d %H:%M:%S}  {entry.who}  {action}{approved}{reason}")
    for line in content.damaged_lines:
        print(f"line {line} of {releases.journal} cannot be read: it was truncated or changed")
