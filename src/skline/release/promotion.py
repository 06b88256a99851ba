"""Promote a registered version: as the new champion, or as a challenger in an experiment."""

import datetime as dt
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from skline import clock, paths
from skline.artifact import Artifact
from skline.canary_limits import Guards
from skline.errors import SklineError
from skline.registry.versions import Registry, Version
from skline.release.artifacts import ensure_artifact
from skline.release.compatibility import challenger_columns
from skline.release.experiment import BUCKETS, Design, Experiment, Kind, RampStep
from skline.release.fetching import confirm_digest
from skline.release.journal import Action, Approval, Entry, PromotionVerdict
from skline.release.manifest import Arm, Release
from skline.release.registered import RecordedVerdict, RegisteredVersion
from skline.release.store import ReleaseStore, champion_only, require_unchanged
from skline.release.verdict import Verdict, read_verdict

#: Entities that the smaller arm of an A/B test needs at its first look.
MIN_LOOK_ENTITIES = 25


class RejectedSince(SklineError):
    """The version was registered because it passed its gates, and fails them in the newest assessment."""


@dataclass(frozen=True)
class PromotionPlan:
    """How a version is promoted: without `kind`, as the champion.

    `percents` are the shares of a canary's ramp, `every` the time between two of its steps; `share` is an A/B
    challenger's percentage.
    """

    kind: Kind | None = None
    percents: tuple[float, ...] = ()
    every: dt.timedelta | None = None
    share: float = 50
    design: Design | None = None


def promote(
    releases: ReleaseStore,
    registry: Registry,
    requested: str | None,
    plan: PromotionPlan,
    approval: Approval | None,
    why: str,
    *,
    approval_required: bool,
    guards: Guards,
    accepted_digest: str | None = None,
    follows: int | None = None,
) -> tuple[Entry, list[str]]:
    """Promote a version.

    Nothing is changed before the version is found, its digest is confirmed by the record of registered versions, its
    verdict is checked, and its artifact is fetched and verified.

    Parameters
    ----------
    releases : ReleaseStore
    registry : Registry
    requested : str or None
        Number or alias of the version; None for the challenger.
    plan : PromotionPlan
    approval : Approval or None
    why : str
        Reason, for the journal.
    approval_required : bool
        Reject a promotion without an approval.
    guards : Guards
        Limits of a canary.
    accepted_digest : str, optional
        Digest of a version that the record does not list, from the person who promotes it.
    follows : int, optional
        Number of the release that has to be in force; 0 is none.

    Returns
    -------
    The journal's entry, and notes for the user.

    Raises
    ------
    SklineError
        If the version must not be promoted, or cannot be.
    """
    current = releases.current()
    require_permission(current, approval, follows, approval_required=approval_required)
    require_champion(current, plan)
    require_look_size(plan)
    version = registry.find(requested)
    require_new(current, version, plan)
    verdict, notes = check_version(releases, version, current, approval, accepted_digest)
    digest = version.artifact_sha256
    artifact = ensure_artifact(releases.artifacts, digest, partial(registry.download, version))
    notes = [*check_compatibility(releases, current, artifact, plan), *notes]
    arm = Arm(name="champion", version=version.label, artifact=f"{paths.RELEASED.name}/{digest}", sha256=digest)
    action, what = describe_promotion(current, version, plan)

    def build(release: Release | None) -> dict[str, Any]:
        require_unchanged(release, current)
        return build_release(release, arm, plan, guards)

    entry = releases.publish(
        action, what, build, why=why, approval=approval, verdict=verdict, accepted_digest=accepted_digest
    )
    return entry, notes


def restore_champion(releases: ReleaseStore, registry: Registry) -> Arm | None:
    """Fetch the champion's artifact again if its folder was deleted; return the champion then, else None.

    Raises
    ------
    SklineError
        If the registry cannot be used, or does not have the artifact with the digest of the release.
    """
    current = releases.current()
    if current is None or (releases.folder / current.champion.artifact).exists():
        return None
    champion = current.champion
    version = registry.find(champion.number)
    ensure_artifact(releases.artifacts, champion.sha256, partial(registry.download, version))
    return champion


