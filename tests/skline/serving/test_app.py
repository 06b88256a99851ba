"""The service derives its routes from the artifact, reports readiness, and needs no training library and no network."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer

from skline import artifact
from skline.artifact import InvalidArtifact
from skline.contract.derive import derive
from skline.contract.table import Table, column
from skline.serving.app import create_app
from skline.serving.settings import ServiceSettings
from tests.conftest import running, wait_until_loaded
from tests.fixtures import demo

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        training = ("mlflow", "dvc", "pandera", "pyarrow", "yaml", "tqdm")
        unneeded = ("sklearn", "pandas", "scipy", "joblib")  # for pipelines that cannot be planned
        own = ("skline.stages", "skline.registry", "skline.evaluation", "model.contract")
        if name.split(".")[0] in training + unneeded or name in own:
            raise ImportError(f"{name} is not in the image")
sys.meta_path.insert(0, Block())
import skline.serving.app
from skline.serving.settings import ServiceSettings
"""


def test_serves_without_the_libraries_of_training(packaged: demo.Packaged) -> None:
    script = BLOCK + (
        "from skline.artifact import Artifact\nfrom skline.serving.prediction.predictor import Predictor\n"
        "from pathlib import Path\nimport json\n"
        f"a = Artifact.open(Path({str(packaged.folder)!r}), {packaged.digest!r})\n"
        f"s = ServiceSettings(artifact=Path({str(packaged.folder)!r}), artifact_digest={packaged.digest!r})\n"
        "app = skline.serving.app.create_app(s)\n"
        "import asyncio\n"
        "async def predict():\n"
        "    await app.app.state.container.models.start()\n"
        "    return await app.app.state.container.predictor.predict_json(json.dumps(a.golden.rows[0]).encode())\n"
        "print(json.dumps(asyncio.run(predict())))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=demo.ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert '"prediction"' in done.stdout


def test_is_live_and_ready_and_reports_what_it_serves(client: httpx.Client, packaged: demo.Packaged) -> None:
    assert client.get("/health/live").json() == {"live": True}
    version = f"demo@{packaged.digest[:12]}"
    ready = {"ready": True, "model_version": version, "reason": None, "rejected": None}
    assert client.get("/health/ready").json() == ready
    info = client.get("/info").json()
    assert (info["model_version"], info["artifact_sha256"]) == (version, packaged.digest)
    assert info["manifest"].keys() >= {
        "engine", "data_sha256", "params_sha256", "contract_sha256", "libraries", "metrics",
    }  # fmt: skip


def test_rejects_an_artifact_that_does_not_match_its_digest(packaged: demo.Packaged) -> None:
    with pytest.raises(InvalidArtifact):
        create_app(ServiceSettings(artifact=packaged.folder, artifact_digest="0" * 64))


def test_a_model_that_fails_its_golden_rows_is_never_ready(serve: Any, tmp_path: Path, example: Any) -> None:
    packaged = demo.package(tmp_path / "artifact")
    golden = packaged.folder / artifact.GOLDEN
    golden.write_text(re.sub(r"0\.\d+", "0.123", golden.read_text()))
    files = {path.name: path.read_bytes() for path in packaged.folder.iterdir() if path.name != artifact.MANIFEST}
    metadata = artifact.Manifest.model_validate_json((packaged.folder / artifact.MANIFEST).read_bytes()).model_dump()
    for key in ("format", "files"):
        del metadata[key]
    shutil.rmtree(packaged.folder)
    client = serve(packaged.folder, artifact.write(packaged.folder, files, metadata))
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert "golden row 0" in response.json()["reason"]
    rejection = client.post("/predict", json=example)
    assert (rejection.status_code, rejection.headers["retry-after"]) == (503, "1")
    assert client.get("/health/live").status_code == 200


def test_the_documentation_loads_nothing_from_other_hosts(client: httpx.Client) -> None:
    page = client.get("/docs").text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert links
    for link in links:
        assert link.startswith("/")
        assert client.get(link).status_code == 200
    assert "https://" not in page


def test_the_openapi_schema_has_the_rules_of_the_contract(client: httpx.Client) -> None:
    post = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["required"]) == set(demo.contract().input_names)
    assert schema["additionalProperties"] is False
    assert schema["properties"]["origin"]["enum"] == ["EWR", "JFK", "LGA"]
    distance = schema["properties"]["distance"]
    assert {"type": "null"} in distance["anyOf"]
    assert "miles" in distance["description"]


class Inputs(Table):
    """Two numbers, one with a name that is not an identifier."""

    a: float = column("first", example=1.0)
    b: float = column("second", example=2.0, alias="class, %", nullable=True)


class Number(Inputs):
    """A number."""

    y: float = column("target", role="target")


class Colour(Inputs):
    """One of three colours."""

    y: str = column("target", role="target", isin=["red", "green", "blue"])


