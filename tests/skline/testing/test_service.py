"""Tests of the service that a project's tests run, of the checks of its predictions, and of `skline compare`."""

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from skline import comparison
from skline.artifact import Artifact
from skline.cli import parser
from skline.comparison import Comparison, compare, sample_rows
from skline.errors import SklineError
from skline.loading import Model
from skline.logs.read import read_predictions
from skline.logs.settings import LogSettings
from skline.monitoring.log_tables import Period
from skline.monitoring.reader import LogReader
from skline.testing import check_predictions, check_rejections, service
from tests.fixtures import demo

OWN_ROUTE = """
from fastapi import APIRouter
from skline.serving.app import create_app

app = create_app()
router = APIRouter()

@router.get("/hello")
def hello() -> str:
    return "hello"

app.include_router(router)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, packaged: demo.Packaged) -> Iterator[Path]:
    """A project with a packaged model and a route of its own, as the current folder."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(packaged.folder, folder / "artifact")
    (folder / "artifact.sha256").write_text(packaged.digest)
    (folder / "dvc.yaml").write_text("stages: {}\n")
    (folder / "serving").mkdir()
    (folder / "serving/app.py").write_text(OWN_ROUTE)
    (folder / "data/split").mkdir(parents=True)
    rows = demo.parts()["test"].iloc[:200]
    rows.iloc[:0].to_parquet(folder / "data/split/live.parquet")
    rows.to_parquet(folder / "data/split/test.parquet")
    path = sys.path[:]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder
    sys.path[:] = path


@pytest.fixture(scope="module")
def own_service(project: Path) -> Iterator[httpx.Client]:
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SKLINE_MAX_BATCH_ROWS", "1")  # a setting that does not apply
            client = stack.enter_context(service())
        yield client


@pytest.fixture
def model(packaged: demo.Packaged) -> Model:
    return Model(Artifact.open(packaged.folder, packaged.digest))


def post(client: httpx.Client) -> comparison.Post:
    return lambda path, body: client.post(path, json=body).raise_for_status().json()


def run_compare(project: Path, *arguments: str, key: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "SKLINE_KEY"}
    return subprocess.run(
        [sys.executable, "-m", "skline.cli", "compare", *arguments],
        cwd=project,
        env=environment | ({} if key is None else {"SKLINE_KEY": key}),
        capture_output=True,
        text=True,
        check=False,
    )


def test_service_of_the_project_predicts_and_rejects(own_service: httpx.Client) -> None:
    check_predictions(own_service, n_rows=100, n_single=5)
    check_rejections(own_service)


def test_own_routes_are_served_beside_the_fast_path(own_service: httpx.Client, example: dict[str, Any]) -> None:
    assert own_service.get("/hello").json() == "hello"
    assert own_service.post("/predict", json=example).status_code == 200


def test_service_requires_the_key_of_its_client_and_logs_outside_of_the_project(
    own_service: httpx.Client, project: Path
) -> None:
    address = str(own_service.base_url)
    assert httpx.get(f"{address}/info", trust_env=False).status_code == 401
    assert own_service.get("/metrics").status_code == 200
    assert not (project / "logs").exists()


def test_service_that_cannot_start_shows_its_log(project: Path) -> None:
    with (
        pytest.raises(SklineError, match=r"ended with status 1:\n(.*\n)*.*SKLINE_MAX_BATCH_ROWS"),
        service(MAX_BATCH_ROWS="x"),
    ):
        pass


def test_artifact_of_another_commit_is_an_error_with_the_remedy(project: Path, packaged: demo.Packaged) -> None:
    (project / "artifact.sha256").write_text("0" * 64)
    try:
        with pytest.raises(SklineError, match=r"expected 0000.*`dvc checkout` or `dvc pull`"), service():
            pass
    finally:
        (project / "artifact.sha256").write_text(packaged.digest)


