"""`skline rollback`: end the experiment, or return to the previous champion."""

import argparse

from skline import paths
from skline.commands import Subparsers
from skline.errors import SklineError
from skline.project import require_project


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "rollback",
        help="end the experiment, or return to the previous champion; works without the registry",
        description="End the experiment, or return to the previous champion; works without the registry. Exit status: "
        "0 if the release is published and no running service here rejects it, else 1.",
    )
    command.add_argument("--to", type=int, metavar="NUMBER", help="return to the champion of that release")
    command.add_argument("--reason", default="", help="reason, for the journal")
    command.set_defaults(run=rollback)


def rollback(arguments: argparse.Namespace) -> None:
    """Publish the earlier release, then update the registry's aliases if that is possible.

    The rollback itself must work without params.yaml and while the registry is down.
    """
    from skline.artifact import Artifact
    from skline.commands._releases import open_registry, print_entry, report_services, update_aliases
    from skline.release.promotion import PromotionPlan, check_compatibility
    from skline.release.store import ReleaseStore
    from skline.settings import Settings

    require_project(paths.JOURNAL)
    releases = ReleaseStore()
    previous = releases.current()
    entry = releases.rollback(arguments.to, arguments.reason)
    print_entry(entry)
    champion = entry.release.champion
    try:
        restored = Artifact.open(champion.folder(releases.folder), champion.sha256)
        notes = check_compatibility(releases, previous, restored, PromotionPlan())
    except SklineError as error:  # the champion that was in force may be damaged: that is a reason to roll back
        notes = [f"whether running services accept the contract could not be checked: {error}"]
    try:
        registry = open_registry(Settings.load())
    except SklineError as error:
        print(f"note: the registry's aliases were not updated: {error}")
    else:
        update_aliases(registry, entry, previous)
    if not report_services(releases, entry):
        for note in notes:  # a service that reports has said whether it accepts the contract
            print(f"note: {note}")
