"""Trace an artifact: what is recorded about it, where it is, and which predictions and labels the log holds."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

from skline.errors import SklineError
from skline.ids import PREDICTION_ID_LENGTH
from skline.lineage.artifacts import ArtifactStore
from skline.lineage.models import ModelRecord, read_model
from skline.lineage.snapshots import Snapshot, read_snapshot
from skline.lineage.usage import Usage, count_predictions
from skline.logs.settings import LogSettings
from skline.registry.versions import ALIASES

DIGEST_DIGITS = 64
#: A digest, or its beginning with as many digits as a model version shows, or more; `NAME@` may be before it.
DIGEST = re.compile(r"(?:[^@/]+@)?(?:sha256:)?([0-9a-f]{12,64})")
#: The number of a registered version, with or without the name of the model.
NUMBER = re.compile(r"(?:(?P<model>[^@/]+)/)?(?P<number>[0-9]{1,9})")


@dataclass(frozen=True)
class ArtifactTrace:
    """An artifact, its data, and its predictions; `usages` has one entry a model version, none if the log has none."""

    model: ModelRecord
    snapshot: Snapshot
    usages: tuple[Usage, ...]


def trace_artifact(
    settings: LogSettings | None, store: ArtifactStore, requested: str, root: Path = Path()
) -> ArtifactTrace:
    """Trace the artifact that a digest, its beginning, or a number or alias of a registered version names.

    Parameters
    ----------
    settings : LogSettings or None
        None: there is no log, and no prediction is counted.
    store : ArtifactStore
    requested : str
    root : Path
        Root of the project.

    Raises
    ------
    SklineError
        If there is no such artifact on record, or the log cannot be read.
    """
    digest = find_digest(store, requested)
    model = read_model(store, digest)
    usages = [] if settings is None else count_predictions(settings, "artifact_digest", [digest])
    return ArtifactTrace(model, read_snapshot(root, digest, model.manifest), tuple(usages))


def names_artifact(text: str) -> bool:
    """Whether a text that is no prediction id looks like a version or the digest of an artifact."""
    is_digest = DIGEST.fullmatch(text) is not None and len(text) != PREDICTION_ID_LENGTH
    return text in ALIASES or is_digest or NUMBER.fullmatch(text) is not None


def find_digest(store: ArtifactStore, requested: str) -> str:
    """Return the digest of an artifact; see `trace_artifact`.

    Raises
    ------
    SklineError
        If nothing on record has this digest, number or alias, or several artifacts have it.
    """
    if requested in ALIASES:
        if store.registry is None:
            raise SklineError(
                f"{requested} is an alias of the registry, which is not used here; give a number or a digest"
            )
        return store.registry.find(requested).artifact_sha256
    if match := NUMBER.fullmatch(requested):
        model, number = match["model"], match["number"]
        lines = [each for each in store.registered() if each.version == number and model in (None, each.model)]
        found = tuple(dict.fromkeys(line.artifact_sha256 for line in lines))
        if len(found) > 1 and store.registry is not None:  # each registry has version numbers of its own
            found = (dataclasses.replace(store.registry, model=lines[-1].model).find(number).artifact_sha256,)
    elif match := DIGEST.fullmatch(requested):
        beginning = match[1]
        if len(beginning) == DIGEST_DIGITS:
            return beginning  # the log may hold predictions of an artifact that nothing else names any more
        found = tuple(each for each in store.known_digests() if each.startswith(beginning))
    else:
        raise SklineError(
            f"{requested!r} names no artifact; give the number of a registered version, one of {', '.join(ALIASES)}, "
            "or at least 12 digits of a digest"
        )
    if not found:
        raise SklineError(
            f"neither {store.releases.registered} nor {store.digest_file} nor a release has {requested!r}; give the "
            "whole digest of an artifact that is no longer on record"
        )
    if len(found) > 1:
        raise SklineError(f"{requested!r} is ambiguous: {', '.join(each[:12] + '…' for each in found)}; give a digest")
    return found[0]
