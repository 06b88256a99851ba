"""Tests of `skline.load`: the model in Python answers as the service does, or says what is wrong."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer

import skline
from skline.artifact import Artifact, InvalidArtifact
from skline.artifact.tuning import Interval, Tuning
from skline.contract.frames import to_json_rows
from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.loading import Model
from skline.testing.rows import random_rows
from tests.fixtures import demo
from tests.skline.release.project import Project, make

LINE = Contract(
    title="Line",
    columns=(Column(name="x", kind="number", example=1.0), Column(name="y", kind="number", role="target")),
    task="regression",
)
X = pd.DataFrame({"x": np.linspace(0.1, 9, 50)})


@pytest.fixture(autouse=True)
def same_path() -> Iterator[None]:
    """Undo what `load` does to sys.path."""
    before = sys.path[:]
    yield
    sys.path[:] = before


@pytest.fixture
def project(tmp_path: Path, packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the packaged artifact, as the current folder."""
    (tmp_path / "artifact").symlink_to(packaged.folder)
    (tmp_path / "artifact.sha256").write_text(packaged.digest + "\n")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def model(packaged: demo.Packaged) -> Model:
    return Model(Artifact.open(packaged.folder, packaged.digest))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Real rows, and random ones with missing values."""
    return pd.concat([demo.parts()["test"].iloc[:40], random_rows(demo.contract(), 40)], ignore_index=True)


def outputs(response: dict[str, Any]) -> list[Any]:
    """Return the prediction, and the numbers of a response, in the order of the columns of `Model.predict`."""
    numbers = response.get("probabilities", {}).values() or response.get("interval", [])
    return [response["prediction"], *numbers]


def line(folder: Path, fitted: Any, tuning: Tuning | None = None) -> Model:
    """Package a pipeline of one number and load it."""
    fitted.fit(X, np.linspace(1, 5, 50) ** 2)
    packaged = demo.package(folder / "artifact", fitted, LINE, [{"x": 2.0}, {"x": 3.0}], tuning=tuning)
    return Model(Artifact.open(packaged.folder, packaged.digest))


def test_import_of_skline_is_light() -> None:
    code = "import sys, skline; print(*sorted({'numpy', 'pandas', 'sklearn', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_artifact_of_the_current_project_is_loaded(project: Path) -> None:
    model = skline.load()
    assert model.version.startswith("demo@")
    assert model.contract == demo.contract()
    assert sys.path[0] == str(project / "src")
    assert hasattr(model.pipeline, "predict_proba")


def test_project_is_found_from_a_folder_inside_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "notebooks").mkdir()
    monkeypatch.chdir(project / "notebooks")
    assert skline.load().version.startswith("demo@")
    assert sys.path[0] == str(project / "src")


def test_another_artifact_is_loaded_by_path_and_digest(packaged: demo.Packaged) -> None:
    assert skline.load(packaged.folder, packaged.digest).artifact.digest == packaged.digest
    with pytest.raises(InvalidArtifact, match=r"there is no .*artifact\.sha256; run `dvc repro`"):
        skline.load(str(packaged.folder))


@pytest.fixture(scope="module")
def registered(
    tmp_path_factory: pytest.TempPathFactory, packaged: demo.Packaged, other_packaged: demo.Packaged
) -> Iterator[Project]:
    """A project with two versions, of which the second is not on record."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        project = make(tmp_path_factory.mktemp("registered") / "project")
        params = project.folder / "params.yaml"
        params.write_text(params.read_text().replace(project.uri, "sqlite:///mlflow.db"))
        (project.folder / "dvc.yaml").write_text("stages: {}\n")
        project.register(packaged, "1")
        project.register(other_packaged, "2", recorded=False)
        yield project
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # MLflow stores the URI that was used last in there