def require_permission(
    current: Release | None, approval: Approval | None, follows: int | None, *, approval_required: bool
) -> None:
    """Reject a promotion without a required approval, or after another release than the one that it is to follow."""
    if approval_required and approval is None:
        raise SklineError(
            "release.approval is 'required' in params.yaml: name the approver with --approve NAME --reason WHY"
        )
    if follows is not None and follows != (0 if current is None else current.number):
        raise SklineError("another command has published a release meanwhile; check `skline releases`")


def require_champion(current: Release | None, plan: PromotionPlan) -> None:
    """Reject an experiment without a champion."""
    if plan.kind is not None and current is None:
        raise SklineError(f"{plan.kind}: nothing is promoted yet to compare with; `skline promote VERSION` first")


def require_look_size(plan: PromotionPlan) -> None:
    """Reject an A/B test whose first look has so few entities that their mean is not nearly normal."""
    if plan.design is None:
        return
    share = min(plan.share, 100 - plan.share) / 100
    entities = plan.design.units * share / plan.design.looks
    if entities < MIN_LOOK_ENTITIES:
        raise SklineError(
            f"the first of {plan.design.looks} looks has {entities:.0f} entities in the smaller arm, and it needs "
            f"{MIN_LOOK_ENTITIES}; plan more --entities, fewer --looks, or a --share nearer to 50"
        )


def require_new(current: Release | None, version: Version, plan: PromotionPlan) -> None:
    """Reject a version that is served already, and a second experiment while one is running."""
    if current is None:
        return
    is_champion = current.champion.sha256 == version.artifact_sha256
    if is_champion and plan.kind is None and current.experiment is None:
        raise SklineError(f"{version.label} is what release {current.number} serves already")
    if is_champion and plan.kind not in (None, "ab"):
        raise SklineError(f"{version.label} is the champion; it cannot be its own challenger")
    running = current.experiment
    if plan.kind is not None and running is not None and not is_ramp_step(current, version, plan):
        raise SklineError(
            f"{running.name} is running; end it with `uv run skline abort`, or promote its challenger first"
        )


def is_ramp_step(current: Release, version: Version, plan: PromotionPlan) -> bool:
    """Return whether the promotion is the next step of the running canary."""
    running, challenger = current.experiment, current.challenger
    return (
        plan.kind == "canary"
        and running is not None
        and running.kind == "canary"
        and challenger is not None
        and challenger.sha256 == version.artifact_sha256
    )


def check_version(
    releases: ReleaseStore,
    version: Version,
    current: Release | None,
    approval: Approval | None,
    accepted_digest: str | None,
) -> tuple[PromotionVerdict, list[str]]:
    """Return the verdict on a version whose digest is confirmed, and a note on undecided gates and an approved failure.

    Raises
    ------
    SklineError
        If the digest is not confirmed, or as `check_verdict` says.
    """
    registered = confirm_digest(releases.registered, version, accepted_digest)
    served = next((entry for entry in releases.history() if _serves(entry.release, version)), None)
    known_versions = releases.known_versions()
    verdict, undecided = check_verdict(version, registered, current, approval, known_versions, served)
    if not verdict.passed:
        return verdict, [f"{version.label} failed its gates in {verdict.source}, and is published as approved"]
    if not undecided:
        return verdict, []
    return verdict, [f"undecided gates of {version.label}: {undecided}; see {_report_of(version)}"]


