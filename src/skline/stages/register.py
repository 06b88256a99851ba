"""Record the result in MLflow, and the version outside of it. No cache restores its output: it runs in each clone.

It records each result once. The line in releases/registered.jsonl is written last: if the stage is interrupted, the
next run finds the version and writes the line.
"""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skline import clock, paths
from skline.artifact import Artifact, Manifest
from skline.engine import version
from skline.registry.database import create_database
from skline.registry.mlflow_model import ARTIFACT_FOLDER, MODEL_FOLDER, mlflow_model_files
from skline.registry.record import (
    CHAMPION_TAG,
    FAILURES_TAG,
    UNDECIDED_TAG,
    VERDICT_TAG,
    RunRecord,
    fingerprint,
    open_client,
    register,
    tracking_uri,
)
from skline.registry.reproducibility import describe, differing_outputs
from skline.registry.working_tree import committed_text, describe_uncommitted, git_state, uncommitted_diff
from skline.release.manifest import Release, read_manifest
from skline.release.registered import RecordedVerdict, RegisteredVersion, record_version
from skline.release.verdict import Verdict, read_verdict
from skline.search.result import NO_SEARCH, SearchResult


def build_record(
    lock: Mapping[str, Any],
    artifact: Artifact,
    code: Mapping[str, str],
    params: Mapping[str, Any],
    source: str,
    commit: tuple[str | None, bool | None],
    diff: str,
    verdict: Verdict | None = None,
    search: SearchResult = NO_SEARCH,
) -> RunRecord:
    """Collect the content of the MLflow run.

    Parameters
    ----------
    lock : mapping
        dvc.lock.
    artifact : Artifact
        The artifact that is registered.
    code : mapping
        The project's Python files, to which a pipeline may refer, by path.
    params : mapping
        params.yaml; nested keys become dotted names.
    source : str
        Where the table comes from.
    commit : tuple
        The commit, and whether the working tree differs from it; see `git_state`.
    diff : str
        Uncommitted changes.
    verdict : Verdict, optional
        Ignored if it is about another artifact.
    search : SearchResult
        The result of `train.search`.
    """
    digest_of_result, md5 = fingerprint(lock)
    manifest, digest, tuning = artifact.manifest, artifact.digest, artifact.manifest.tuning
    return RunRecord(
        fingerprint=digest_of_result,
        md5=md5,
        params=flatten(params),
        metrics={name: value for name, value in flatten(manifest.metrics).items() if isinstance(value, int | float)},
        tags={
            "mlflow.source.git.commit": commit[0] or "",
            "git_dirty": str(commit[1]),
            "skline.version": version(),
            "artifact_sha256": digest,
            "task": manifest.task,
        },
        dataset={"name": manifest.name, "digest": manifest.data_sha256["train"][:32], "source": source},
        folders={f"{MODEL_FOLDER}/{ARTIFACT_FOLDER}": paths.ARTIFACT, paths.REPORTS.name: paths.REPORTS},
        model_files=mlflow_model_files(artifact, code),
        diff=diff,
        verdict=verdict_tags(verdict) if verdict is not None and verdict.artifact_sha256 == digest else {},
        search=search,
        threshold=tuning.threshold.value if tuning is not None and tuning.threshold is not None else None,
    )


def project_code(source: Path) -> dict[str, str]:
    """Return the Python files of the package `model` in the folder `source`, by their path in it."""
    files = sorted((source / "model").rglob("*.py"))
    return {path.relative_to(source).as_posix(): path.read_text(encoding="utf-8") for path in files}


def verdict_tags(verdict: Verdict) -> dict[str, str]:
    """Return the verdict as tags of a registered version."""
    return {
        VERDICT_TAG: "passed" if verdict.passed else "failed",
        FAILURES_TAG: "; ".join(gate.gate for gate in verdict.failed_gates)[:4000],
        UNDECIDED_TAG: "; ".join(gate.gate for gate in verdict.undecided_gates)[:4000],
        CHAMPION_TAG: verdict.champion_sha256 or "",
    }


