"""With the libraries of the target `plan` an artifact is served by its stored plan, or rejected with the reason."""

import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer

from skline.artifact import Artifact, InvalidArtifact
from skline.contract.derive import derive
from skline.contract.spec import Contract
from skline.contract.table import Table, column
from skline.scoring import golden_verification
from tests.fixtures import demo, plan_environment

DATATYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL"}
ABSENT = ("pandas", "sklearn", "scipy", "joblib")


class Inputs(Table):
    """A number."""

    a: float = column("first", example=1.0, ge=0)


class Labelled(Inputs):
    """A number and its class."""

    y: bool = column("target", role="target")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plan_environment.link_packages(tmp_path_factory.mktemp("plan") / "packages")


@pytest.fixture(scope="module")
def contract() -> Contract:
    return derive(Inputs, Labelled, {})


def package(folder: Path, contract: Contract, *steps: Any) -> demo.Packaged:
    """Package a pipeline that was fitted on noise, so that its trees are deep."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.uniform(size=5_000)})
    target = random.integers(2, size=5_000) == 1
    return demo.package(folder, make_pipeline(*steps).fit(frame, target), contract, [{"a": 1.0}])


@pytest.fixture(scope="module")
def forest(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    """An artifact whose plan holds trees of scikit-learn."""
    return package(tmp_path_factory.mktemp("forest") / "a", contract, RandomForestClassifier(3, n_jobs=1))


@pytest.fixture(scope="module")
def unplanned(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    """An artifact without a plan."""
    steps = (PowerTransformer(), LogisticRegression())
    return package(tmp_path_factory.mktemp("unplanned") / "a", contract, *steps)


def verify(packages: Path, packaged: demo.Packaged) -> Any:
    """Verify an artifact as the Dockerfile does."""
    module = "skline.scoring.golden_verification"
    return plan_environment.run(packages, "-m", module, str(packaged.folder), packaged.digest, "--plan-only")


def test_the_environment_lacks_the_libraries_of_the_pipeline(packages: Path) -> None:
    for name in ABSENT:
        done = plan_environment.run(packages, "-c", f"import {name}")
        assert f"No module named '{name}'" in done.stderr


def test_an_artifact_that_its_plan_can_serve_is_verified_at_build_time(packages: Path, packaged: demo.Packaged) -> None:
    done = verify(packages, packaged)
    assert (done.returncode, done.stderr) == (0, "")
    assert "golden rows equal" in done.stdout


def test_an_artifact_whose_plan_holds_trees_of_scikit_learn_is_not_built(packages: Path, forest: demo.Packaged) -> None:
    done = verify(packages, forest)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be served by its stored plan alone: it holds objects of scikit-learn" in done.stderr
    assert "build the target `full`" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_artifact_without_a_plan_is_not_built(packages: Path, unplanned: demo.Packaged) -> None:
    done = verify(packages, unplanned)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"the artifact holds none \(.*PowerTransformer.*\)", done.stderr)


def test_the_check_says_the_same_where_all_libraries_are_installed(
    forest: demo.Packaged, unplanned: demo.Packaged, packaged: demo.Packaged, capsys: pytest.CaptureFixture[str]
) -> None:
    golden_verification.main([str(packaged.folder), packaged.digest, "--plan-only"])
    assert "golden rows equal" in capsys.readouterr().out
    for each, problem in ((forest, "it holds objects of scikit-learn"), (unplanned, "PowerTransformer")):
        with pytest.raises(InvalidArtifact, match=problem):
            golden_verification.main([str(each.folder), each.digest, "--plan-only"])
        golden_verification.main([str(each.folder), each.digest])


def test_a_service_without_the_pipelines_libraries_rejects_what_its_plan_cannot_serve(
    packages: Path, forest: demo.Packaged, tmp_path: Path
) -> None:
    log = {"LOG__DATABASE": str(tmp_path / "log.db")}
    with plan_environment.service(packages, forest.folder, forest.digest, log, wait=False) as client:
        reason = wait_for_reason(client)
        assert "it holds objects of scikit-learn" in reason
        assert "needs joblib, pandas, scikit-learn, scipy" in reason
        assert "the image of the target `full`" in reason
        response = client.post("/predict", json={"a": 1.0})
        assert (response.status_code, response.json()["detail"][0]["type"]) == (503, "not_ready")
        metrics = client.get("/metrics").text
    assert re.search(r"^skline_artifact_rejections_total 1", metrics, re.M)
    [count] = re.findall(
        r'^skline_request_duration_seconds_count\{route="/predict",.*status="503"\} (.*)$', metrics, re.M
    )
    assert float(count) == 1


def wait_for_reason(client: httpx.Client) -> str:
    for _ in range(200):
        reason: str = client.get("/health/ready").json()["reason"]
        if reason != "the model is being loaded":
            return reason
        time.sleep(0.05)
    raise AssertionError("the artifact is neither served nor rejected")


def test_every_route_works_by_the_stored_plan(packages: Path, packaged: demo.Packaged, tmp_path: Path) -> None:
    opened = Artifact.open(packaged.folder, packaged.digest)
    golden, names = opened.golden, opened.contract.input_names
    assert golden.probabilities is not None
    log = {"LOG__DATABASE": str(tmp_path / "log.db"), "LOG__BATCH_MS": "10"}
    with plan_environment.service(packages, packaged.folder, packaged.digest, log) as client:
        assert client.get("/info").json()["scoring"] == {"path": "plan", "exactness": "bits", "reason": None}
        assert client.get("/").status_code == 200
        assert client.get("/openapi.json").status_code == 200
        ones = [client.post("/predict", json=row).raise_for_status().json() for row in golden.rows]
        assert [one["prediction"] for one in ones] == golden.predictions
        assert [list(one["probabilities"].values()) for one in ones] == golden.probabilities
        batch = client.post("/predict/batch", json=golden.rows).raise_for_status().json()["predictions"]
        assert [list(one["probabilities"].values()) for one in batch] == golden.probabilities
        explained = client.post("/predict?explain=true", json=golden.rows[0]).raise_for_status().json()
        assert set(explained["explanation"]["contributions"]) == set(names)
        assert client.post("/predict", json={"origin": 5}).status_code == 422
        label = [{"prediction_id": ones[0]["prediction_id"], "label": False}]
        assert client.post("/labels", json=label).raise_for_status().status_code == 200
        split = {"columns": names, "data": [[row[name] for name in names] for row in golden.rows]}
        mlflow = client.post("/invocations", json={"dataframe_split": split}).raise_for_status().json()
        assert mlflow["predictions"] == golden.predictions
        tensors = {"inputs": [tensor(opened.contract, name, golden.rows[0][name]) for name in names]}
        outputs = client.post("/v2/models/demo/infer", json=tensors).raise_for_status().json()["outputs"]
        assert outputs[0]["data"] == golden.predictions[:1]
        wait_for_rows(tmp_path / "log.db", len(golden.rows) * 3 + 2)


def tensor(contract: Contract, name: str, value: Any) -> dict[str, Any]:
    """Return a column of one row as a tensor of the Open Inference Protocol."""
    [kind] = [each.kind for each in contract.inputs if each.name == name]
    return {"name": name, "shape": [1], "datatype": DATATYPES.get(kind, "BYTES"), "data": [value]}


def wait_for_rows(database: Path, count: int) -> None:
    for _ in range(200):
        with closing(sqlite3.connect(database)) as connection:
            [(rows,)] = connection.execute("SELECT count(*) FROM predictions").fetchall()
            [(labels,)] = connection.execute("SELECT count(*) FROM labels").fetchall()
        if (rows, labels) == (count, 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"the log has {rows} predictions and {labels} labels, not {count} and 1")