def check_verdict(
    version: Version,
    registered: RegisteredVersion | None,
    current: Release | None,
    approval: Approval | None,
    known_versions: Mapping[str, str],
    served: Entry | None = None,
) -> tuple[PromotionVerdict, str]:
    """Return the verdict on a version, and the undecided gates as text.

    `known_versions` maps digests to versions, and `served` is the last release that had this version as its champion.
    A verdict is stale if it compared with another champion than the one in force; then an approval is needed. So it is
    if a version that passed its gates fails them in a newer assessment: the returned verdict is that one then.

    Raises
    ------
    RejectedSince
        If a newer assessment failed, and there is no approval.
    SklineError
        If there is no verdict, a gate failed, or the verdict is stale and there is no approval.
    """
    verdict, source = find_verdict(version, registered)
    if verdict is None:
        raise SklineError(f"{version.label} has no verdict of the gates; run `dvc repro`, which assesses and registers")
    if not verdict.passed:
        failed = "; ".join(verdict.failed) or "none passed"
        raise SklineError(f"{version.label} failed its gates ({failed}); see {paths.REPORT}")
    back = "" if served is None else f"`skline rollback --to {served.release.number}`"
    returning = f"{back} returns to the release that served it; otherwise " if back else ""
    rejection = find_rejection(version, registered)
    if rejection is not None and approval is None:
        raise RejectedSince(
            f"{version.label} passed its gates when it was registered, and fails them in the newest assessment "
            f"({'; '.join(rejection.failed) or 'none passed'}); see {paths.REPORT}; {returning}change the limits in "
            "params.yaml and run `dvc repro`, or approve it with --approve NAME --reason WHY"
        )
    if rejection is not None:
        verdict, source = rejection, str(paths.VERDICT)
    champion, compared_with = "" if current is None else current.champion.sha256, verdict.champion_sha256
    stale = bool(champion) and compared_with != champion
    if stale and approval is None:
        now, then = (known_versions.get(digest or "", (digest or "")[:12]) for digest in (champion, compared_with))
        compared = f"the champion {then}" if then else "no champion"
        raise SklineError(
            f"{version.label} was compared with {compared}, and the champion is {now} now; "
            f"{returning}{_assess_again(version, registered)}approve it with --approve NAME --reason WHY"
        )
    checked = PromotionVerdict(passed=verdict.passed, source=source, champion_sha256=compared_with, stale=stale)
    return checked, "; ".join(verdict.undecided)


def _assess_again(version: Version, registered: RegisteredVersion | None) -> str:
    """Say how a version is assessed again: `dvc repro` assesses what the files of the project make."""
    if _newest_assessment(version) is not None:
        return "run `dvc repro` to assess it again, or "
    commit = None if registered is None else registered.git_commit
    return "" if commit is None else f"check out its commit {commit[:12]} and run `dvc repro` to assess it again, or "


def _serves(release: Release, version: Version) -> bool:
    """Whether a version is the champion of a release."""
    return release.champion.sha256 == version.artifact_sha256


def _report_of(version: Version) -> str:
    """Name the report on a version: that of the project if it is about the same artifact, else that of its run."""
    if _newest_assessment(version) is not None:
        return str(paths.REPORT)
    return f"{paths.REPORT} of MLflow's run {version.run_id}"


def find_rejection(version: Version, registered: RegisteredVersion | None) -> RecordedVerdict | None:
    """Return the failed verdict of reports/verdict.json on a version, if the version was registered before.

    The stage `gate` stops a failed assessment before `register`, so the record does not list it. A file that is older
    than the line of the record says nothing about the version: another machine has assessed it since.
    """
    verdict = _newest_assessment(version)
    if verdict is None or verdict.passed:
        return None
    written = dt.datetime.fromtimestamp(paths.VERDICT.stat().st_mtime, dt.UTC)
    return None if registered is not None and written < registered.time else RecordedVerdict.of(verdict)


def _newest_assessment(version: Version) -> Verdict | None:
    """Return reports/verdict.json if it is about the artifact of a version, and can be read by this engine."""
    try:
        verdict = read_verdict(paths.VERDICT)
    except SklineError:
        return None
    return verdict if verdict.artifact_sha256 == version.artifact_sha256 else None


def find_verdict(version: Version, registered: RegisteredVersion | None) -> tuple[RecordedVerdict | None, str]:
    """Return the verdict on a version, and its source.

    It is that of the record, else that of reports/verdict.json if it is about the same artifact. The registry's tags
    count only if there is no line in the record because a person accepted the digest.
    """
    if registered is not None and registered.verdict is not None:
        return registered.verdict, str(paths.REGISTERED)
    if paths.VERDICT.exists():
        local = read_verdict(paths.VERDICT)
        if local.artifact_sha256 == version.artifact_sha256:
            return RecordedVerdict.of(local), str(paths.VERDICT)
    if registered is not None or version.verdict is None:
        return None, ""
    tags = RecordedVerdict(
        passed=version.verdict == "passed",
        failed=tuple(filter(None, version.failures.split("; "))),
        undecided=tuple(filter(None, version.undecided.split("; "))),
        champion_sha256=version.champion_sha256 or None,
    )
    return tags, "registry"


