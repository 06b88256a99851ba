"""The service knows its model, says when it is ready, and needs nothing of training and nothing of the internet."""

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

from serving.app import create_app
from serving.settings import ServiceSettings
from skline import artifact
from skline.artifact import ArtifactRefused
from skline.contract.derive import derive
from skline.contract.table import Table, column
from tests import demo
from tests.conftest import running, wait_until_loaded

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        training = ("mlflow", "dvc", "pandera", "pyarrow", "yaml", "tqdm")
        unneeded = ("sklearn", "pandas")  # in the image, for pipelines that cannot be planned
        own = ("skline.stages", "skline.registry", "skline.evaluation", "model.contract")
        if name.split(".")[0] in training + unneeded or name in own:
            raise ImportError(f"{name} is not in the image")
sys.meta_path.insert(0, Block())
import serving.app
from serving.settings import ServiceSettings
"""


def test_the_app_serves_with_training_blocked(packaged: demo.Packaged) -> None:
    script = BLOCK + (
        "from skline.artifact import Artifact\nfrom serving.predictor import Predictor\n"
        "from pathlib import Path\nimport json\n"
        f"a = Artifact.open(Path({str(packaged.folder)!r}), {packaged.digest!r})\n"
        f"s = ServiceSettings(artifact=Path({str(packaged.folder)!r}), artifact_digest={packaged.digest!r})\n"
        "app = serving.app.create_app(s)\n"
        "import asyncio\n"
        "async def ask():\n"
        "    await app.app.state.models.start()\n"
        "    return await app.app.state.predictor.answer_row(json.dumps(a.golden.rows[0]).encode())\n"
        "print(json.dumps(asyncio.run(ask())))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=demo.ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert '"prediction"' in done.stdout


def test_it_is_live_and_ready_and_tells_what_it_serves(client: httpx.Client, packaged: demo.Packaged) -> None:
    assert client.get("/health/live").json() == {"live": True}
    version = f"demo@{packaged.digest[:12]}"
    assert client.get("/health/ready").json() == {"ready": True, "model_version": version, "reason": None}
    info = client.get("/info").json()
    assert (info["model_version"], info["artifact_sha256"]) == (version, packaged.digest)
    assert info["manifest"].keys() >= {
        "git_commit", "data_sha256", "params_sha256", "contract_sha256", "libraries", "metrics",
    }  # fmt: skip


def test_an_artifact_that_is_not_what_the_digest_says_is_not_served(packaged: demo.Packaged) -> None:
    with pytest.raises(ArtifactRefused):
        create_app(ServiceSettings(artifact=packaged.folder, artifact_digest="0" * 64))


def test_a_model_that_fails_its_golden_rows_never_becomes_ready(serve: Any, tmp_path: Path, example: Any) -> None:
    packaged = demo.package(tmp_path / "artifact")
    golden = packaged.folder / artifact.GOLDEN
    golden.write_text(re.sub(r"0\.\d+", "0.123", golden.read_text()))
    files = {path.name: path.read_bytes() for path in packaged.folder.iterdir() if path.name != artifact.MANIFEST}
    facts = artifact.Manifest.model_validate_json((packaged.folder / artifact.MANIFEST).read_bytes()).model_dump()
    for known in ("format", "files"):
        del facts[known]
    shutil.rmtree(packaged.folder)
    client = serve(packaged.folder, artifact.write(packaged.folder, files, facts))
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert "golden row 0" in response.json()["reason"]
    refused = client.post("/predict", json=example)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert client.get("/health/live").status_code == 200


def test_documentation_needs_no_other_host(client: httpx.Client) -> None:
    page = client.get("/docs").text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert links
    for link in links:
        assert link.startswith("/")
        assert client.get(link).status_code == 200
    assert "https://" not in page


def test_the_schema_of_the_api_holds_the_contracts_rules(client: httpx.Client) -> None:
    post = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["required"]) == set(demo.contract().input_names)
    assert schema["additionalProperties"] is False
    assert schema["properties"]["origin"]["enum"] == ["EWR", "JFK", "LGA"]
    distance = schema["properties"]["distance"]
    assert {"type": "null"} in distance["anyOf"]
    assert "miles" in distance["description"]


class Inputs(Table):
    """Two numbers, one with a name that is no identifier."""

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
def test_a_regression_answers_a_number_and_no_probabilities(serve: Any, tmp_path: Path, frame: pd.DataFrame) -> None:
    fitted = make_pipeline(LinearRegression()).fit(frame, frame["a"] * 2)
    packaged = demo.package(tmp_path / "a", fitted, derive(Inputs, Number, {}), [{"a": 1.0, "class, %": 2.0}])
    client = serve(packaged.folder, packaged.digest)
    answer = client.post("/predict", json={"a": 3.0, "class, %": 1.0}).json()
    assert answer.keys() == {"prediction", "model_version", "prediction_id"}
    assert answer["prediction"] == pytest.approx(6.0)
    too_much = client.post("/predict", json={"a": 1.7e308, "class, %": 1.7e308})
    assert (too_much.status_code, "no finite answer" in too_much.text) == (422, True)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_values_that_sklearn_refuses_are_a_422(serve: Any, tmp_path: Path, frame: pd.DataFrame) -> None:
    fitted = make_pipeline(RandomForestRegressor(2)).fit(frame, frame["a"])
    packaged = demo.package(tmp_path / "a", fitted, derive(Inputs, Number, {}), [{"a": 1.0, "class, %": 2.0}])
    response = serve(packaged.folder, packaged.digest).post("/predict", json={"a": 1e300, "class, %": 1.0})
    assert (response.status_code, "cannot score" in response.text) == (422, True)


def test_three_classes_answer_three_probabilities(serve: Any, tmp_path: Path, frame: pd.DataFrame) -> None:
    target = np.array(["red", "green", "blue"])[np.arange(60) % 3]
    fitted = make_pipeline(LogisticRegression()).fit(frame, target)
    packaged = demo.package(tmp_path / "a", fitted, derive(Inputs, Colour, {}), [{"a": 1.0, "class, %": 2.0}])
    answer = serve(packaged.folder, packaged.digest).post("/predict", json={"a": 3.0, "class, %": 1.0}).json()
    assert list(answer["probabilities"]) == ["blue", "green", "red"]
    assert answer["prediction"] == max(answer["probabilities"], key=answer["probabilities"].get)


def test_info_tells_that_the_plan_answers(client: httpx.Client) -> None:
    info = client.get("/info").json()
    assert info["scoring"] == info["manifest"]["scoring"] == {"path": "plan", "exactness": "bits", "reason": None}


def test_a_pipeline_that_cannot_be_planned_answers_itself(serve: Any, tmp_path: Path, frame: pd.DataFrame) -> None:
    fitted = make_pipeline(PowerTransformer(), LinearRegression()).fit(frame.abs() + 1, frame["a"])
    packaged = demo.package(tmp_path / "a", fitted, derive(Inputs, Number, {}), [{"a": 1.0, "class, %": 2.0}])
    client = serve(packaged.folder, packaged.digest)
    scoring = client.get("/info").json()["scoring"]
    assert scoring["path"] == "pipeline"
    assert "PowerTransformer" in scoring["reason"]
    expected = fitted.predict(pd.DataFrame({"a": [3.0], "class, %": [1.5]}))[0]
    assert client.post("/predict", json={"a": 3.0, "class, %": 1.5}).json()["prediction"] == expected


def test_other_methods_and_pages_are_fastapis_own_answers(client: httpx.Client) -> None:
    wrong = client.get("/predict")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert client.get("/nothing").status_code == 404


def test_the_short_way_and_the_long_one_answer_alike(packaged: demo.Packaged, example: dict[str, Any]) -> None:
    service = create_app(ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest))
    with running(service) as short, running(service.app) as long:
        wait_until_loaded(short)
        wait_until_loaded(long)
        for path, body in (("/predict", example), ("/predict", {}), ("/predict/batch", [example]), ("/predict", 5)):
            one, other = short.post(path, json=body), long.post(path, json=body)
            assert one.status_code == other.status_code
            assert _without_ids(one.text) == _without_ids(other.text)
            assert one.headers["content-type"] == other.headers["content-type"]


def _without_ids(text: str) -> str:
    return re.sub(r'"prediction_id":"[0-9a-f]{32}"', "", text)


def test_what_nobody_foresaw_is_a_500_that_tells_nothing_and_a_log_that_tells_all(
    packaged: demo.Packaged, example: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    service = create_app(ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest))
    with running(service) as client:
        wait_until_loaded(client)
        service.app.state.predictor.bodies = None
        response = client.post("/predict", json=example)
    assert response.status_code == 500
    assert response.json()["detail"][0]["type"] == "server_error"
    assert "AttributeError" not in response.text
    assert "AttributeError" in caplog.text
