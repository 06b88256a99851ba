"""A service whose model has inputs that callers do not send: they are looked up, logged, and bounded by a fallback."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from skline.artifact import Artifact
from skline.commands.predict import respond
from skline.comparison import Comparison, compare
from skline.contract.request_validation import RowParser
from skline.errors import SklineError
from skline.lineage.predictions import read_logged
from skline.lineage.recomputation import Recomputer
from skline.loading import Model
from skline.logs.settings import LogSettings
from tests.fixtures import customers, demo
from tests.fixtures.clients import wait_until
from tests.fixtures.service import logged_rows, metric, service_with_log

ROW = {"customer_id": 7, "amount": 40.0}
FOUND = {"customers": "found"}


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    return customers.package(tmp_path_factory.mktemp("artifact") / "artifact", customers.contract())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return customers.write_history(tmp_path_factory.mktemp("store") / "customers.parquet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log")


@pytest.fixture(scope="module")
def client(packaged: demo.Packaged, store: Path, folder: Path) -> Iterator[httpx.Client]:
    with service_with_log(packaged, folder, lookups={"customers": str(store)}) as client:
        yield client


@pytest.fixture(scope="module")
def model(packaged: demo.Packaged) -> Model:
    return Model(Artifact.open(packaged.folder, packaged.digest))


def newest(customer: int) -> dict[str, Any]:
    """The values of a customer on the last day of the history, by the names of the contract."""
    [row] = customers.history().query("customer_id == @customer").tail(1).to_dict("records")
    values = {"avg_30d": row["avg_30d"], "orders": row["n"], "tier": row["tier"]}
    return {name: None if value != value else value for name, value in values.items()}  # noqa: PLR0124 - NaN


def predict_given(model: Model, row: dict[str, Any]) -> list[float]:
    [probabilities] = model.predict_proba([row], lookups="given").tolist()
    return list(probabilities)


def test_every_way_in_predicts_by_the_looked_up_values_and_logs_them(
    client: httpx.Client, model: Model, folder: Path
) -> None:
    complete = ROW | newest(7)
    expected = predict_given(model, complete)
    single = client.post("/predict", json=ROW).json()
    [batched] = client.post("/predict/batch", json=[ROW]).json()["predictions"]
    csv = "customer_id,amount\n7,40.0\n"
    [of_csv] = client.post("/predict/batch", content=csv, headers={"content-type": "text/csv"}).json()["predictions"]
    for response in (single, batched, of_csv):
        assert list(response["probabilities"].values()) == expected
        assert response["lookups"] == FOUND
    of_mlflow = client.post("/invocations", json={"dataframe_records": [ROW]}).json()["predictions"]
    assert of_mlflow == [single["prediction"]]
    tensors = [
        {"name": "customer_id", "shape": [1], "datatype": "INT64", "data": [7]},
        {"name": "amount", "shape": [1], "datatype": "FP64", "data": [40.0]},
    ]
    outputs = client.post("/v2/models/demo/infer", json={"inputs": tensors}).json()["outputs"]
    assert next(each["data"] for each in outputs if each["name"] == "probabilities") == expected
    table = logged_rows(folder, 5)
    assert [json.loads(text) for text in table["inputs"].to_pylist()] == [complete] * 5
    assert [json.loads(text) for text in table["lookups"].to_pylist()] == [FOUND] * 5


def test_a_logged_prediction_is_computed_again_from_the_logged_values(
    client: httpx.Client, packaged: demo.Packaged, folder: Path
) -> None:
    prediction_id = client.post("/predict", json=ROW | {"customer_id": 3}).json()["prediction_id"]
    settings = LogSettings(database=str(folder / "log.db"), partitions=folder / "days")
    wait_until(lambda: read_logged(settings, [prediction_id]))
    logged = read_logged(settings, [prediction_id])
    result = Recomputer(Artifact.open(packaged.folder, packaged.digest)).recompute(logged[prediction_id])
    assert (result.outcome, result.reason) == ("equal", "to the last bit")
    assert logged[prediction_id].lookups == FOUND


def test_a_caller_may_not_send_what_is_looked_up(client: httpx.Client) -> None:
    response = client.post("/predict", json=ROW | {"avg_30d": 1.0})
    assert response.status_code == 422
    [detail] = response.json()["detail"]
    assert detail["loc"] == ["body", "avg_30d"]
    assert client.post("/predict/batch", json=[ROW | {"orders": 1}]).status_code == 422


def test_an_unknown_customer_has_missing_values_and_the_response_says_so(client: httpx.Client, model: Model) -> None:
    before = metric(client, 'skline_lookups_total{lookup="customers",outcome="absent"}')
    response = client.post("/predict", json=ROW | {"customer_id": 999}).json()
    assert response["lookups"] == {"customers": "absent"}
    missing = ROW | {"customer_id": 999, "avg_30d": None, "orders": None, "tier": None}
    assert list(response["probabilities"].values()) == predict_given(model, missing)
    assert metric(client, 'skline_lookups_total{lookup="customers",outcome="absent"}') == before + 1
    assert metric(client, 'skline_lookup_duration_seconds_count{lookup="customers"}') >= 1


def test_schema_and_page_have_only_what_callers_send(client: httpx.Client) -> None:
    schema = client.get("/openapi.json").json()
    body = schema["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert list(body["properties"]) == ["customer_id", "amount"]
    response = schema["components"]["schemas"]["PredictResponse"]["properties"]
    assert "lookups" in response
    page = client.get("/").text
    assert 'data-name="amount"' in page
    assert 'data-name="avg_30d"' not in page
    metadata = client.get("/v2/models/demo").json()
    assert [each["name"] for each in metadata["inputs"]] == ["customer_id", "amount"]


def test_an_explanation_has_the_looked_up_inputs(client: httpx.Client, model: Model) -> None:
    explanation = client.post("/predict?explain=true", json=ROW).json()["explanation"]
    assert list(explanation["contributions"]) == model.contract.input_names
    assert explanation == model.explain_row(ROW | newest(7), lookups="given").model_dump(mode="json")


def test_python_looks_up_what_the_service_looks_up(
    client: httpx.Client, model: Model, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKLINE_LOOKUPS__CUSTOMERS", str(store))
    responses = client.post("/predict/batch", json=[ROW, ROW | {"customer_id": 999}]).json()["predictions"]
    predicted = model.predict([ROW, ROW | {"customer_id": 999}])
    assert predicted["probability_true"].tolist() == [each["probabilities"]["true"] for each in responses]
    [row] = model.look_up(ROW)
    assert row == ROW | newest(7)
    with pytest.raises(SklineError, match="avg_30d"):
        model.predict(ROW | {"avg_30d": 1.0})


def test_many_clients_at_once_get_the_values_of_their_own_customer(client: httpx.Client, model: Model) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def ask(customer: int) -> list[float]:
        response = client.post("/predict", json=ROW | {"customer_id": customer}).json()
        return list(response["probabilities"].values())

    numbers = [number % 20 for number in range(60)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, numbers))
    for customer, answer in zip(numbers, answers, strict=True):
        assert answer == predict_given(model, ROW | {"customer_id": customer} | newest(customer))


def test_without_the_store_the_service_predicts_with_missing_values(
    packaged: demo.Packaged, model: Model, tmp_path: Path
) -> None:
    with service_with_log(packaged, tmp_path, lookups={"customers": str(tmp_path / "none.parquet")}) as client:
        response = client.post("/predict", json=ROW).json()
        assert response["lookups"] == {"customers": "error"}
        missing = ROW | {"avg_30d": None, "orders": None, "tier": None}
        assert list(response["probabilities"].values()) == predict_given(model, missing)
        [batched] = client.post("/predict/batch", json=[ROW]).json()["predictions"]
        assert batched["lookups"] == {"customers": "error"}
        [first, second] = logged_rows(tmp_path, 2)["lookups"].to_pylist()
        assert json.loads(first) == json.loads(second) == {"customers": "error"}


def test_a_lookup_without_fallback_rejects_the_request(tmp_path: Path, store: Path) -> None:
    strict = customers.package(tmp_path / "artifact", customers.contract(fallback="error"))
    unknown = ROW | {"customer_id": 999}
    with service_with_log(strict, tmp_path, lookups={"customers": str(store)}) as client:
        assert client.post("/predict", json=ROW).status_code == 200
        response = client.post("/predict", json=unknown)
        assert response.status_code == 422
        assert response.json()["detail"] == [
            {
                "loc": ["body"],
                "msg": "the look-up customers has no values for this customer_id",
                "type": "lookup_missing",
            }
        ]
        response = client.post("/predict/batch", json=[ROW, unknown])
        assert response.status_code == 422
        assert response.json()["detail"][0]["loc"] == ["body", 1]
    with service_with_log(strict, tmp_path / "2", lookups={"customers": str(tmp_path / "none.parquet")}) as client:
        response = client.post("/predict", json=ROW)
        assert response.status_code == 503
        assert response.json()["detail"][0]["type"] == "lookup_failed"


def test_a_row_parser_of_requests_accepts_the_example() -> None:
    contract = customers.contract().for_requests()
    assert RowParser(contract).parse_row(json.dumps(ROW)) == ROW


def test_values_of_another_day_are_stale(tmp_path: Path, store: Path) -> None:
    fresh = customers.package(tmp_path / "artifact", customers.contract(max_age="2d"))
    age = dt.datetime.now(dt.UTC).replace(tzinfo=None) - customers.START
    assert age > dt.timedelta(days=12)
    with service_with_log(fresh, tmp_path, lookups={"customers": str(store)}) as client:
        assert client.post("/predict", json=ROW).json()["lookups"] == {"customers": "stale"}


def test_the_command_line_responds_as_the_service_does(
    client: httpx.Client, model: Model, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKLINE_LOOKUPS__CUSTOMERS", str(store))
    expected = client.post("/predict?explain=true", json=ROW).json()
    del expected["prediction_id"]
    assert respond(model, json.dumps(ROW), explain=True) == expected


def test_a_comparison_looks_up_in_both_places(
    client: httpx.Client, model: Model, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def post(path: str, body: Any) -> Any:
        return client.post(path, json=body).json()

    rows = [ROW | {"customer_id": number, "avg_30d": 1.0, "orders": 1, "tier": "gold"} for number in range(25)]
    monkeypatch.setenv("SKLINE_LOOKUPS__CUSTOMERS", str(store))
    assert compare(post, model, rows, one_by_one=True) == Comparison(25, 0, None)
    assert compare(post, model, rows) == Comparison(25, 0, None)
