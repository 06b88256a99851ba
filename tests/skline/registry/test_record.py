"""Tests of recording results in MLflow, with a real SQLite store."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from skline.errors import SklineError
from skline.registry.record import FINGERPRINT, RunRecord, fingerprint, open_client, register
from skline.search.result import SearchResult, Trial

LOCK = {
    "stages": {
        "split": {
            "outs": [{"path": "data/split", "md5": "d1"}],
            "params": {"params.yaml": {"split.seed": 1}},
        },
        "train": {
            "outs": [
                {"path": "models/fitted.joblib", "md5": "f1"},
                {"path": "models/origin.json", "md5": "changes with the libraries"},
                {"path": "models/search.json", "md5": "changes with the space of the search"},
            ]
        },
        "tune": {
            "outs": [
                {"path": "models/pipeline.joblib", "md5": "m1"},
                {"path": "models/scoring", "md5": "changes with the code that plans"},
            ]
        },
        "evaluate": {"outs": [{"path": "reports/metrics.json", "md5": "e1"}]},
        "package": {"outs": [{"path": "artifact", "md5": "changes with the libraries"}]},
    }
}


def record(mark: str, tmp_path: Path, auc: float = 0.7) -> RunRecord:
    folder = tmp_path / "artifact"
    folder.mkdir(exist_ok=True)
    (folder / "pipeline.joblib").write_bytes(b"model")
    tags = {"artifact_sha256": "a" * 64}
    dataset = {"name": "flights", "digest": "d1", "source": "package:x"}
    folders = {"model/artifact": folder}
    return RunRecord(mark, {"data": "d1"}, {"train.seed": 1}, {"model.roc_auc": auc}, tags, dataset, folders, "diff")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with open_client(f"sqlite:///{folder}/mlflow.db", 5) as mlflow_client:
            yield mlflow_client


@pytest.mark.filterwarnings("ignore")
def test_result_is_recorded_once_and_found_again(store: Any, tmp_path: Path) -> None:
    first = register(store, "once", record("f1", tmp_path))
    again = register(store, "once", record("f1", tmp_path))
    assert (first.created, again.created) == (True, False)
    assert (again.run_id, again.version) == (first.run_id, first.version) == (first.run_id, "1")
    experiment = store.get_experiment_by_name("once").experiment_id
    [run] = store.search_runs([experiment])
    assert run.data.metrics == {"model.roc_auc": 0.7}
    assert run.data.params == {"train.seed": "1"}
    assert run.inputs.dataset_inputs[0].dataset.digest == "d1"
    assert {item.path for item in store.list_artifacts(run.info.run_id)} == {"model", "uncommitted.diff"}


@pytest.mark.filterwarnings("ignore")
def test_another_artifact_of_the_same_result_is_another_version(store: Any, tmp_path: Path) -> None:
    first = record("f1", tmp_path)
    other = replace(first, tags={"artifact_sha256": "b" * 64})
    versions = [register(store, "fitted-again", each) for each in (first, other, first, other)]
    assert [each.created for each in versions] == [True, True, False, False]
    assert [each.version for each in versions] == ["1", "2", "1", "2"]
    assert store.get_model_version("fitted-again", "2").tags["artifact_sha256"] == "b" * 64
    assert store.get_model_version_by_alias("fitted-again", "challenger").version == 2


@pytest.mark.filterwarnings("ignore")
def test_each_trial_of_a_search_is_one_child_run(store: Any, tmp_path: Path) -> None:
    trials = (Trial({}, -0.4, (-0.3, -0.5)), Trial({"model__max_iter": 9}, -0.2, (-0.1, -0.3)))
    searched = replace(record("f1", tmp_path), search=SearchResult("neg_log_loss", "KFold(2)", 2, 1, trials))
    parent = register(store, "searched", searched)
    assert not register(store, "searched", searched).created
    experiment = store.get_experiment_by_name("searched").experiment_id
    children = store.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent.run_id}'")
    assert len(store.search_runs([experiment])) == 1 + len(children) == 3
    default, best = sorted(children, key=lambda run: run.data.tags["skline.trial"])
    assert (default.data.params, best.data.params) == ({}, {"model__max_iter": "9"})
    assert best.data.metrics["neg_log_loss"] == -0.2
    assert (best.data.tags["skline.chosen"], default.data.tags["skline.chosen"]) == ("True", "False")
    assert default.data.tags["skline.default"] == "True"
    assert {run.info.status for run in children} == {"FINISHED"}
    assert FINGERPRINT not in default.data.tags | best.data.tags
    history = store.get_metric_history(best.info.run_id, "fold.neg_log_loss")
    assert [(point.step, point.value) for point in history] == [(0, -0.1), (1, -0.3)]


@pytest.mark.filterwarnings("ignore")
def test_last_recorded_version_is_challenger_and_none_is_champion(store: Any, tmp_path: Path) -> None:
    register(store, "aliases", record("f1", tmp_path))
    register(store, "aliases", record("f2", tmp_path))
    assert store.get_model_version_by_alias("aliases", "challenger").version == 2
    assert list(store.get_registered_model("aliases").aliases) == ["challenger"]


@pytest.mark.filterwarnings("ignore")
def test_version_is_tagged_with_its_latest_verdict(store: Any, tmp_path: Path) -> None:
    failed = replace(record("f1", tmp_path), verdict={"verdict": "failed", "verdict.failures": "roc_auc"})
    register(store, "assessed", failed)
    assert store.get_model_version("assessed", "1").tags["verdict.failures"] == "roc_auc"
    register(store, "assessed", replace(failed, verdict={"verdict": "passed", "verdict.failures": ""}))
    assert store.get_model_version("assessed", "1").tags["verdict"] == "passed"


@pytest.mark.filterwarnings("ignore")
def test_version_is_described_by_its_threshold_and_the_first_version_of_its_fit(store: Any, tmp_path: Path) -> None:
    def fitted(mark: str, fit: str, threshold: float | None) -> RunRecord:
        return replace(record(mark, tmp_path), md5={"models/fitted.joblib": fit}, threshold=threshold)

    records = [fitted("f1", "a", 0.3), fitted("f2", "b", 0.3), fitted("f3", "a", 0.35), fitted("f4", "a", None)]
    described = [register(store, "retuned", each).provenance for each in records]
    same = "the fitted pipeline of version 1"
    assert described == ["threshold 0.3", "threshold 0.3", f"threshold 0.35, {same}", same]
    third = store.get_model_version("retuned", "3")
    assert third.description == described[2]
    assert third.tags["skline.fit"] == "a"
    assert third.tags["skline.fit.first_version"] == "1"
    store.update_model_version("retuned", "3", "ours")
    assert register(store, "retuned", records[2]).version == "3"
    assert store.get_model_version("retuned", "3").description == "ours", "a person's description stays"
    assert register(store, "without", replace(records[0], md5={}, threshold=None)).provenance == ""


@pytest.mark.filterwarnings("ignore")
def test_incomplete_run_is_never_found_again(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(store, "log_artifacts", die)
        register(store, "half", record("f1", tmp_path))
    done = register(store, "half", record("f1", tmp_path))
    assert done.created
    experiment = store.get_experiment_by_name("half").experiment_id
    marked = [run for run in store.search_runs([experiment]) if FINGERPRINT in run.data.tags]
    assert [run.info.run_id for run in marked] == [done.run_id]


def test_fingerprint_covers_data_model_metrics_and_params_but_no_times() -> None:
    mark, md5 = fingerprint(LOCK)
    assert md5 == {
        "data/split": "d1", "models/fitted.joblib": "f1", "models/pipeline.joblib": "m1", "reports/metrics.json": "e1",
    }  # fmt: skip
    later = {"stages": LOCK["stages"] | {"package": {"outs": []}}}
    other = {"stages": LOCK["stages"] | {"tune": {"outs": [{"path": "models/pipeline.joblib", "md5": "m2"}]}}}
    assert fingerprint(later)[0] == mark
    assert fingerprint(other)[0] != mark


def test_error_without_a_lock_names_the_command_to_run() -> None:
    with pytest.raises(SklineError, match="run them with `dvc repro`"):
        fingerprint({})


@pytest.mark.filterwarnings("ignore")
def test_unreachable_server_is_an_error_after_a_bounded_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    started = time.monotonic()
    with (
        pytest.raises(SklineError, match="cannot record the result.*The artifact is in artifact/ nevertheless"),
        open_client("http://127.0.0.1:9", 4) as mlflow_client,
    ):
        mlflow_client.get_experiment_by_name("x")
    assert time.monotonic() - started < 60  # bounded, not fast: MLflow alone would retry for minutes


@pytest.mark.parametrize(
    "uri",
    ["http://me:hun@ter2@127.0.0.1:1", "http://me:hun/ter2@127.0.0.1:1", "nosuch://me:hunter2@host/x"],
)
def test_error_of_an_unusable_registry_shows_no_password(uri: str) -> None:
    message = "the registry at {uri} cannot be used: {reason}"
    with (
        pytest.raises(SklineError, match=r"the registry at .*me:\*\*\*@") as error,
        open_client(uri, 2, message) as mlflow_client,
    ):
        mlflow_client.get_model_version_by_alias("m", "champion")
    assert "ter2" not in str(error.value)
