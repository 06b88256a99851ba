"""MLflow: one run a distinct result, a registered version of it, and the aliases that point at versions.

A cached stage makes no run and a failed one may leave half a run, so runs are not made by training: they
are made here, from what `dvc.lock` says, and found again by a fingerprint that is written last.
"""

import os
import re
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skline.errors import SklineError
from skline.files import sha256_json
from skline.process import told
from skline.search.found import NO_SEARCH, Found

FINGERPRINT = "skline.fingerprint"
#: Tags of a registered version: what the gates said, which of them said no, and the champion they compared with.
VERDICT_TAG, FAILURES_TAG, AGAINST_TAG = "verdict", "verdict.failures", "verdict.champion_sha256"
#: Stages whose results make a result distinct.
RESULT_STAGES = ("split", "train", "evaluate")
#: Outs that do not: when the pipeline was fitted, how the code of the day scores it, and how long trials took.
NOT_RESULTS = ("models/origin.json", "models/scoring", "models/search.json")


@dataclass(frozen=True)
class Result:
    """What is to be recorded: facts from dvc.lock, params.yaml, the reports and git."""

    fingerprint: str
    md5: dict[str, str]
    params: dict[str, Any]
    metrics: dict[str, float]
    tags: dict[str, str]
    dataset: dict[str, str]
    folders: tuple[Path, ...]
    diff: str
    search: Found = NO_SEARCH
    verdict: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Registered:
    """Where a result is recorded; `created` tells whether this call made the run."""

    run_id: str
    version: str
    created: bool


