"""The stored plan scores if it can be verified here; otherwise the pipeline does, and the service reports it."""

import asyncio
from collections.abc import Callable
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
from skline.scoring import plan_storage
from skline.scoring.planning import build_plan
from skline.stages.train import train
from tests.fixtures import demo
from tests.fixtures.sample_project.pipeline import build_pipeline
from tests.fixtures.service import metric
from tests.skline.serving.test_app import Colour, Inputs


def with_plan(packaged: demo.Packaged, folder: Path, plan: bytes, **other_fields: Any) -> demo.Packaged:
    """Copy an artifact with another plan, other fields of its manifest, and a digest that matches."""
    files = {path.name: path.read_bytes() for path in packaged.folder.iterdir() if path.name != artifact.MANIFEST}
    manifest = artifact.Manifest.model_validate_json((packaged.folder / artifact.MANIFEST).read_bytes())
    fields = manifest.model_dump(exclude={"format", "files"}) | other_fields
    return demo.Packaged(folder, artifact.write(folder, files | {artifact.PLAN: plan}, fields))


def expected_probability(row: dict[str, Any]) -> float:
    """Return what the pipeline predicts for a row of the demo contract."""
    from skline.contract.request_validation import RowParser
    from skline.scoring.reference import score_with_pipeline

    contract = demo.contract()
    rows = RowParser(contract).row.validate_python(row, strict=False)
    probabilities = score_with_pipeline(demo.pipeline(), contract.inputs, [rows]).probabilities
    assert probabilities is not None
    return float(probabilities[0, 1])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda plan: b"0" * 64 + plan[64:], "it was written by code 000000000000"),
        (lambda plan: plan[:1000], "it cannot be unpickled"),
    ],
    ids=["other code", "truncated"],
)
def test_unusable_plan_is_rebuilt_from_the_pipeline_and_reported(
    change: Callable[[bytes], bytes],
    problem: str,
    serve: Any,
    packaged: demo.Packaged,
    tmp_path: Path,
    example: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    plan = (packaged.folder / artifact.PLAN).read_bytes()
    other = with_plan(packaged, tmp_path / "a", change(plan))
    client = serve(other.folder, other.digest)
    scoring = client.get("/info").json()["scoring"]
    assert scoring["path"] == "plan"
    assert scoring["reason"].startswith(f"the stored plan is not used: {problem}")
    assert f"the stored plan is not used: {problem}" in caplog.text
    assert client.post("/predict", json=example).json()["probabilities"]["true"] == expected_probability(example)


def test_plan_that_differs_from_the_pipeline_is_rejected_and_rebuilt(
    serve: Any, packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    other_pipeline = train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": 3}, seed=17)
    other = with_plan(
        packaged, tmp_path / "a", plan_storage.dump_plan(build_plan(other_pipeline, demo.contract().inputs))
    )
    client = serve(other.folder, other.digest)
    assert "differs from the pipeline on the golden rows" in caplog.text
    assert client.post("/predict", json=example).json()["probabilities"]["true"] == expected_probability(example)


@pytest.fixture(scope="module")
def colours() -> Any:
    """A pipeline that no plan can be built from, and its rows."""
    import pandas as pd

    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=80), "class, %": random.normal(size=80)})
    target = np.array(["red", "green", "blue"])[np.arange(80) % 3]
    fitted = make_pipeline(StandardScaler(), PowerTransformer(), LogisticRegression()).fit(frame, target)
    return fitted, frame


def test_pipeline_without_plan_scores_concurrent_requests_in_batches(serve: Any, tmp_path: Path, colours: Any) -> None:
    fitted, frame = colours
    packaged = demo.package(tmp_path / "a", fitted, derive(Inputs, Colour, {}), [{"a": 1.0, "class, %": 2.0}])
    client = serve(packaged.folder, packaged.digest)
    rows = frame.to_dict("records")
    with ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(lambda row: client.post("/predict", json=row).json(), rows))
    expected = fitted.predict_proba(frame)
    predicted = np.array([list(response["probabilities"].values()) for response in responses])
    np.testing.assert_allclose(predicted, expected, rtol=1e-12)
    assert [response["prediction"] for response in responses] == fitted.predict(frame).tolist()
    assert metric(client, 'skline_batch_rows_sum{source="micro_batch"}') == len(rows)
    assert metric(client, "skline_plan_rejected") == 0
    assert 'path="pipeline"' in client.get("/metrics").text


def test_plan_that_can_neither_be_verified_nor_rebuilt_is_reported(
    serve: Any, tmp_path: Path, colours: Any, caplog: pytest.LogCaptureFixture
) -> None:
    fitted, frame = colours
    packaged = demo.package(tmp_path / "a", fitted, derive(Inputs, Colour, {}), [{"a": 1.0, "class, %": 2.0}])
    scoring_of_manifest = {"path": "plan", "exactness": "bits", "reason": None}
    other = with_plan(packaged, tmp_path / "b", b"0" * 64, scoring=scoring_of_manifest)
    client = serve(other.folder, other.digest)
    assert metric(client, "skline_plan_rejected") == 1
    scoring = client.get("/info").json()["scoring"]
    assert (scoring["path"], "PowerTransformer" in scoring["reason"]) == ("pipeline", True)
    assert "no plan is used" in caplog.text
    row = frame.to_dict("records")[0]
    assert client.post("/predict", json=row).json()["prediction"] == fitted.predict(frame.head(1))[0]


def test_full_queue_is_a_503_with_retry_after(serve: Any, tmp_path: Path, colours: Any) -> None:
    fitted, frame = colours
    packaged = demo.package(tmp_path / "a", fitted, derive(Inputs, Colour, {}), [{"a": 1.0, "class, %": 2.0}])
    client = serve(packaged.folder, packaged.digest, batch_queue=1, batch_limit=1)
    row = frame.to_dict("records")[0]

    async def send_concurrently() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=client.base_url, trust_env=False) as session:
            return await asyncio.gather(*(session.post("/predict", json=row) for _ in range(40)))

    responses = asyncio.run(send_concurrently())
    rejected = [response for response in responses if response.status_code != 200]
    assert 0 < len(rejected) < len(responses)
    assert {(response.status_code, response.headers["retry-after"]) for response in rejected} == {(503, "1")}
