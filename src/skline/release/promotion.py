"""Promote a registered version: as the new champion, or as a challenger in an experiment."""

import datetime as dt
import secrets
from dataclasses import dataclass
from functools import partial
from typing import Any

from skline import clock, paths
from skline.artifact import Artifact
from skline.canary_limits import Guards
from skline.errors import SklineError
from skline.registry.versions import Registry, Version
from skline.release.artifacts import ensure_artifact
from skline.release.assessment import check_version
from skline.release.compatibility import challenger_columns
from skline.release.experiment import BUCKETS, Design, Experiment, Kind, RampStep
from skline.release.journal import Action, Approval, Entry
from skline.release.manifest import Arm, Release
from skline.release.store import ReleaseStore, champion_only, require_unchanged

#: Entities that the smaller arm of an A/B test needs at its first look.
MIN_LOOK_ENTITIES = 25


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