@pytest.mark.filterwarnings("ignore")
def test_registered_version_is_loaded_from_a_folder_of_the_project(
    registered: Project,
    packaged: demo.Packaged,
    other_packaged: demo.Packaged,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (registered.folder / "notebooks").mkdir()
    monkeypatch.chdir(registered.folder / "notebooks")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert skline.load("models:/demo/1").artifact.digest == packaged.digest
    assert capsys.readouterr().err.startswith("opening the registry at sqlite:///")
    with pytest.raises(SklineError, match=r"demo/2 has the digest .* It was not fetched"):
        skline.load("models:/demo@challenger")
    accepted = skline.load("models:/demo@challenger", other_packaged.digest)
    assert accepted.artifact.digest == other_packaged.digest
    with pytest.raises(SklineError, match="not the accepted"):
        skline.load("models:/demo@challenger", "0" * 64)
    with pytest.raises(SklineError, match="has no '7' of the model 'demo'"):
        skline.load("models:/demo/7")


@pytest.mark.parametrize("uri", ["models:/demo", "models:/demo/Production", "models:demo@champion", "models:/a/b/1"])
def test_uri_that_names_no_version_is_an_error(uri: str, project: Path) -> None:
    (project / "params.yaml").write_text("source: {uri: none.csv}\n")
    with pytest.raises(SklineError, match=r"names no registered version; write models:/NAME/NUMBER"):
        skline.load(uri)


def test_nothing_is_deserialised_before_the_digest_matches(
    packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skline.loading.Model", lambda _: pytest.fail("the artifact was loaded"))
    with pytest.raises(InvalidArtifact, match="expected 0000"):
        skline.load(packaged.folder, "0" * 64)


def test_table_gets_the_predictions_of_the_service_bit_for_bit(
    model: Model, client: httpx.Client, frame: pd.DataFrame
) -> None:
    labelled = frame.set_index(frame["flight_id"] + frame.index.astype(str))
    predicted = model.predict(labelled)
    assert list(predicted.columns) == ["prediction", "probability_false", "probability_true"]
    assert predicted.index.equals(labelled.index)
    rows = to_json_rows(model.contract.inputs, frame)
    batch = client.post("/predict/batch", json=rows).json()["predictions"]
    assert predicted.to_numpy().tolist() == [outputs(each) for each in batch]
    assert predicted.to_numpy().tolist() == [outputs(client.post("/predict", json=row).json()) for row in rows]
    pd.testing.assert_frame_equal(model.predict(rows), predicted.reset_index(drop=True), check_exact=True)


def test_one_row_and_an_arrow_table_get_the_predictions_of_a_table(
    model: Model, frame: pd.DataFrame, example: dict[str, Any]
) -> None:
    pd.testing.assert_frame_equal(model.predict(example), model.predict([example]), check_exact=True)
    table = pa.Table.from_pandas(frame)
    pd.testing.assert_frame_equal(model.predict(table), model.predict(frame), check_exact=True)


def test_series_is_one_row_of_its_table(model: Model, frame: pd.DataFrame) -> None:
    labelled = frame.set_index(frame["flight_id"] + frame.index.astype(str))
    for position in (3, 50):
        row = labelled.iloc[position]
        expected = labelled.iloc[[position]]
        pd.testing.assert_frame_equal(model.predict(row), model.predict(expected), check_exact=True)
        assert model.explain_row(row).score == model.explain(expected)["score"].item()
    with pytest.raises(SklineError, match="the table lacks the columns 'flight_date'"):
        model.predict(labelled["distance"])


def test_probabilities_are_those_of_predict(model: Model, frame: pd.DataFrame, tmp_path: Path) -> None:
    probabilities = model.predict_proba(frame)
    assert probabilities.tobytes() == model.predict(frame).iloc[:, 1:].to_numpy().tobytes()
    assert model.predict_proba([]).shape == (0, 2)
    with pytest.raises(SklineError, match=r"has no probabilities \(regression\); use predict"):
        line(tmp_path, make_pipeline(LinearRegression())).predict_proba(X)


def test_explanations_are_those_of_the_service(model: Model, client: httpx.Client, frame: pd.DataFrame) -> None:
    labelled = frame.iloc[[3, 50]].set_index(pd.Index(["a", "b"]))
    explained = model.explain(labelled)
    assert explained.index.tolist() == ["a", "b"]
    for row, label in zip(to_json_rows(model.contract.inputs, labelled), explained.index, strict=True):
        expected = client.post("/predict", params={"explain": "true"}, json=row).json()["explanation"]
        actual = explained.loc[label]
        for name in ("scale", "explained_class", "base_value", "score"):
            assert actual[name] == expected[name]
        contributions = {name: actual[f"contribution_{name}"] for name in model.contract.input_names}
        assert contributions == expected["contributions"]


def test_invalid_row_has_no_explanation(model: Model, example: dict[str, Any]) -> None:
    with pytest.raises(SklineError, match=r"^row 0: distance: Input should be greater than 0 \(got -5\)$"):
        model.explain(example | {"distance": -5})


def test_model_shows_itself_as_text_and_as_html(model: Model, tmp_path: Path) -> None:
    assert repr(model) == f"<Model {model.version}: binary, scored by a plan that equals the pipeline to the last bit>"
    page = model._repr_html_()
    assert model.version in page
    assert all(f">{name}</th>" in page for name in model.contract.input_names)
    other = line(tmp_path, make_pipeline(PowerTransformer(), LinearRegression()))
    assert repr(other).endswith("regression, scored by the pipeline>")


def test_predictions_are_those_of_the_pipeline(model: Model, frame: pd.DataFrame) -> None:
    inputs = frame[model.contract.input_names]
    probabilities = model.pipeline.predict_proba(inputs)
    assert model.predict(frame).iloc[:, 1:].to_numpy().tobytes() == probabilities.tobytes()


@pytest.mark.parametrize(
    "fitted", [make_pipeline(LinearRegression()), make_pipeline(PowerTransformer(), LinearRegression())]
)
def test_regression_has_the_interval_of_the_service(
    fitted: Any, serve: Callable[..., httpx.Client], tmp_path: Path
) -> None:
    model = line(tmp_path, fitted, Tuning(rows=50, interval=Interval(level=0.9, half_width=0.3, rows=50)))
    client = serve(tmp_path / "artifact", model.artifact.digest)
    rows = [{"x": value} for value in (0.1, 7 / 3, 5.0)]
    predicted = model.predict(rows)
    assert list(predicted.columns) == ["prediction", "interval_low", "interval_high"]
    batch = client.post("/predict/batch", json=rows).json()["predictions"]
    assert predicted.to_numpy().tolist() == [outputs(each) for each in batch]
    for row in rows:
        assert model.predict([row]).iloc[0].tolist() == outputs(client.post("/predict", json=row).json())


def test_pipeline_that_scores_itself_is_loaded_once(tmp_path: Path) -> None:
    model = line(tmp_path, make_pipeline(PowerTransformer(), LinearRegression()))
    assert model.scoring.path == "pipeline"
    assert model.pipeline is model.pipeline
    assert model.predict(X)["prediction"].to_numpy().tobytes() == model.pipeline.predict(X).tobytes()


def test_no_rows_get_no_predictions(model: Model, frame: pd.DataFrame, tmp_path: Path) -> None:
    columns = ["prediction", "probability_false", "probability_true"]
    for rows in ([], frame.iloc[:0]):
        predicted = model.predict(rows)
        assert list(predicted.columns) == columns
        assert len(predicted) == 0
    assert len(line(tmp_path, make_pipeline(LinearRegression())).predict([])) == 0


def test_invalid_row_is_an_error_with_row_field_and_rule(model: Model, example: dict[str, Any]) -> None:
    message = r"^row 1: distance: Input should be greater than 0 \(got -5\) \(rows are counted from 0\)$"
    with pytest.raises(SklineError, match=message):
        model.predict([example, example | {"distance": -5}])


def test_row_that_the_model_rejects_is_an_error(tmp_path: Path) -> None:
    forest = line(tmp_path, make_pipeline(RandomForestRegressor(3)))
    with pytest.raises(SklineError, match="the model cannot score this"):
        forest.predict([{"x": 1e300}])


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_prediction_that_is_not_finite_is_an_error_that_names_the_row(tmp_path: Path) -> None:
    steep = line(tmp_path, make_pipeline(LinearRegression()))
    with pytest.raises(SklineError, match="no finite prediction for row 1"):
        steep.predict([{"x": 1.0}, {"x": 1.7e308}])
