"""Tests of registered versions as MLflow sees them, with a real SQLite registry: the same bits, the same errors."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
import yaml

from skline.artifact import Artifact
from skline.contract.frames import to_json_rows
from skline.contract.spec import Column, Contract
from skline.registry import mlflow_model
from skline.registry.mlflow_model import engine_requirement, mlflow_model_files, signature
from skline.registry.versions import Registry
from skline.stages.register import project_code
from skline.testing.rows import random_rows
from tests.fixtures import demo
from tests.fixtures.server import free_port
from tests.skline.registry.test_server import running
from tests.skline.release.project import Project, make

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, packaged: demo.Packaged) -> Iterator[Project]:
    """A project whose registry has one version."""
    import mlflow

    before = mlflow.get_tracking_uri()
    project = make(tmp_path_factory.mktemp("mlflow") / "project")
    project.register(packaged, "1")
    mlflow.set_tracking_uri(project.uri)
    yield project
    mlflow.set_tracking_uri(before)
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(scope="module")
def loaded(project: Project) -> Any:
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model("models:/demo@challenger")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Real rows, and random ones with missing values; the inputs alone."""
    rows = pd.concat([demo.parts()["test"].iloc[:40], random_rows(demo.contract(), 40)], ignore_index=True)
    return rows[demo.contract().input_names]


def target(kind: Any, classes: Any = None) -> Contract:
    columns = (Column(name="x", kind="number"), Column(name="y", kind=kind, role="target"))
    return Contract(title="T", columns=columns, task="regression" if classes is None else "binary", classes=classes)


def test_files_depend_on_the_artifact_and_the_time_alone(packaged: demo.Packaged) -> None:
    artifact = Artifact.open(packaged.folder, packaged.digest)
    code = project_code(demo.ROOT / "src")
    files, again = mlflow_model_files(artifact, code), mlflow_model_files(artifact, code)
    first, second = (yaml.safe_load(each.pop("MLmodel")) for each in (dict(files), dict(again)))
    assert first.pop("utc_time_created") <= second.pop("utc_time_created")
    assert first == second
    assert {name for name in files if files[name] != again[name]} <= {"MLmodel"}
    assert files["artifact.sha256"] == packaged.digest + "\n"
    assert {"code/model/__init__.py", "code/model/contract.py", "code/model/pipeline.py"} <= files.keys()
    assert yaml.safe_load(files["MLmodel"])["flavors"]["python_function"]["code"] == "code"
    without_code = mlflow_model_files(artifact, {})
    assert "code" not in yaml.safe_load(without_code["MLmodel"])["flavors"]["python_function"]


def test_requirements_are_those_of_the_fit(packaged: demo.Packaged) -> None:
    artifact = Artifact.open(packaged.folder, packaged.digest)
    manifest = artifact.manifest.model_copy(update={"libraries": {"python": "3.12.1", "numpy": "2.4.0", "skline": "1"}})
    files = mlflow_model_files(replace(artifact, manifest=manifest), {})
    mlflow, numpy, engine = files["requirements.txt"].splitlines()
    assert mlflow.startswith("mlflow-skinny==")
    assert numpy == "numpy==2.4.0"
    assert engine == engine_requirement()
    assert yaml.safe_load(files["python_env.yaml"]) == {"python": "3.12.1", "dependencies": ["-r requirements.txt"]}


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        ('{"url": "file:///skline", "dir_info": {"editable": true}}', "skline @ file:///skline"),
        ('{"url": "file:///dist/skline-1.2.whl", "archive_info": {}}', "skline @ file:///dist/skline-1.2.whl"),
        (
            '{"url": "https://git.example/skline", "vcs_info": {"vcs": "git", "commit_id": "abc"}}',
            "skline @ git+https://git.example/skline@abc",
        ),
    ],
)
def test_engine_is_required_from_where_it_was_installed(
    origin: str, requirement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "skline-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: skline\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert engine_requirement() == "skline==1.2"
    (info / "direct_url.json").write_text(origin)
    assert engine_requirement() == requirement


@pytest.mark.parametrize(
    ("contract", "output"),
    [
        (target("number"), "double"),
        (target("boolean", (False, True)), "boolean"),
        (target("integer", (0, 1)), "long"),
        (target("string", ("no", "yes")), "string"),
        (target("number", (0.5, 1.5)), "double"),
    ],
)
def test_signature_has_the_inputs_and_the_type_of_the_prediction(contract: Contract, output: str) -> None:
    described = signature(contract)
    assert described.inputs.input_names() == described.inputs.required_input_names() == ["x"]
    assert described.outputs.to_dict() == [{"type": output, "required": True}]
    assert described.params.to_dict()[0]["name"] == mlflow_model.PREDICT_FN


def test_mlflow_gets_the_predictions_of_the_service_bit_for_bit(
    loaded: Any, frame: pd.DataFrame, packaged: demo.Packaged
) -> None:
    model = loaded.get_raw_model()
    assert model.artifact.digest == packaged.digest
    expected = model.predict(frame)
    predicted = loaded.predict(frame)
    assert predicted.dtype == bool
    assert predicted.tolist() == expected["prediction"].tolist()
    probabilities = loaded.predict(frame, params={"predict_fn": "predict_proba"})
    assert probabilities.tobytes() == expected.iloc[:, 1:].to_numpy().tobytes()


def test_every_form_of_a_value_reaches_the_contract(loaded: Any, frame: pd.DataFrame) -> None:
    expected = loaded.predict(frame, params={"predict_fn": "predict_proba"}).tobytes()
    forms = (
        frame.astype({"carrier": "category", "distance": "Int64", "sched_dep_time": "float64"}),
        frame.assign(flight_date=frame["flight_date"].dt.strftime("%Y-%m-%d")),
        frame.assign(flight_date=frame["flight_date"].dt.date),
        frame.astype(object),
        frame[frame.columns[::-1]].assign(other=1),
    )
    for form in forms:
        assert loaded.predict(form, params={"predict_fn": "predict_proba"}).tobytes() == expected


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"distance": "far"}, "row 0: distance: Input should be a whole number within ±2^53 (got 'far')"),
        ({"distance": 1400.9}, "row 0: distance: Input should be a whole number within ±2^53 (got 1400.9)"),
        ({"flight_date": "7/4/2013"}, "row 0: flight_date: Input should be a date written as YYYY-MM-DD"),
        ({"carrier": 5}, "row 0: carrier: Input should be text (got 5)"),
    ],
)
def test_value_of_a_wrong_type_is_the_error_of_the_contract(
    loaded: Any, example: dict[str, Any], changed: dict[str, Any], message: str
) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException) as error:
        loaded.predict(pd.DataFrame([example | changed]))
    assert error.value.message.startswith(message)
    assert error.value.get_http_status_code() == 400


