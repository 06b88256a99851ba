"""`skline retrain`: decide whether to train a new model, and train it."""

import argparse
import datetime as dt
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from skline import clock
from skline.commands import Subparsers
from skline.commands._logs import log_settings
from skline.commands._moments import parse_moment, require_past
from skline.errors import SklineError
from skline.project import require_project

if TYPE_CHECKING:
    from skline.commands._retrain_promotion import Record
    from skline.logs.settings import LogSettings
    from skline.retraining.decision import Evidence
    from skline.settings import Settings

#: Exit status of a training whose candidate failed a gate.
REJECTED = 20


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "retrain",
        help="decide from monitoring and the labels whether to train a new model, and train it",
        description="Promote or end the canary of an earlier training (retrain.auto_promote). Decide whether to train "
        "a new model, and write the decision to the journal in the folder of the log. If it is yes, add the new labels "
        "to the training table, run `dvc repro`, and register the version as challenger if it passed its gates. "
        "Nothing is committed. Exit status: 0 nothing to do or registered, 20 a gate failed, 1 error.",
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


def retrain(arguments: argparse.Namespace) -> int:
    """Decide and train, begin or end a hold, or list the journal; return the exit status."""
    _check_options(arguments)
    require_past(arguments.asof)
    if arguments.action is None:
        require_project()
    log, now = log_settings(), arguments.asof or clock.now()
    if arguments.action == "history":
        print_history(log)
        return 0
    if arguments.action is not None:
        change_hold(arguments, log, now)
        return 0
    return decide(arguments, log, now)


def decide(arguments: argparse.Namespace, log: "LogSettings", now: dt.datetime) -> int:
    """Continue a promotion, decide, record the decision, and train if it is yes; return the exit status."""
    from skline.commands._retrain_promotion import continue_promotion
    from skline.locks import file_lock
    from skline.release.store import current_user
    from skline.retraining import decision, journal
    from skline.settings import Settings

    settings = Settings.load()
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(file_lock(log.folder / journal.LOCK_NAME, "another process is retraining"))
        except SklineError:
            lock = None

        def record(result: journal.Training) -> None:
            time = arguments.asof or clock.now()
            entry = journal.Entry(time=time, who=current_user(), kind="training", training=result)
            journal.append_entry(log.folder, entry)
            print(entry.sentence, flush=True)

        if damaged := journal.read_journal(log.folder).damaged_lines:
            print(f"note: {describe_damage(damaged)}: a hold in one of them is not known")
        if lock is not None and not arguments.dry_run:
            continue_promotion(settings, log, now, record)
        evidence = read_evidence(settings, log, now, is_locked=lock is None)
        policy = decision.Policy(settings.retrain, settings.monitor.persist)
        decided = decision.decide(evidence, policy, now, arguments.reason)
        entry = journal.Entry(
            time=now, who=current_user(), kind="decision", reason=arguments.reason or "", dry_run=arguments.dry_run,
            decision=decided, evidence=evidence,
        )  # fmt: skip
        journal.append_entry(log.folder, entry)
        print(decided.sentence, flush=True)
        if decided.reasons and [each.kind for each in decided.blockers] == ["contract"]:
            raise SklineError(decided.blockers[0].message)
        if lock is None or not decided.retrain or arguments.dry_run:
            return 0
        return train(settings, log, now, record, lock)


def train(settings: "Settings", log: "LogSettings", now: dt.datetime, record: "Record", lock: int) -> int:
    """Train, write the result to the journal, and promote if the settings say so; return the exit status."""
    from skline.commands._retrain_promotion import continue_promotion, plan_promotion
    from skline.registry.working_tree import describe_uncommitted
    from skline.release.in_service import in_service
    from skline.retraining import action, journal, training
    from skline.retraining.matured import labels_complete_until
    from skline.stages.declared import read_declared

    until, served = labels_complete_until(now), in_service().digest
    added = None
    try:
        settings = action.apply_action(settings)
        declared = read_declared(settings.source, settings.lookups)
        added = training.add_snapshot(settings, log, declared, until)
        for line in [] if added is None else training.describe_snapshot(*added, declared, settings):
            print(line, flush=True)
        result = training.run_pipeline(settings, until, None if added is None else added[0], served, lock)
    except SklineError as error:
        record(journal.Training(outcome="failed", labels_until=until, message=str(error)))
        if added is not None:
            print(training.describe_removal(added[0]))
        raise
    record(plan_promotion(settings, result))
    continue_promotion(settings, log, now, record)
    if changes := describe_uncommitted(Path(), training.COMMITTED):
        print(changes)
    return REJECTED if result.training.outcome == "rejected" else 0


def read_evidence(settings: "Settings", log: "LogSettings", now: dt.datetime, *, is_locked: bool) -> "Evidence":
    """Read what the decision is based on."""
    from skline import paths
    from skline.files import read_json_lines
    from skline.monitoring.state import read_state
    from skline.release.in_service import in_service
    from skline.release.registered import RegisteredVersion
    from skline.release.store import ReleaseStore
    from skline.retraining import journal
    from skline.retraining.evidence import gather_evidence
    from skline.retraining.matured import count_maturing, labels_complete_until, read_matured
    from skline.retraining.served import below_since, read_served
    from skline.retraining.usable import find_fault
    from skline.stages.declared import read_declared

    entries, store = journal.read_journal(log.folder), ReleaseStore()
    served = read_served(paths.RELEASES, store.history(), now)
    since = entries.up_to(now).labels_until
    horizon, until = settings.monitor.label_horizon, labels_complete_until(now)
    matured, fault = read_matured(log, horizon, since, until), None
    if matured.rows.num_rows:
        declared = read_declared(settings.source, settings.lookups)
        fault = find_fault(matured, declared, settings.monitor.performance.full_coverage)
    return gather_evidence(
        read_state(log.folder),
        settings.monitor,
        in_service().digest,
        store.current(),
        read_json_lines(paths.REGISTERED, RegisteredVersion).values,
        entries,
        matured.rows.num_rows,
        now,
        is_locked=is_locked,
        maturing_labels=count_maturing(log, horizon, until),
        below_since=below_since(served, settings.monitor.performance.margin),
        contract_fault=fault,
    )


def change_hold(arguments: argparse.Namespace, log: "LogSettings", now: dt.datetime) -> None:
    """Begin or end a hold."""
    from skline.release.store import current_user
    from skline.retraining import journal

    if arguments.until is not None and arguments.until <= now:
        raise SklineError(f"--until {arguments.until:%Y-%m-%d %H:%M} is in the past; give a later moment (UTC)")
    if arguments.action == "resume" and journal.read_journal(log.folder).hold is None:
        raise SklineError("there is no hold; `skline retrain history` lists earlier ones")
    entry = journal.Entry(
        time=now, who=current_user(), kind=arguments.action, reason=arguments.reason or "", until=arguments.until
    )
    journal.append_entry(log.folder, entry)
    print(entry.sentence)


def print_history(log: "LogSettings") -> None:
    """Print a line for each entry of the journal."""
    from skline.entrypoint import visible
    from skline.retraining import journal

    history = journal.read_journal(log.folder)
    for each in history.entries:
        kind = f"{each.kind} (dry run)" if each.dry_run else each.kind
        print(f"{each.time:%Y-%m-%d %H:%M}  {each.who:<24} {kind:<20} {visible(each.sentence)}")
    if history.damaged_lines:
        print(describe_damage(history.damaged_lines))


def describe_damage(lines: tuple[int, ...]) -> str:
    """Say which lines of the journal cannot be read."""
    return f"unreadable lines: {', '.join(map(str, lines))}"


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