def check_compatibility(
    releases: ReleaseStore, current: Release | None, artifact: Artifact, plan: PromotionPlan
) -> list[str]:
    """Reject a challenger that does not fit the champion; return a note if services have to be restarted."""
    if current is None:
        return []
    champion = Artifact.open(current.champion.folder(releases.folder), current.champion.sha256)
    if plan.kind is not None:
        try:
            challenger_columns(artifact.contract, champion.contract)
        except SklineError as error:
            raise SklineError(f"{artifact.version} cannot be a challenger of {champion.version}: {error}") from None
    elif artifact.contract.digest() != champion.contract.digest():
        note = (
            "its contract differs from that of the champion before: a running service that serves that one goes on "
            "with it until it is restarted"
        )
        return [note]
    return []


def build_release(current: Release | None, arm: Arm, plan: PromotionPlan, guards: Guards) -> dict[str, Any]:
    """Return arms and experiment of the new release."""
    if plan.kind is None or current is None:
        return {"arms": champion_only(arm)}
    now = clock.now()
    number = current.number + 1
    name, salt, started_at = f"{plan.kind}-{number}", secrets.token_hex(8), now
    running, challenger = current.experiment, current.challenger
    if plan.kind == "canary" and running is not None and challenger is not None:
        name, salt = running.name, running.salt  # so that the challenger keeps its entities at the next step
        started_at = now if plan.every is not None else running.started_at
    steps: tuple[RampStep, ...] = ()
    weight = weight_of(plan.share) if plan.kind == "ab" else weight_of(plan.percents[0]) if plan.percents else 0
    if plan.every is not None:
        seconds = int(plan.every.total_seconds())
        steps = tuple(
            RampStep(after_seconds=index * seconds, weight=weight_of(percent))
            for index, percent in enumerate(plan.percents)
        )
    experiment = Experiment(
        name=name,
        kind=plan.kind,
        salt=salt,
        started_at=started_at,
        steps=steps,
        guards=guards,
        design=plan.design,
    )
    mode = "shadow" if plan.kind == "shadow" else "live"
    return {
        "arms": (
            current.champion.model_copy(update={"weight": BUCKETS - weight}),
            arm.model_copy(update={"name": "challenger", "weight": weight, "mode": mode}),
        ),
        "experiment": experiment,
    }


def describe_promotion(current: Release | None, version: Version, plan: PromotionPlan) -> tuple[Action, str]:
    """Return action and description for the journal."""
    if plan.kind is None:
        return "promote", version.label + (f", instead of {current.champion.version}" if current else "")
    if plan.kind == "shadow":
        return "shadow", f"{version.label} as shadow"
    if plan.kind == "ab":
        return "ab", f"{version.label} for {plan.share:g} %"
    ramp = " → ".join(f"{percent:g}" for percent in plan.percents)
    return (
        "ramp" if current is not None and is_ramp_step(current, version, plan) else "canary",
        f"{version.label} for {ramp} %" + (f", a step every {plan.every}" if plan.every else ""),
    )


def registry_aliases(entry: Entry, previous: Release | None) -> dict[str, str]:
    """Return the registry's aliases after a change, with the number of the version that each names."""
    release = entry.release
    aliases = {"champion": release.champion.number}
    if previous is not None and previous.champion.sha256 != release.champion.sha256:
        aliases["previous"] = previous.champion.number
    if release.challenger is not None:
        aliases["challenger"] = release.challenger.number
    return aliases


def weight_of(percent: float) -> int:
    """Return a percentage in ten-thousandths; SklineError unless it is between 0 and 100."""
    weight = round(percent * BUCKETS / 100)
    if not 0 < weight < BUCKETS:
        raise SklineError(
            f"{percent:g} %: a share must be above 0 and below 100; `skline promote VERSION` serves all requests"
        )
    return weight