def build_line(
    manifest: Manifest,
    digest: str,
    version: str,
    commit: tuple[str | None, bool | None],
    verdict: Verdict | None,
    verdict_sha256: str | None,
    now: dt.datetime,
) -> RegisteredVersion:
    """Collect what is recorded of a registered version; a verdict on another artifact is left out.

    `commit` is what `git_state` returns.
    """
    is_about_it = verdict is not None and verdict.artifact_sha256 == digest
    return RegisteredVersion(
        time=now,
        model=manifest.registered_model,
        version=version,
        artifact_sha256=digest,
        contract_sha256=manifest.contract_sha256,
        git_commit=commit[0],
        git_dirty=commit[1],
        verdict=RecordedVerdict.of(verdict) if verdict is not None and is_about_it else None,
        verdict_sha256=verdict_sha256 if is_about_it else None,
    )


def describe_service(release: Release | None, version: str, digest: str) -> str | None:
    """Return which version the service serves, if it is another one than the registered; None if it is this one.

    Parameters
    ----------
    release : Release or None
        The release in force; without one, the service serves what the gates admitted last.
    version, digest : str
        The number of the registered version, and the digest of its artifact.
    """
    if release is None or release.champion.sha256 == digest:
        return None
    served = f"{release.champion.version} is in service (release {release.number})"
    return f"{served}; `skline promote {version}` serves this one"


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings: {"train": {"seed": 1}} → {"train.seed": 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value})
    return flat


def main() -> None:
    """Read dvc.lock, the artifact and the verdict; create or find the MLflow run and its version, and record it."""
    import yaml

    from skline.artifact import read_digest
    from skline.files import read_json, sha256, write_text
    from skline.settings import Settings

    settings = Settings.load()
    lock = yaml.safe_load(paths.DVC_LOCK.read_text()) if paths.DVC_LOCK.exists() else {}
    artifact = Artifact.open(paths.ARTIFACT, read_digest(paths.ARTIFACT_DIGEST))
    manifest = artifact.manifest
    verdict = read_verdict(paths.VERDICT) if paths.VERDICT.exists() else None
    commit = git_state(Path.cwd())
    record = build_record(
        lock,
        artifact,
        project_code(paths.SOURCE),
        settings.model_dump(mode="json", by_alias=True, exclude_none=True),
        settings.source.uri,
        commit,
        uncommitted_diff(Path.cwd()),
        verdict,
        SearchResult.from_json(read_json(paths.SEARCH)),
    )
    uri = tracking_uri(settings.register_)
    create_database(uri)
    with open_client(uri, settings.register_.timeout) as mlflow_client:
        registered = register(mlflow_client, manifest.registered_model, record)
    verdict_sha256 = None if verdict is None else sha256(paths.VERDICT)
    now = clock.now()
    line = build_line(manifest, artifact.digest, registered.version, commit, verdict, verdict_sha256, now)
    record_version(paths.REGISTERED, line)
    write_text(paths.REGISTERED_DIGEST, artifact.digest + "\n")
    state = "new" if registered.created else "existing"
    details = f"; {registered.provenance}" if registered.provenance else ""
    recorded_as = f"{manifest.registered_model} version {registered.version}"
    advice = "" if line.git_commit else " (commit, and the next version names it)"
    print(f"{recorded_as}, {state} run {registered.run_id}{details}; {line.made_from}{advice}")
    if served := describe_service(read_manifest(paths.RELEASE), registered.version, artifact.digest):
        print(served)
    committed = committed_text(Path.cwd(), paths.DVC_LOCK.name)
    if differing := differing_outputs(yaml.safe_load(committed) if committed else {}, lock):
        print(describe(differing))
    if changes := describe_uncommitted(Path.cwd()):
        print(changes)
