"""`skline retrain`: decide whether to train a new model."""

import argparse
import datetime as dt
from contextlib import ExitStack
from typing import TYPE_CHECKING

from skline.commands import Subparsers
from skline.commands._moments import parse_moment
from skline.errors import SklineError

if TYPE_CHECKING:
    from skline.logs.settings import LogSettings
    from skline.retraining.decision import Evidence
    from skline.settings import Settings


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "retrain",
        help="decide from monitoring and the labels whether to train a new model",
        description="Decide whether to train a new model, and write the decision to the journal beside the log.",
    )
    command.add_argument(
        "action", nargs="?", choices=("hold", "resume", "history"),
        help="hold: no training before --until; resume: end the hold; history: list decisions and trainings",
    )  # fmt: skip
    command.add_argument("--dry-run", action="store_true", help="decide, write the decision, and train nothing")
    command.add_argument("--reason", metavar="TEXT", help="a person's reason: for training, or for the hold")
    command.add_argument("--asof", type=parse_moment, help="decide as of this moment, ISO 8601, UTC (default: now)")
    command.add_argument("--until", type=parse_moment, help="end of the hold, ISO 8601, UTC")
    command.set_defaults(run=retrain)


def retrain(arguments: argparse.Namespace) -> None:
    """Decide, or change or list what is decided."""
    from skline.logs.settings import LogSettings

    _check_options(arguments)
    log, now = LogSettings.from_environment(), arguments.asof or dt.datetime.now(dt.UTC)
    if arguments.action == "history":
        print_history(log)
    elif arguments.action is not None:
        change_hold(arguments, log, now)
    else:
        decide(arguments, log, now)


def decide(arguments: argparse.Namespace, log: "LogSettings", now: dt.datetime) -> None:
    """Decide, print the decision and write it to the journal."""
    from skline.locks import file_lock
    from skline.release.store import current_user
    from skline.retraining import decision, journal
    from skline.settings import Settings

    settings = Settings.load()
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(log.folder / ".retrain.lock", "another process is retraining"))
            is_locked = False
        except SklineError:
            is_locked = True
        evidence = read_evidence(settings, log, now, is_locked=is_locked)
        policy = decision.Policy(settings.retrain, settings.monitor.persist)
        decided = decision.decide(evidence, policy, now, arguments.reason)
        entry = journal.Entry(
            time=now, who=current_user(), kind="decision", reason=arguments.reason or "", dry_run=arguments.dry_run,
            decision=decided, evidence=evidence,
        )  # fmt: skip
        journal.append_entry(log.folder, entry)
        print(decided.sentence)


def read_evidence(settings: "Settings", log: "LogSettings", now: dt.datetime, *, is_locked: bool) -> "Evidence":
    """Read what the decision is based on."""
    from skline import paths
    from skline.files import read_json_lines
    from skline.monitoring.state import read_state
    from skline.release.in_service import in_service
    from skline.release.registered import RegisteredVersion
    from skline.release.store import ReleaseStore
    from skline.retraining import journal
    from skline.retraining.evidence import gather
    from skline.retraining.matured import read_matured, settled

    entries = journal.read_journal(log.folder)
    since = entries.up_to(now).labels_until
    matured = read_matured(log, settings.monitor.label_horizon, since, settled(now))
    return gather(
        read_state(log.folder),
        settings.monitor,
        in_service().digest,
        ReleaseStore().current(),
        read_json_lines(paths.REGISTERED, RegisteredVersion).values,
        entries,
        matured.rows.num_rows,
        now,
        is_locked=is_locked,
    )


def change_hold(arguments: argparse.Namespace, log: "LogSettings", now: dt.datetime) -> None:
    """Begin or end a hold."""
    from skline.release.store import current_user
    from skline.retraining import journal

    if arguments.action == "resume" and journal.read_journal(log.folder).hold is None:
        raise SklineError("there is no hold; `skline retrain history` lists what there was")
    entry = journal.Entry(
        time=now, who=current_user(), kind=arguments.action, reason=arguments.reason or "", until=arguments.until
    )
    journal.append_entry(log.folder, entry)
    print(entry.sentence)


def print_history(log: "LogSettings") -> None:
    """Print a line for each entry of the journal."""
    from skline.retraining import journal

    history = journal.read_journal(log.folder)
    for each in history.entries:
        kind = f"{each.kind} (dry run)" if each.dry_run else each.kind
        print(f"{each.time:%Y-%m-%d %H:%M}  {each.who:<24} {kind:<20} {each.sentence}")
    if history.damaged_lines:
        print(f"unreadable lines: {', '.join(map(str, history.damaged_lines))}")


def _check_options(arguments: argparse.Namespace) -> None:
    """Reject options that do not belong to the action."""
    if (arguments.action == "hold") != (arguments.until is not None):
        raise SklineError("`skline retrain hold` needs --until TIME, and nothing else takes it")
    if arguments.action == "hold" and not (arguments.reason or "").strip():
        raise SklineError("a hold needs --reason TEXT: the journal records who holds it, and why")
    if arguments.reason is not None and not arguments.reason.strip():
        raise SklineError("--reason is empty; say why")
    if arguments.dry_run and arguments.action is not None:
        raise SklineError(f"--dry-run is for the decision, not for {arguments.action}")
