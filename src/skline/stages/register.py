"""Record the result in MLflow. The stage has no outs, so that no cache ever skips it; it records once."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skline import paths
from skline.artifact import Manifest
from skline.evaluation import verdict
from skline.evaluation.verdict import Verdict
from skline.registry import (
    AGAINST_TAG,
    FAILURES_TAG,
    VERDICT_TAG,
    Result,
    client,
    fingerprint,
    register,
    uncommitted,
)
from skline.search.found import NO_SEARCH, Found


def describe(
    lock: Mapping[str, Any],
    manifest: Manifest,
    digest: str,
    params: Mapping[str, Any],
    source: str,
    diff: str,
    judged: Verdict | None = None,
    search: Found = NO_SEARCH,
) -> Result:
    """Collect what the run will say.

    Parameters
    ----------
    lock : mapping
        dvc.lock.
    manifest : Manifest
        The artifact's.
    digest : str
        The artifact's.
    params : mapping
        params.yaml; nested keys become dotted names.
    source : str
        Where the table came from.
    diff : str
        Uncommitted changes.
    judged : Verdict or None
        What the gates said; of another artifact it counts as none.
    search : Found
        What `train.search` tried.
    """
    mark, md5 = fingerprint(lock)
    return Result(
        fingerprint=mark,
        md5=md5,
        params=flat(params),
        metrics={name: value for name, value in flat(manifest.metrics).items() if isinstance(value, int | float)},
        tags={
            "mlflow.source.git.commit": manifest.git_commit or "",
            "git_dirty": str(manifest.git_dirty),
            "artifact_sha256": digest,
            "task": manifest.task,
        },
        dataset={"name": manifest.name, "digest": manifest.data_sha256["train"][:32], "source": source},
        folders=(paths.ARTIFACT, paths.REPORTS),
        diff=diff,
        verdict=tags_of(judged) if judged is not None and judged.artifact_sha256 == digest else {},
        search=search,
    )


def tags_of(judged: Verdict) -> dict[str, str]:
    """The verdict as tags of a registered version, which `skline promote` goes by."""
    return {
        VERDICT_TAG: "passed" if judged.passed else "failed",
        FAILURES_TAG: "; ".join(finding.gate for finding in judged.failures())[:4000],
        AGAINST_TAG: judged.champion_sha256 or "",
    }


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings: {"train": {"seed": 1}} → {"train.seed": 1}."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        found.update(flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value})
    return found


def main() -> None:
    """Read dvc.lock and the artifact; make or find the MLflow run and its registered version."""
    import yaml

    from skline.artifact import MANIFEST, read_digest
    from skline.files import read_json
    from skline.settings import Settings

    settings = Settings.load()
    lock = yaml.safe_load(paths.DVC_LOCK.read_text()) if paths.DVC_LOCK.exists() else {}
    manifest = Manifest.model_validate(read_json(paths.ARTIFACT / MANIFEST))
    params = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    result = describe(
        lock,
        manifest,
        read_digest(paths.ARTIFACT_DIGEST),
        params,
        settings.source.uri,
        uncommitted(Path.cwd()),
        verdict.read(paths.VERDICT) if paths.VERDICT.exists() else None,
        Found.from_json(read_json(paths.SEARCH)),
    )
    uri = os.environ.get("MLFLOW_TRACKING_URI", settings.register_.tracking_uri)
    with client(uri, settings.register_.timeout) as mlflow_client:
        done = register(mlflow_client, manifest.registered_model, result)
    print(f"{manifest.registered_model} version {done.version}, {'new' if done.created else 'known'} run {done.run_id}")