@pytest.fixture
def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame({"a": random.normal(size=60), "class, %": random.normal(size=60)})


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_regression_returns_a_number_and_no_probabilities(serve: Any, tmp_path: Path, frame: pd.DataFrame) -> None:
    fitted = make_pipeline(LinearRegression()).fit(frame, frame["a"] * 2)
    packaged = demo.package(tmp_path / "a", fitted, derive(Inputs, Number, {}), [{"a": 1.0, "class, %": 2.0}])
    client = serve(packaged.folder, packaged.digest)
    response = client.post("/predict", json={"a": 3.0, "class, %": 1.0}).json()
    assert response.keys() == {"prediction", "model_version", "prediction_id"}
    assert response["prediction"] == pytest.approx(6.0)
    overflow = client.post("/predict", json={"a": 1.7e308, "class, %": 1.7e308})
    assert (overflow.status_code, "no finite prediction" in overflow.text) == (422, True)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_values_that_scikit_learn_rejects_get_a_422(serve: Any, tmp_path: Path, frame: pd.DataFrame) -> None:
    fitted = make_pipeline(RandomForestRegressor(2)).fit(frame, frame["a"])
    packaged = demo.package(tmp_path / "a", fitted, derive(Inputs, Number, {}), [{"a": 1.0, "class, %": 2.0}])
    response = serve(packaged.folder, packaged.digest).post("/predict", json={"a": 1e300, "class, %": 1.0})
    assert (response.status_code, "cannot score" in response.text) == (422, True)


def test_three_classes_get_three_probabilities(serve: Any, tmp_path: Path, frame: pd.DataFrame) -> None:
    target = np.array(["red", "green", "blue"])[np.arange(60) % 3]
    fitted = make_pipeline(LogisticRegression()).fit(frame, target)
    packaged = demo.package(tmp_path / "a", fitted, derive(Inputs, Colour, {}), [{"a": 1.0, "class, %": 2.0}])
    response = serve(packaged.folder, packaged.digest).post("/predict", json={"a": 3.0, "class, %": 1.0}).json()
    assert list(response["probabilities"]) == ["blue", "green", "red"]
    assert response["prediction"] == max(response["probabilities"], key=response["probabilities"].get)


def test_info_reports_that_the_plan_is_used(client: httpx.Client) -> None:
    info = client.get("/info").json()
    assert info["scoring"] == info["manifest"]["scoring"] == {"path": "plan", "exactness": "bits", "reason": None}


def test_a_pipeline_without_a_plan_predicts_itself(serve: Any, tmp_path: Path, frame: pd.DataFrame) -> None:
    fitted = make_pipeline(PowerTransformer(), LinearRegression()).fit(frame.abs() + 1, frame["a"])
    packaged = demo.package(tmp_path / "a", fitted, derive(Inputs, Number, {}), [{"a": 1.0, "class, %": 2.0}])
    client = serve(packaged.folder, packaged.digest)
    scoring = client.get("/info").json()["scoring"]
    assert scoring["path"] == "pipeline"
    assert "PowerTransformer" in scoring["reason"]
    expected = fitted.predict(pd.DataFrame({"a": [3.0], "class, %": [1.5]}))[0]
    assert client.post("/predict", json={"a": 3.0, "class, %": 1.5}).json()["prediction"] == expected


def test_other_methods_and_paths_get_fastapis_responses(client: httpx.Client) -> None:
    wrong = client.get("/predict")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert client.get("/nothing").status_code == 404


def test_the_fast_path_and_fastapi_send_the_same_responses(packaged: demo.Packaged, example: dict[str, Any]) -> None:
    service = create_app(ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest))
    with running(service) as fast, running(service.app) as plain:
        wait_until_loaded(fast)
        wait_until_loaded(plain)
        for path, body in (("/predict", example), ("/predict", {}), ("/predict/batch", [example]), ("/predict", 5)):
            fast_response, plain_response = fast.post(path, json=body), plain.post(path, json=body)
            assert fast_response.status_code == plain_response.status_code
            assert _without_ids(fast_response.text) == _without_ids(plain_response.text)
            assert fast_response.headers["content-type"] == plain_response.headers["content-type"]


def _without_ids(text: str) -> str:
    return re.sub(r'"prediction_id":"[0-9a-f]{32}"', "", text)


def test_an_unexpected_error_is_a_500_without_details_and_logged_with_them(
    packaged: demo.Packaged, example: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    service = create_app(ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest))
    with running(service) as client:
        wait_until_loaded(client)
        service.app.state.container.parser.parse_row = None
        response = client.post("/predict", json=example)
    assert response.status_code == 500
    assert response.json()["detail"][0]["type"] == "server_error"
    assert "TypeError" not in response.text
    assert "TypeError" in caplog.text