def fingerprint(lock: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Digest data, model, metrics and parameters as dvc.lock names them.

    Returns
    -------
    The fingerprint, and the md5 of each output that went into it, by path.

    Raises
    ------
    SklineError
        If a stage is not in the lock.
    """
    stages = lock.get("stages", {})
    missing = [name for name in RESULT_STAGES if name not in stages]
    if missing:
        raise SklineError(f"dvc.lock knows nothing of {missing}; run the stages through `dvc repro`")
    md5 = {
        out["path"]: out["md5"]
        for name in RESULT_STAGES
        for out in stages[name]["outs"]
        if out["path"] not in NOT_RESULTS
    }
    params = {name: stages[name].get("params", {}) for name in RESULT_STAGES}
    return sha256_json({"outs": md5, "params": params}), md5


NOT_RECORDED = (
    "MLflow at {uri} does not take the result: {reason}. The artifact is in artifact/ all the same; "
    "once MLflow is back, run `dvc repro`"
)


@contextmanager
def client(tracking_uri: str, timeout: float, failed: str = NOT_RECORDED) -> Iterator[Any]:
    """Yield an MLflow client; an unreachable store becomes a SklineError after at most about `timeout` seconds.

    `failed` is that error's sentence, with {uri} and {reason}.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(max(1, round(timeout / 2))))
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import logging

    import mlflow
    import sqlalchemy.exc

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # its tracebacks say what the SklineError says
    try:
        mlflow.set_tracking_uri(tracking_uri)
        yield mlflow.MlflowClient()
    except (mlflow.exceptions.MlflowException, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        raise SklineError(failed.format(uri=shown(tracking_uri), reason=reason_of(error))) from error


def reason_of(error: BaseException) -> str:
    """Why a store cannot be used, in one line: what the system or SQLite said, without what was asked of it."""
    root = error
    while (inner := root.__cause__ or root.__context__) is not None:
        root = inner
    return told(root if isinstance(root, OSError | sqlite3.Error) else error)


def shown(tracking_uri: str) -> str:
    """A tracking URI without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:…@", tracking_uri)


def register(mlflow_client: Any, name: str, result: Result) -> Registered:
    """Record a result once, tag its version with the verdict, and let the alias `challenger` point at it.

    The aliases `champion` and `previous` are set by `skline promote` and `rollback` alone.

    Parameters
    ----------
    mlflow_client : mlflow.MlflowClient
    name : str
        Of the experiment and of the registered model.
    result : Result
    """
    experiment = _experiment(mlflow_client, name)
    found = mlflow_client.search_runs(
        [experiment], f"tags.`{FINGERPRINT}` = '{result.fingerprint}' and attributes.status = 'FINISHED'"
    )
    if found:
        run, created = found[0], False
    else:
        run, created = _record(mlflow_client, experiment, name, result), True
    run_id = run.info.run_id
    versions = mlflow_client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    version = str(max(int(v.version) for v in versions)) if versions else _version(mlflow_client, name, run_id, result)
    for key, value in result.verdict.items():
        mlflow_client.set_model_version_tag(name, version, key, value)
    mlflow_client.set_registered_model_alias(name, "challenger", version)
    return Registered(run_id, version, created)


def _experiment(mlflow_client: Any, name: str) -> str:
    """Id of the experiment called `name`, made if need be."""
    experiment = mlflow_client.get_experiment_by_name(name)
    return str(experiment.experiment_id if experiment else mlflow_client.create_experiment(name))


def _record(mlflow_client: Any, experiment: str, name: str, result: Result) -> Any:
    """Make a run with all there is to know, and the fingerprint last: half a run is never found again."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    run = mlflow_client.create_run(experiment, run_name=result.fingerprint[:12], tags={})
    run_id = run.info.run_id
    mlflow_client.log_batch(
        run_id,
        metrics=[Metric(key, value, 0, 0) for key, value in result.metrics.items()],
        params=[Param(key, str(value)) for key, value in result.params.items()],
        tags=[RunTag(key, value) for key, value in result.tags.items()],
    )
    mlflow_client.set_tag(run_id, "dvc.md5", "\n".join(f"{md5} {path}" for path, md5 in result.md5.items()))
    dataset = Dataset(result.dataset["name"], result.dataset["digest"], "local", result.dataset["source"])
    mlflow_client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    for folder in result.folders:
        mlflow_client.log_artifacts(run_id, str(folder), folder.name)
    if result.diff:
        mlflow_client.log_text(run_id, result.diff, "uncommitted.diff")
    _record_trials(mlflow_client, experiment, run_id, result.search)
    _version(mlflow_client, name, run_id, result)
    mlflow_client.set_tag(run_id, FINGERPRINT, result.fingerprint)
    mlflow_client.set_terminated(run_id)
    return run


def _record_trials(mlflow_client: Any, experiment: str, parent: str, search: Found) -> None:
    """Make a child run of each configuration that was tried; they go with the parent, and carry no fingerprint."""
    from mlflow.entities import Metric, Param, RunTag

    for number, trial in enumerate(search.trials):
        tags = {
            "mlflow.parentRunId": parent,
            "skline.default": str(number == 0),
            "skline.chosen": str(number == search.chosen),
            "skline.folds": search.folds,
        }
        run = mlflow_client.create_run(experiment, run_name=f"trial {number}", tags=tags)
        by_fold = [Metric(f"fold.{search.metric}", score, 0, fold) for fold, score in enumerate(trial.scores)]
        mlflow_client.log_batch(
            run.info.run_id,
            metrics=[
                Metric(search.metric, trial.score, 0, 0),
                Metric("fit_seconds", trial.fit_seconds, 0, 0),
                *by_fold,
            ],
            params=[Param(key, str(value)) for key, value in trial.params.items()],
            tags=[RunTag("skline.trial", str(number))],
        )
        mlflow_client.set_terminated(run.info.run_id)


def _version(mlflow_client: Any, name: str, run_id: str, result: Result) -> str:
    """Register the run's artifact as a new version of the model called `name`."""
    from mlflow.exceptions import MlflowException

    try:
        mlflow_client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        mlflow_client.create_registered_model(name)
    source = f"{mlflow_client.get_run(run_id).info.artifact_uri}/artifact"
    version = mlflow_client.create_model_version(
        name, source, run_id, tags={"artifact_sha256": result.tags["artifact_sha256"]}
    )
    return str(version.version)


def uncommitted(root: Path) -> str:
    """Difference between the working tree and the last commit; empty outside git."""
    try:
        done = subprocess.run(["git", "diff", "HEAD"], cwd=root, capture_output=True, text=True, check=True)  # noqa: S607
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout
