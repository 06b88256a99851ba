"""How a registered version gets in front of users: whole, or as the challenger of whoever serves."""

import datetime as dt
import re
import secrets
from dataclasses import dataclass
from functools import partial
from typing import Any

from skline import paths
from skline.artifact import Artifact
from skline.errors import SklineError
from skline.evaluation import verdict
from skline.release import artifacts
from skline.release.changes import Releases, alone, check_unchanged
from skline.release.experiment import BUCKETS, Design, Experiment, Kind, Step
from skline.release.fit import columns_of
from skline.release.journal import Action, Approval, Entry, Judged
from skline.release.manifest import Arm, Release
from skline.release.versions import Registry, Version
from skline.settings import Settings


@dataclass(frozen=True)
class How:
    """What a promotion is to be: without `kind`, the whole of it.

    `percents` is a canary's ramp, `every` the time between two of its steps; `share` is an A/B challenger's percent.
    """

    kind: Kind | None = None
    percents: tuple[float, ...] = ()
    every: dt.timedelta | None = None
    share: float = 50
    design: Design | None = None


def promote(
    releases: Releases, registry: Registry, settings: Settings, wanted: str | None, how: How, approval: Approval | None,
    why: str,
) -> tuple[Entry, list[str]]:  # fmt: skip
    """Promote a version; returns the journal's entry, and what people should know besides.

    Nothing is changed before the version was found, judged, fetched, verified and proved.

    Raises
    ------
    SklineError
        If it may not be promoted, or cannot be.
    """
    if settings.release.approval == "required" and approval is None:
        raise SklineError(
            "release.approval is 'required' in params.yaml: say who answers for it, with --approve NAME --reason WHY"
        )
    current = releases.current()
    check_possible(current, how)
    version = registry.find(wanted)
    check_new(current, version, how)
    judged = judge(version, current, approval)
    digest = version.artifact_sha256
    artifact = artifacts.keep(releases.artifacts, digest, partial(registry.download, version))
    notes = check_fit(releases, current, artifact, how)
    arm = Arm(name="champion", version=version.label, artifact=f"{paths.RELEASED.name}/{digest}", sha256=digest)
    action, what = describe(current, version, how)

    def change(release: Release | None) -> dict[str, Any]:
        check_unchanged(release, current)
        return compose(release, arm, how, settings)

    return releases.change(action, what, change, why=why, approval=approval, verdict=judged), notes


def aliases(entry: Entry, before: Release | None) -> dict[str, str]:
    """Where the registry's aliases point after a change."""
    release = entry.release
    challenger = release.challenger
    found = {"champion": number_of(release.champion)}
    if before is not None and before.champion.sha256 != release.champion.sha256:
        found["previous"] = number_of(before.champion)
    if challenger is not None:
        found["challenger"] = number_of(challenger)
    return found


def number_of(arm: Arm) -> str:
    """The registered version's number."""
    return arm.version.rpartition("/")[2]


def judge(version: Version, current: Release | None, approval: Approval | None) -> Judged:
    """Look for the verdict on a version: its tag in the registry, or reports/verdict.json if that is about it.

    A verdict is stale if its champion is not the one that serves now; then somebody must answer for the promotion.
    """
    passed, failures, against, source = version.verdict, version.failures, version.against, "registry"
    if passed is None and paths.VERDICT.exists():
        local = verdict.read(paths.VERDICT)
        if local.artifact_sha256 == version.artifact_sha256:
            passed = "passed" if local.passed else "failed"
            failures = "; ".join(finding.gate for finding in local.failures())
            against, source = local.champion_sha256 or "", str(paths.VERDICT)
    if passed is None:
        raise SklineError(f"no gate has judged {version.label}; run `dvc repro`, which judges and registers it")
    if passed != "passed":
        raise SklineError(f"{version.label} failed its gates ({failures or 'none passed'}); reports/ say why")
    champion = "" if current is None else current.champion.sha256
    stale = bool(champion) and against != champion
    if stale and approval is None:
        compared = f"the champion {against[:12]}" if against else "no champion"
        raise SklineError(
            f"{version.label} was judged against {compared}, and {champion[:12]} serves now; `dvc repro` judges it "
            "anew, or say who answers for it: --approve NAME --reason WHY"
        )
    return Judged(passed=True, source=source, champion_sha256=against or None, stale=stale)


def check_possible(current: Release | None, how: How) -> None:
    """Refuse an experiment without a champion."""
    if how.kind is not None and current is None:
        raise SklineError(f"{how.kind}: nothing is promoted yet to compare with; `skline promote VERSION` first")


def check_new(current: Release | None, version: Version, how: How) -> None:
    """Refuse what is served already, and a second experiment beside the first."""
    if current is None:
        return
    same = current.champion.sha256 == version.artifact_sha256
    if same and how.kind is None and current.experiment is None:
        raise SklineError(f"{version.label} is what release {current.number} serves already")
    if same and how.kind not in (None, "ab"):
        raise SklineError(f"{version.label} is the champion; it cannot be its own challenger")
    running = current.experiment
    if how.kind is not None and running is not None and not ramps(current, version, how):
        raise SklineError(f"{running.name} is running; end it with `skline abort` or promote its challenger first")


def ramps(current: Release, version: Version, how: How) -> bool:
    """Whether this is another step of the running canary."""
    running, challenger = current.experiment, current.challenger
    return (
        how.kind == "canary"
        and running is not None
        and running.kind == "canary"
        and challenger is not None
        and challenger.sha256 == version.artifact_sha256
    )


def check_fit(releases: Releases, current: Release | None, artifact: Artifact, how: How) -> list[str]:
    """Refuse a challenger that cannot stand beside the champion; say if a new champion needs a restart."""
    if current is None:
        return []
    champion = Artifact.open(releases.folder / current.champion.artifact, current.champion.sha256)
    if how.kind is not None:
        try:
            columns_of(artifact.contract, champion.contract)
        except SklineError as error:
            raise SklineError(f"{artifact.version} cannot stand beside {champion.version}: {error}") from None
    elif artifact.contract.digest() != champion.contract.digest():
        return ["its contract is another than the champion's: a running service refuses it until it is restarted"]
    return []


def compose(current: Release | None, arm: Arm, how: How, settings: Settings) -> dict[str, Any]:
    """Arms and experiment of the new release."""
    if how.kind is None or current is None:
        return {"arms": alone(arm)}
    now = dt.datetime.now(dt.UTC)
    number = current.number + 1
    name, salt, started = f"{how.kind}-{number}", secrets.token_hex(8), now
    running, challenger = current.experiment, current.challenger
    if how.kind == "canary" and running is not None and challenger is not None:  # a step: the same entities stay in
        name, salt = running.name, running.salt
        started = now if how.every is not None else running.started_at
    steps: tuple[Step, ...] = ()
    weight = weight_of(how.share) if how.kind == "ab" else weight_of(how.percents[0]) if how.percents else 0
    if how.every is not None:
        seconds = int(how.every.total_seconds())
        steps = tuple(Step(after_seconds=i * seconds, weight=weight_of(p)) for i, p in enumerate(how.percents))
    experiment = Experiment(
        name=name, kind=how.kind, salt=salt, started_at=started, steps=steps, guards=settings.release.guards,
        design=how.design,
    )  # fmt: skip
    mode = "shadow" if how.kind == "shadow" else "live"
    return {
        "arms": (
            current.champion.model_copy(update={"weight": BUCKETS - weight}),
            arm.model_copy(update={"name": "challenger", "weight": weight, "mode": mode}),
        ),
        "experiment": experiment,
    }


def describe(current: Release | None, version: Version, how: How) -> tuple[Action, str]:
    """What the journal calls it."""
    if how.kind is None:
        return "promote", version.label + (f", instead of {current.champion.version}" if current else "")
    if how.kind == "shadow":
        return "shadow", f"{version.label} scores unseen"
    if how.kind == "ab":
        return "ab", f"{version.label} for {how.share:g} %"
    ramp = " → ".join(f"{percent:g}" for percent in how.percents)
    return (
        "ramp" if current is not None and ramps(current, version, how) else "canary",
        f"{version.label} for {ramp} %" + (f", a step every {how.every}" if how.every else ""),
    )


def weight_of(percent: float) -> int:
    """A percentage in ten-thousandths."""
    weight = round(percent * BUCKETS / 100)
    if not 0 < weight < BUCKETS:
        raise SklineError(f"{percent:g} %: give a share above 0 and below 100; the whole is `skline promote VERSION`")
    return weight


def read_duration(text: str) -> dt.timedelta:
    """Read 90s, 30m, 12h or 2d."""
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if found is None or not int(found[1]):
        raise SklineError(f"{text!r} is no duration; write 90s, 30m, 12h or 2d")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[found[2]]
    return dt.timedelta(**{unit: int(found[1])})
