"""The verdict that a version needs to be promoted: that of its registration, unless a newer assessment rejects it."""

import datetime as dt
from collections.abc import Mapping

from skline import paths
from skline.errors import SklineError
from skline.registry.versions import Version
from skline.release.fetching import confirm_digest
from skline.release.journal import Approval, Entry, PromotionVerdict
from skline.release.manifest import Release
from skline.release.registered import RecordedVerdict, RegisteredVersion
from skline.release.store import ReleaseStore
from skline.release.verdict import Verdict, read_verdict


class RejectedSince(SklineError):
    """The version was registered because it passed its gates, and fails them in the newest assessment."""


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
