"""Record results in MLflow: one run for each distinct result, its registered version, and the alias `challenger`.

Training records no runs: a stage that DVC restores from its cache would record none, and one that fails would leave an
incomplete one. Runs are recorded here, from dvc.lock, and found again by a fingerprint that is written last.
"""

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skline.addresses import INVALID_HOST, has_valid_host
from skline.entrypoint import one_line
from skline.errors import SklineError
from skline.files import sha256_json
from skline.paths import FITTED, PARAMS
from skline.redaction import redact
from skline.registry.mlflow_model import MODEL_FOLDER
from skline.search.result import NO_SEARCH, SearchResult
from skline.settings import Register

FINGERPRINT = "skline.fingerprint"
#: Tags of a registered version: the verdict, the gates that failed, and the champion it was compared with.
VERDICT_TAG, FAILURES_TAG, CHAMPION_TAG = "verdict", "verdict.failures", "verdict.champion_sha256"
UNDECIDED_TAG = "verdict.undecided"
#: Tags of a registered version: the fitted pipeline (md5, from dvc.lock); and the first version that has the same.
FIT_TAG, FIRST_OF_FIT_TAG = "skline.fit", "skline.fit.first_version"
#: Stages whose outputs and parameters identify a record.
RESULT_STAGES = ("split", "train", "tune", "evaluate")
#: Outputs of these stages that do not identify a result: the libraries, the plan that the current code builds, and the
#: trials. The digest of the artifact, by which a record is found too, covers the first two.
IGNORED_OUTPUTS = ("models/origin.json", "models/scoring", "models/search.json")
#: Message of an MLflow that cannot record a result.
NOT_RECORDED = (
    "MLflow at {uri} cannot record the result: {reason}. The artifact is in artifact/ nevertheless; "
    "run `dvc repro` once MLflow is available"
)


@dataclass(frozen=True)
class RunRecord:
    """The content of a run, from dvc.lock, params.yaml, the reports and git.

    `folders` are copied into the run, by their path in it; `model_files` are the texts of the MLflow model
    (`skline.registry.mlflow_model`), by their path below its folder. `threshold` is that of a binary model.
    """

    fingerprint: str
    md5: dict[str, str]
    params: dict[str, Any]
    metrics: dict[str, float]
    tags: dict[str, str]
    dataset: dict[str, str]
    folders: Mapping[str, Path]
    diff: str
    model_files: Mapping[str, str] = field(default_factory=dict)
    search: SearchResult = NO_SEARCH
    verdict: dict[str, str] = field(default_factory=dict)
    threshold: float | None = None

    @property
    def fit(self) -> str | None:
        """The md5 of the fitted pipeline; None where dvc.lock has none."""
        return self.md5.get(FITTED.as_posix())


@dataclass(frozen=True)
class Registered:
    """The run and version of a result; `created` is True if this call created the run.

    `provenance` says which threshold a binary model has, and which earlier version has the same fitted pipeline; it is
    empty where there is nothing to say.
    """

    run_id: str
    version: str
    created: bool
    provenance: str = ""