def test_command_reports_equal_predictions(own_service: httpx.Client, project: Path) -> None:
    address, key = str(own_service.base_url), own_service.headers["X-API-Key"]
    done = run_compare(project, address, "--rows", "50", key=key)
    assert done.returncode == 0, done.stderr
    assert "50 rows, 0 predictions differ" in done.stdout


def test_monitoring_leaves_out_the_predictions_of_the_command(project: Path, packaged: demo.Packaged) -> None:
    log = LogSettings(database=str(project / "compared.db"), partitions=project / "compared")
    with service(LOG__DATABASE=log.database, LOG__PARTITIONS=str(log.partitions)) as client:
        run_compare(project, str(client.base_url), "--rows", "20", key=client.headers["X-API-Key"])
        post(client)("/predict", sample_rows(Model(Artifact.open(packaged.folder, packaged.digest)), 1)[0])
    start, end = dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    assert len(read_predictions(log, start, end)) == 21
    period = Period(start, end)
    with LogReader(log, demo.contract(), [], end, [period]) as reader:
        assert reader.count(period) == 1


def test_command_without_a_key_names_the_variable(own_service: httpx.Client, project: Path) -> None:
    done = run_compare(project, str(own_service.base_url), "--rows", "5", "--one-by-one", key=None)
    assert done.returncode == 1
    assert "returns 401" in done.stderr
    assert "set SKLINE_KEY" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("http://127.0.0.1:1", "--rows", "5"), "fails: "),
        (("127.0.0.1:8000",), "no address of a service"),
        (("http://127.0.0.1:1", "--rows", "0"), "--rows is 0"),
    ],
)
def test_command_without_a_service_says_what_is_wrong(project: Path, arguments: tuple[str, ...], message: str) -> None:
    parsed = parser().parse_args(["compare", *arguments])
    with pytest.raises(SklineError, match=message):
        parsed.run(parsed)


def test_last_bit_of_one_probability_is_a_difference(project: Path, client: httpx.Client, model: Model) -> None:
    rows = sample_rows(model, 30)

    def post_changed(path: str, body: Any) -> Any:
        text = client.post(path, json=body).text
        response = json.loads(text)
        probabilities = response["predictions"][7]["probabilities"]
        probabilities["true"] = probabilities["true"] * (1 + 2**-52)
        return response

    assert compare(post(client), model, rows) == Comparison(30, 0, None)
    result = compare(post_changed, model, rows)
    assert (result.rows, result.different) == (30, 1)
    assert result.first is not None
    assert result.first.startswith(f"for {json.dumps(rows[7])} the pipeline gives")


def test_another_class_is_a_difference(project: Path, client: httpx.Client, model: Model) -> None:
    def post_opposite(path: str, body: Any) -> Any:
        response = client.post(path, json=body).json()
        return response | {"prediction": not response["prediction"]}

    result = compare(post_opposite, model, sample_rows(model, 3), one_by_one=True)
    assert (result.rows, result.different) == (3, 3)


def test_answer_of_another_model_is_an_error(project: Path, client: httpx.Client, model: Model) -> None:
    def post_other(path: str, body: Any) -> Any:
        return client.post(path, json=body).json() | {"model_version": "demo@other"}

    with pytest.raises(SklineError, match=f"answers with demo@other, and the packaged model is {model.version}"):
        compare(post_other, model, sample_rows(model, 3), one_by_one=True)


def test_compared_rows_have_missing_values_and_golden_rows(project: Path, model: Model) -> None:
    rows = sample_rows(model, 60)
    assert len(rows) == 60
    assert rows[0] == model.artifact.golden.rows[0]
    assert rows[11] == model.artifact.golden.rows[1]
    assert [row["distance"] for row in rows[7:50:7]] == [None] * 7


def test_rows_to_compare_require_the_parts_of_the_pipeline(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SklineError, match="run `dvc repro`"):
        sample_rows(model, 3)