def test_unknown_function_is_an_error(loaded: Any, frame: pd.DataFrame) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match="predict_fn is 'score'; it must be 'predict' or 'predict_proba'"):
        loaded.predict(frame, params={"predict_fn": "score"})


def test_example_of_the_model_is_a_valid_input(loaded: Any) -> None:
    assert loaded.predict(loaded.input_example).shape == (1,)


def test_changed_artifact_is_rejected_before_it_is_loaded(
    project: Project, other_packaged: demo.Packaged, tmp_path: Path
) -> None:
    import mlflow.artifacts
    import mlflow.pyfunc

    from skline.artifact import InvalidArtifact

    folder = tmp_path / "model"
    shutil.copytree(mlflow.artifacts.download_artifacts("models:/demo@challenger"), folder)
    shutil.copy(other_packaged.folder / "pipeline.joblib", folder / "artifact/pipeline.joblib")
    with pytest.raises(InvalidArtifact, match=r"pipeline\.joblib does not have the sha256 of the manifest"):
        mlflow.pyfunc.load_model(str(folder))


def test_version_of_an_earlier_engine_is_downloaded(
    project: Project, packaged: demo.Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skline.registry.record import open_client

    monkeypatch.chdir(project.folder)
    with open_client(project.uri, 20) as client:
        run = client.create_run(client.create_experiment("earlier"))
        client.log_artifacts(run.info.run_id, str(packaged.folder), "artifact")
        client.create_registered_model("earlier")
        client.create_model_version(
            "earlier", f"{run.info.artifact_uri}/artifact", run.info.run_id, {"artifact_sha256": packaged.digest}
        )
    registry = Registry(project.uri, "earlier", 60, 60)
    downloaded = registry.download(registry.find("1"), tmp_path)
    assert Artifact.open(downloaded, packaged.digest).digest == packaged.digest


@pytest.mark.slow
def test_server_of_mlflow_predicts_what_the_model_does(
    project: Project, loaded: Any, frame: pd.DataFrame, tmp_path: Path
) -> None:
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/demo@challenger"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    environment = {
        "MLFLOW_TRACKING_URI": project.uri,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # it runs `uvicorn`
        "PYTHONPATH": str(demo.ROOT),  # the pipeline of the fixtures
    }
    rows = to_json_rows(demo.contract().inputs, frame)
    expected = loaded.predict(frame, params={"predict_fn": "predict_proba"}).tolist()
    with running(command, f"http://127.0.0.1:{port}/ping", tmp_path / "serve.log", **environment):

        def post(**body: Any) -> httpx.Response:
            return httpx.post(f"http://127.0.0.1:{port}/invocations", json=body, timeout=60, trust_env=False)

        for body in ({"dataframe_records": rows}, {"inputs": rows}):
            response = post(**body, params={"predict_fn": "predict_proba"})
            assert response.json()["predictions"] == expected
        assert post(dataframe_records=rows[:2]).json()["predictions"] == loaded.predict(frame.iloc[:2]).tolist()
        rejected = post(dataframe_records=[rows[0] | {"distance": 1400.9}])
        assert rejected.status_code == 400
        assert "row 0: distance: Input should be a whole number" in rejected.json()["message"]


@pytest.mark.registry
def test_mlflow_evaluates_a_registered_version(loaded: Any, project: Project) -> None:
    """The full MLflow, whose metrics need matplotlib and more than mlflow-skinny has."""
    import mlflow

    test = demo.parts()["test"]
    labelled = test[[*demo.contract().input_names, "late"]]
    result = mlflow.models.evaluate(
        "models:/demo@challenger", labelled, targets="late", model_type="classifier",
        evaluator_config={"log_model_explainability": False},
    )  # fmt: skip
    assert result.metrics["accuracy_score"] == (loaded.predict(labelled) == test["late"]).mean()


@pytest.mark.registry
def test_mlflow_predicts_in_a_process_of_its_own(loaded: Any, frame: pd.DataFrame, tmp_path: Path) -> None:
    import mlflow

    out = tmp_path / "out.json"
    rows = frame.dropna().head(5)
    mlflow.models.predict("models:/demo@challenger", rows, env_manager="local", output_path=str(out))
    assert json.loads(out.read_text())["predictions"] == loaded.predict(rows).tolist()
