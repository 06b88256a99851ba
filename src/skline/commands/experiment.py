"""`skline experiment report`: results of the running experiment, from the logs."""

import argparse

from skline import paths
from skline.commands import Subparsers
from skline.errors import SklineError
from skline.project import given_path, require_project


def add_parser(commands: Subparsers) -> None:
    """Declare the command and its action."""
    group = commands.add_parser("experiment", help="report on the running experiment")
    actions = group.add_subparsers(title="actions", required=True, metavar="ACTION")
    action = actions.add_parser("report", help="print what the logs show so far, and what cannot be concluded yet")
    action.add_argument(
        "--release", type=int, metavar="NUMBER", help="report on the experiment of a release (default: the current one)"
    )
    action.add_argument("--json", type=given_path, metavar="FILE", help="also write the figures as JSON")
    action.add_argument("--abort", action="store_true", help="end the experiment if the canary breaches a guard")
    action.set_defaults(run=report)


def report(arguments: argparse.Namespace) -> None:
    """Print the report of an experiment, and end it with --abort if a guard is breached."""
    from skline import clock
    from skline.commands._releases import print_entry, report_services
    from skline.files import write_json
    from skline.logs.read import read_labels, read_predictions
    from skline.logs.settings import LogSettings
    from skline.release.experiment_report import report_experiment
    from skline.release.journal import read_journal, share_changes
    from skline.release.looks import LookStore
    from skline.release.store import ReleaseStore

    require_project(paths.JOURNAL)
    releases = ReleaseStore()
    current = release = releases.current()
    journal = read_journal(releases.journal)
    if arguments.release is not None:
        entry = journal.entry(arguments.release)
        release = None if entry is None else entry.release
    if release is None or release.experiment is None:
        raise SklineError("that release has no experiment; `skline releases` lists the releases that have one")
    log = LogSettings.from_environment()
    changes = share_changes(journal, release.experiment)
    since = min([release.experiment.started_at, *changes])
    result = report_experiment(
        release,
        read_predictions(log, since),
        read_labels(log),
        LookStore(releases.looks),
        clock.now(),
        changes,
    )
    print("\n".join(result.lines))
    if arguments.json is not None:
        write_json(arguments.json, result.figures)
    if arguments.abort and result.breach is not None:
        if current is None or current.experiment is None or current.experiment.name != release.experiment.name:
            raise SklineError(f"{release.experiment.name} is not running any more, so it cannot be ended")
        entry = releases.abort(result.breach)
        print_entry(entry)
        report_services(releases, entry)
