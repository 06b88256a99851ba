"""The promotion of a version that `skline retrain` registered: begin it, and finish that of an earlier run."""

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skline.logs.settings import LogSettings
    from skline.release.experiment import Experiment
    from skline.release.journal import Journal
    from skline.release.manifest import Release
    from skline.release.promotion import PromotionPlan
    from skline.release.store import ReleaseStore
    from skline.retraining.journal import Training
    from skline.retraining.promotion import CanaryResult
    from skline.retraining.training import TrainingResult
    from skline.settings import Settings

Record = Callable[["Training"], None]


def plan_promotion(settings: "Settings", result: "TrainingResult") -> "Training":
    """Return the training with how its version is to be promoted, and print why it is not, if the settings want it."""
    from skline.release.store import ReleaseStore

    training, verdict = result
    mode = settings.retrain.auto_promote
    if mode == "never" or training.version is None:
        return training
    current = ReleaseStore().current()
    if current is not None and current.champion.sha256 == training.artifact_sha256:
        return training
    if verdict.undecided_gates:
        print(f"not promoted: undecided gates {', '.join(gate.gate for gate in verdict.undecided_gates)}")
        return training
    if settings.release.approval == "required":
        print("not promoted: release.approval is required, so that a person promotes it")
        return training
    return training.model_copy(update={"promotion": mode, "champion_sha256": verdict.champion_sha256})


def continue_promotion(settings: "Settings", log: "LogSettings", now: dt.datetime, record: Record) -> None:
    """Do the next step of an unfinished promotion, and write it to the journal; call it while holding the lock."""
    from skline.release.journal import read_journal as read_releases
    from skline.release.promotion import PromotionPlan
    from skline.release.store import ReleaseStore
    from skline.retraining.journal import read_journal
    from skline.retraining.promotion import next_step, own_canary

    journal = read_journal(log.folder)
    training = journal.unfinished_promotion
    if training is None:
        return
    store = ReleaseStore()
    release, releases = store.current(), read_releases(store.journal)
    canary = own_canary(training, release, releases)
    result = None if canary is None or release is None else judge_canary(log, release, canary, releases, now)
    is_held = journal.hold is not None and now < journal.hold.until
    step = next_step(training, release, releases, result, now, is_held=is_held)
    why = f"{journal.last_reason} {step.message}".strip()
    match step.action:
        case "wait":
            print(f"{training.version} is not promoted yet: {step.message}")
        case "promoted" | "rejected":
            record(_ended(training, step.action, step.message))
        case "abort":
            end_canary(store, step.message)
            record(_ended(training, "rejected", f"the canary was aborted: {step.message}"))
        case "promote":
            if release_version(settings, training, PromotionPlan(), why, release):
                record(_ended(training, "promoted", step.message))
        case "start" | "begun":
            if step.action == "start":
                plan = PromotionPlan("canary", settings.retrain.canary.percents, settings.retrain.canary.every)
                if not release_version(settings, training, plan, why, release):
                    return
            record(_begun(settings, training, store))


def release_version(
    settings: "Settings", training: "Training", plan: "PromotionPlan", why: str, current: "Release | None"
) -> bool:
    """Promote the version of a training, as `skline promote` does, if `current` is still in force.

    Return False and print why if a newer assessment rejects the version: it waits for a person.
    """
    from skline.commands.promote import publish
    from skline.release.assessment import RejectedSince
    from skline.retraining.promotion import PREFIX

    assert training.version is not None  # noqa: S101 - it is to be promoted, so it was registered
    number = training.version.rpartition("/")[2]
    try:
        publish(settings, number, plan, None, PREFIX + why, follows=0 if current is None else current.number)
    except RejectedSince as error:
        print(f"{training.version} is not promoted yet: {error}")
        return False
    return True


def end_canary(store: "ReleaseStore", breach: str) -> None:
    """End the running canary, and print the release."""
    from skline.commands._releases import print_entry, report_services
    from skline.retraining.promotion import PREFIX

    entry = store.abort(PREFIX + breach)
    print_entry(entry)
    report_services(store, entry)


def judge_canary(
    log: "LogSettings", release: "Release", canary: "Experiment", releases: "Journal", now: dt.datetime
) -> "CanaryResult":
    """Return what the guards say, by what a service wrote down and by the log of all of them."""
    from skline.logs.read import read_labels, read_predictions
    from skline.release.aborted import FILE_NAME, abort_reason
    from skline.release.experiment_report import report_experiment
    from skline.release.journal import share_changes
    from skline.release.looks import LookStore
    from skline.release.store import ReleaseStore
    from skline.retraining.promotion import CanaryResult

    assert release.challenger is not None  # noqa: S101 - it has an experiment
    changes = share_changes(releases, canary)
    predictions = read_predictions(log, min([canary.started_at, *changes]))
    report = report_experiment(release, predictions, read_labels(log), LookStore(ReleaseStore().looks), now, changes)
    aborted = abort_reason(log.folder / FILE_NAME, canary, release.challenger)
    return CanaryResult(aborted or report.breach, int(report.figures["checks"]))


def _begun(settings: "Settings", training: "Training", store: "ReleaseStore") -> "Training":
    """Return the training with its running canary and the planned end of it."""
    release = store.current()
    assert release is not None  # noqa: S101 - the canary was published
    assert release.experiment is not None  # noqa: S101
    end = release.experiment.started_at + settings.retrain.canary.duration
    message = f"{release.experiment.name} runs until {end:%Y-%m-%d %H:%M}"
    return training.model_copy(update={"outcome": "canary", "promote_at": end, "message": message})


def _ended(training: "Training", outcome: str, message: str) -> "Training":
    return training.model_copy(update={"outcome": outcome, "message": message})