def fingerprint(lock: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Compute the fingerprint of data, model, metrics and parameters from dvc.lock.

    Returns
    -------
    The fingerprint, and the md5 of each output that is part of it, by path.

    Raises
    ------
    SklineError
        If dvc.lock lacks a stage.
    """
    stages = lock.get("stages", {})
    missing = [name for name in RESULT_STAGES if name not in stages]
    if missing:
        raise SklineError(f"dvc.lock lacks the stages {missing}; run them with `dvc repro`")
    md5 = {
        out["path"]: out["md5"]
        for name in RESULT_STAGES
        for out in stages[name]["outs"]
        if out["path"] not in IGNORED_OUTPUTS
    }
    # Without engine.json: other code of the engine that gives the same outputs gives no new result.
    file = PARAMS.as_posix()
    params = {name: {file: stages[name].get("params", {}).get(file, {})} for name in RESULT_STAGES}
    return sha256_json({"outs": md5, "params": params}), md5


def tracking_uri(settings: Register) -> str:
    """Return MLflow's address, which MLFLOW_TRACKING_URI or params.yaml names.

    Raises
    ------
    SklineError
        If its host or port is not valid.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", settings.tracking_uri)
    if not has_valid_host(uri):
        raise SklineError(f"MLFLOW_TRACKING_URI, or register.tracking_uri in params.yaml: {INVALID_HOST}")
    return uri


@contextmanager
def open_client(uri: str, timeout: float, message: str = NOT_RECORDED) -> Iterator[Any]:
    """Yield an MLflow client; an unreachable store becomes a SklineError after at most about `timeout` seconds.

    `message` is the text of that error, with {uri} and {reason}.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(max(1, round(timeout / 2))))
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import logging

    import mlflow
    import sqlalchemy.exc

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # the SklineError contains what its tracebacks report
    try:
        mlflow.set_tracking_uri(uri)
        yield mlflow.MlflowClient()
    except (mlflow.exceptions.MlflowException, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        raise SklineError(redact(message.format(uri=uri, reason=describe_root_cause(error)))) from error


def describe_root_cause(error: BaseException) -> str:
    """Return in one line the error of the system or of SQLite below `error`, without the statement that failed."""
    root = error
    while (inner := root.__cause__ or root.__context__) is not None:
        root = inner
    return one_line(root if isinstance(root, OSError | sqlite3.Error) else error)


def register(mlflow_client: Any, name: str, record: RunRecord) -> Registered:
    """Record a result once, tag its version with the verdict, and set the alias `challenger` to it.

    A result is found again by its fingerprint and by its artifact's digest: other libraries give equal inputs another
    digest, and so another version. The version that a service names can thereby always be found.

    Only `skline promote` and `skline rollback` set the aliases `champion` and `previous`.

    Parameters
    ----------
    mlflow_client : mlflow.MlflowClient
    name : str
        Name of the experiment and of the registered model.
    record : RunRecord
    """
    experiment = _find_or_create_experiment(mlflow_client, name)
    runs = mlflow_client.search_runs(
        [experiment],
        f"tags.`{FINGERPRINT}` = '{record.fingerprint}' and tags.artifact_sha256 = '{record.tags['artifact_sha256']}' "
        "and attributes.status = 'FINISHED'",
    )
    if runs:
        run, created = runs[0], False
    else:
        run, created = _create_run(mlflow_client, experiment, name, record), True
    run_id = run.info.run_id
    versions = mlflow_client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    version = (
        str(max(int(v.version) for v in versions)) if versions else _create_version(mlflow_client, name, run_id, record)
    )
    for key, value in record.verdict.items():
        mlflow_client.set_model_version_tag(name, version, key, value)
    provenance = _record_provenance(mlflow_client, name, version, record)
    mlflow_client.set_registered_model_alias(name, "challenger", version)
    return Registered(run_id, version, created, provenance)


def _record_provenance(mlflow_client: Any, name: str, version: str, record: RunRecord) -> str:
    """Describe a version by its threshold and by the first version with the same fitted pipeline; return the text.

    The earlier versions are found by their tags, so that a threshold that is changed without a fit says whose it is.
    """
    parts = [] if record.threshold is None else [f"threshold {record.threshold:.4g}"]
    if record.fit is not None:
        mlflow_client.set_model_version_tag(name, version, FIT_TAG, record.fit)
        same = mlflow_client.search_model_versions(f"name = '{name}' and tags.`{FIT_TAG}` = '{record.fit}'")
        first = min(int(each.version) for each in same)
        mlflow_client.set_model_version_tag(name, version, FIRST_OF_FIT_TAG, str(first))
        parts += [f"the fitted pipeline of version {first}"] if first != int(version) else []
    text = ", ".join(parts)
    if text and not mlflow_client.get_model_version(name, version).description:  # a person's text stays
        mlflow_client.update_model_version(name, version, text)
    return text


def _find_or_create_experiment(mlflow_client: Any, name: str) -> str:
    """Return the id of the experiment `name`, which is created if it does not exist."""
    experiment = mlflow_client.get_experiment_by_name(name)
    return str(experiment.experiment_id if experiment else mlflow_client.create_experiment(name))


def _create_run(mlflow_client: Any, experiment: str, name: str, record: RunRecord) -> Any:
    """Create a run; the fingerprint is written last, so that an incomplete run is never found again.

    Its name is the model version that services, logs and reports show: project and artifact.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    run = mlflow_client.create_run(experiment, run_name=f"{name}@{record.tags['artifact_sha256'][:12]}", tags={})
    run_id = run.info.run_id
    mlflow_client.log_batch(
        run_id,
        metrics=[Metric(key, value, 0, 0) for key, value in record.metrics.items()],
        params=[Param(key, str(value)) for key, value in record.params.items()],
        tags=[RunTag(key, value) for key, value in record.tags.items()],
    )
    mlflow_client.set_tag(run_id, "dvc.md5", "\n".join(f"{md5} {path}" for path, md5 in record.md5.items()))
    dataset = Dataset(record.dataset["name"], record.dataset["digest"], "local", record.dataset["source"])
    mlflow_client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    for path, folder in record.folders.items():
        mlflow_client.log_artifacts(run_id, str(folder), path)
    _log_model_files(mlflow_client, run_id, record.model_files)
    if record.diff:
        mlflow_client.log_text(run_id, record.diff, "uncommitted.diff")
    _create_trial_runs(mlflow_client, experiment, run_id, record.search)
    _create_version(mlflow_client, name, run_id, record)
    mlflow_client.set_tag(run_id, FINGERPRINT, record.fingerprint)
    mlflow_client.set_terminated(run_id)
    return run


def _log_model_files(mlflow_client: Any, run_id: str, files: Mapping[str, str]) -> None:
    """Write the texts of the MLflow model into its folder in the run."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        mlflow_client.log_artifacts(run_id, folder, MODEL_FOLDER)


def _create_trial_runs(mlflow_client: Any, experiment: str, parent: str, search: SearchResult) -> None:
    """Create a child run for each configuration of the search; child runs have no fingerprint."""
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
            metrics=[Metric(search.metric, trial.score, 0, 0), *by_fold],
            params=[Param(key, str(value)) for key, value in trial.params.items()],
            tags=[RunTag("skline.trial", str(number))],
        )
        mlflow_client.set_terminated(run.info.run_id)


def _create_version(mlflow_client: Any, name: str, run_id: str, record: RunRecord) -> str:
    """Register the MLflow model of a run, which holds the artifact, as a new version of the model `name`."""
    from mlflow.exceptions import MlflowException

    try:
        mlflow_client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        mlflow_client.create_registered_model(name)
    source = f"{mlflow_client.get_run(run_id).info.artifact_uri}/{MODEL_FOLDER}"
    version = mlflow_client.create_model_version(
        name, source, run_id, tags={"artifact_sha256": record.tags["artifact_sha256"]}
    )
    return str(version.version)
