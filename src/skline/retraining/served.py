"""The versions that served, by the metric on their test part: does the one in service fall short of an earlier one?

The test part of a version that was trained soon after a change has rows of after the change. Its own value is low
there, so that monitoring, which compares with it, finds nothing: the version before is the one to compare it with.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from skline.artifact import EVALUATION, MANIFEST, InvalidArtifact
from skline.evaluation.metrics import lower_is_better
from skline.monitoring.estimates import Estimate, estimate
from skline.monitoring.loss import is_worse_beyond_chance
from skline.release.journal import Entry


class Served(NamedTuple):
    """A version that served, since when, and the metric that models are compared by on its test part."""

    since: dt.datetime
    digest: str
    name: str
    metric: Estimate


def below_since(served: Sequence[Served], margin: float) -> dt.datetime | None:
    """Return since when the versions in service are worse on their test part than the best one that served before.

    Parameters
    ----------
    served : sequence of Served
        In the order of time; the last one serves. Those with another metric than it has are left out.
    margin : float
        `monitor.performance.margin`: a loss that is tolerated.

    Returns
    -------
    The time of the first version after the best one, if the last version is worse than that by more than the margin,
    beyond the chance in both values; else None.
    """
    known = [each for each in served if each.metric.value is not None and each.name == served[-1].name]
    if len(known) < 2 or known[-1] is not served[-1]:
        return None
    better: Literal["higher", "lower"] = "lower" if lower_is_better(served[-1].name) else "higher"
    sign = 1 if better == "higher" else -1
    best = max(range(len(known)), key=lambda index: (sign * (known[index].metric.value or 0.0), index))
    if not is_worse_beyond_chance(known[-1].metric, known[best].metric, better, margin):
        return None
    return known[best + 1].since


def read_served(folder: Path, history: Iterable[Entry], now: dt.datetime) -> list[Served]:
    """Return the champions of releases up to a moment, oldest first; one whose artifact is no longer there is left out.

    Parameters
    ----------
    folder : Path
        That of the release manifest, which the paths of artifacts are relative to.
    history : iterable of Entry
        Newest first, as `ReleaseStore.history` yields them.
    now : datetime

    Raises
    ------
    InvalidArtifact
        If the results in an artifact are not those that its digest covers.
    """
    found: list[Served] = []
    for entry in reversed(list(history)):
        arm, since = entry.release.champion, entry.release.published_at
        artifact = folder / arm.artifact
        if since > now or (found and found[-1].digest == arm.sha256) or not artifact.is_dir():
            continue
        results = read_results(artifact, arm.sha256)
        name = str(results.get("metric"))
        ends = (results.get("intervals") or {}).get(name) or (None, None)
        found.append(Served(since, arm.sha256, name, estimate((results.get("metrics") or {}).get(name), *ends)))
    return found


def read_results(folder: Path, digest: str) -> dict[str, Any]:
    """Return the results on the test part of an artifact, without reading the rest of it; empty if it has none.

    Raises
    ------
    InvalidArtifact
        If the manifest does not have the digest, or the results do not have the sha256 of the manifest.
    """
    manifest = (folder / MANIFEST).read_bytes()
    if hashlib.sha256(manifest).hexdigest() != digest:
        raise InvalidArtifact(f"{folder / MANIFEST} does not have the sha256 {digest}; it was changed")
    expected = json.loads(manifest)["files"].get(EVALUATION)
    if expected is None:
        return {}
    content = (folder / EVALUATION).read_bytes()
    if hashlib.sha256(content).hexdigest() != expected:
        raise InvalidArtifact(f"{folder / EVALUATION} does not have the sha256 of the manifest; it was changed")
    results: dict[str, Any] = json.loads(content)
    return results
