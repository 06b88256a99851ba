"""The stored plan answers if it is proved here; otherwise the pipeline does, and says so."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler

from skline import artifact
from skline.contract.derive import derive
from skline.scoring import stored
from skline.scoring.plan import build_plan
from skline.stages.train import train
from tests import demo
from tests.serving.test_service import Colour, Inputs
from tests.world.pipeline import build_pipeline


def with_plan(packaged: demo.Packaged, folder: Path, plan: bytes, **other_facts: Any) -> demo.Packaged:
    """The same artifact with other bytes for its plan, other facts, and a digest to match."""
    files = {path.name: path.read_bytes() for path in packaged.folder.iterdir() if path.name != artifact.MANIFEST}
    manifest = artifact.Manifest.model_validate_json((packaged.folder / artifact.MANIFEST).read_bytes())
    facts = manifest.model_dump(exclude={"format", "files"}) | other_facts
    return demo.Packaged(folder, artifact.write(folder, files | {artifact.PLAN: plan}, facts))


def metric(client: httpx.Client, name: str) -> float:
    [value] = re.findall(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(value)


def expected(row: dict[str, Any]) -> float:
    from skline.contract.requests import Rows
    from skline.scoring.reference import score_with_pipeline

    contract = demo.contract()
    rows = Rows(contract).one.validate_python(row, strict=False)
    chances = score_with_pipeline(demo.pipeline(), contract.inputs, [rows]).probabilities
    assert chances is not None
    return float(chances[0, 1])


def test_a_plan_of_older_code_is_read_out_of_the_pipeline_again(
    serve: Any, packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    plan = (packaged.folder / artifact.PLAN).read_bytes()
    other = with_plan(packaged, tmp_path / "a", b"0" * 64 + plan[64:])
    client = serve(other.folder, other.digest)
    assert client.get("/info").json()["scoring"]["path"] == "plan"
    assert client.post("/predict", json=example).json()["probabilities"]["true"] == expected(example)


def test_a_plan_that_answers_otherwise_is_refused_and_the_pipeline_plans_anew(
    serve: Any, packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    another = train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": 3}, seed=17)
    other = with_plan(packaged, tmp_path / "a", stored.dump(build_plan(another, demo.contract().inputs)))
    client = serve(other.folder, other.digest)
    assert "differs from the pipeline on the golden rows" in caplog.text
    assert client.post("/predict", json=example).json()["probabilities"]["true"] == expected(example)


@pytest.fixture(scope="module")
def colours() -> Any:
    """A pipeline that cannot be planned, and its rows."""
    import pandas as pd

    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=80), "class, %": random.normal(size=80)})
    target = np.array(["red", "green", "blue"])[np.arange(80) % 3]
    fitted = make_pipeline(StandardScaler(), PowerTransformer(), LogisticRegression()).fit(frame, target)
    return fitted, frame


def test_a_pipeline_without_a_plan_answers_concurrent_requests_together(
    serve: Any, tmp_path: Path, colours: Any
) -> None:
    fitted, frame = colours
    packaged = demo.package(tmp_path / "a", fitted, derive(Inputs, Colour, {}), [{"a": 1.0, "class, %": 2.0}])
    client = serve(packaged.folder, packaged.digest)
    rows = frame.to_dict("records")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda row: client.post("/predict", json=row).json(), rows))
    alone = fitted.predict_proba(frame)
    found = np.array([list(answer["probabilities"].values()) for answer in answers])
    np.testing.assert_allclose(found, alone, rtol=1e-12)
    assert [answer["prediction"] for answer in answers] == fitted.predict(frame).tolist()
    assert metric(client, 'skline_batch_rows_sum{source="micro"}') == len(rows)
    assert metric(client, "skline_plan_refused") == 0
    assert 'path="pipeline"' in client.get("/metrics").text


def test_a_plan_that_cannot_be_proved_nor_made_is_counted(
    serve: Any, tmp_path: Path, colours: Any, caplog: pytest.LogCaptureFixture
) -> None:
    fitted, frame = colours
    packaged = demo.package(tmp_path / "a", fitted, derive(Inputs, Colour, {}), [{"a": 1.0, "class, %": 2.0}])
    promised = {"path": "plan", "exactness": "bits", "reason": None}
    other = with_plan(packaged, tmp_path / "b", b"0" * 64, scoring=promised)
    client = serve(other.folder, other.digest)
    assert metric(client, "skline_plan_refused") == 1
    scoring = client.get("/info").json()["scoring"]
    assert (scoring["path"], "PowerTransformer" in scoring["reason"]) == ("pipeline", True)
    assert "no plan is used" in caplog.text
    row = frame.to_dict("records")[0]
    assert client.post("/predict", json=row).json()["prediction"] == fitted.predict(frame.head(1))[0]


def test_a_full_queue_is_a_503_that_says_when_to_come_back(serve: Any, tmp_path: Path, colours: Any) -> None:
    fitted, frame = colours
    packaged = demo.package(tmp_path / "a", fitted, derive(Inputs, Colour, {}), [{"a": 1.0, "class, %": 2.0}])
    client = serve(packaged.folder, packaged.digest, batch_queue=1, batch_limit=1)
    row = frame.to_dict("records")[0]

    async def at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=client.base_url, trust_env=False) as many:
            return await asyncio.gather(*(many.post("/predict", json=row) for _ in range(40)))

    answers = asyncio.run(at_once())
    refused = [answer for answer in answers if answer.status_code != 200]
    assert refused
    assert len(refused) < len(answers)
    assert {(answer.status_code, answer.headers["retry-after"]) for answer in refused} == {(503, "1")}
