"""Which artifact the release manifest or the digest file names, and whether this service can serve it."""

import logging

from skline import paths
from skline.artifact import Artifact, InvalidArtifact
from skline.errors import SklineError
from skline.release import compatibility
from skline.release.experiment import BUCKETS
from skline.release.manifest import Release, read_manifest
from skline.release.mirror import ReleaseMirror
from skline.release.verdict import read_verdict
from skline.serving.settings import ServiceSettings

log = logging.getLogger("skline.serving")


def open_mirror(settings: ServiceSettings) -> ReleaseMirror | None:
    """Copy the release if it is in object storage, and return what keeps the copy current; None if it is a file.

    Raises
    ------
    SklineError
        If it cannot be copied, and was not copied before.
    """
    if settings.release_address is None:
        return None
    mirror = ReleaseMirror(settings.release_address, settings.release_cache)
    if warning := mirror.start():
        log.warning("%s", warning)
    return mirror


def open_initial(settings: ServiceSettings) -> tuple[Artifact, Release | None]:
    """Open the artifact that is served first, and read the release that names it, if there is one.

    Raises
    ------
    SklineError
        If the manifest is broken, or the artifact does not match its digest.
    """
    path = settings.release_path
    release = None if path is None else read_manifest(path)
    if release is None or path is None:
        return _open_admitted(settings), None
    return Artifact.open(release.champion.folder(path.parent), release.champion.sha256), release


def _open_admitted(settings: ServiceSettings) -> Artifact:
    """Open the artifact of the settings; if there is none because its gates failed, the error says so."""
    try:
        return Artifact.open(settings.artifact, settings.expected_digest())
    except InvalidArtifact as error:
        path = settings.verdict_path
        if path is None or not path.exists() or settings.artifact.exists() or (verdict := read_verdict(path)).passed:
            raise
        raise InvalidArtifact(
            f"no model has passed its gates yet; the newest failed: {verdict.failures()} (see {paths.REPORT}). Change "
            "the model or the limits in params.yaml, and run `dvc repro`; "
            f"`skline serve --artifact {paths.CANDIDATE}` serves it all the same"
        ) from error


def rejected_candidate(settings: ServiceSettings, served: Artifact) -> str | None:
    """Return why the newest candidate of the pipeline is not served; None if its gates passed, or there is none.

    Raises
    ------
    SklineError
        If the verdict cannot be read.
    """
    path = settings.verdict_path
    if path is None or not path.exists():
        return None
    verdict = read_verdict(path)
    if verdict.passed or verdict.artifact_sha256 == served.digest:
        return None
    version = f"{served.manifest.name}@{verdict.artifact_sha256[:12]}"
    return f"{version} failed its gates, and {served.version} stays in service: {verdict.failures()}"


def require_same_contract(artifact: Artifact, served: Artifact) -> None:
    """Reject a champion of another contract, because the routes are built from the served one's."""
    if artifact.contract.digest() != served.contract.digest():
        raise InvalidArtifact(
            f"{artifact.version} has another contract than {served.version}, with which this service was started; "
            "restart it to serve the new one"
        )


def challenger_columns(artifact: Artifact, served: Artifact) -> tuple[str, ...] | None:
    """Return the inputs of this service that a challenger reads; None if it reads all of them, in their order.

    Raises
    ------
    InvalidArtifact
        If it reads columns that requests do not have, or predicts something else.
    """
    try:
        return compatibility.challenger_columns(artifact.contract, served.contract)
    except SklineError as error:
        raise InvalidArtifact(f"{artifact.version} cannot be a challenger of {served.version}: {error}") from None


def summary(release: Release) -> str:
    """Describe a release for the log: its champion, and its challenger with its share of the traffic."""
    text = release.champion.version
    if release.challenger is not None and release.experiment is not None:
        shadow = release.challenger.mode == "shadow"
        share = "as shadow" if shadow else f"for {release.challenger.weight * 100 / BUCKETS:g} %"
        text += f", {release.challenger.version} {share} ({release.experiment.kind} {release.experiment.name})"
    return text
