"""`/predict` returns the pipeline's predictions to the last bit, and rejects invalid rows naming field and rule."""

import json
import struct
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skline.contract.frames import to_json_rows
from tests.fixtures import demo
from tests.skline.contract.test_request_validation import ANYTHING, flights, row_is_accepted

ROW_TEXT = st.dictionaries(st.text(max_size=5), ANYTHING, max_size=3)


def bits(numbers: list[float]) -> bytes:
    return struct.pack(f"{len(numbers)}d", *numbers)


def test_example_of_the_openapi_schema_is_predicted(client: httpx.Client) -> None:
    body = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]
    response = client.post("/predict", json=body["content"]["application/json"]["example"])
    assert response.status_code == 200
    content = response.json()
    assert content.keys() == {"prediction", "probabilities", "model_version", "prediction_id"}
    assert content["probabilities"].keys() == {"false", "true"}
    assert content["prediction"] is (content["probabilities"]["true"] > content["probabilities"]["false"])


def test_single_and_batch_predictions_equal_the_pipelines_to_the_last_bit(client: httpx.Client) -> None:
    inputs = demo.contract().inputs
    frame = demo.parts()["live"][demo.contract().input_names].head(300).copy()
    frame["distance"] = frame["distance"].where(np.arange(len(frame)) % 7 != 0)
    frame["dest"] = frame["dest"].where(np.arange(len(frame)) % 5 != 0, "ZZZ")
    expected = demo.pipeline().predict_proba(frame)[:, 1].tolist()
    rows = to_json_rows(inputs, frame)
    batch = client.post("/predict/batch", json=rows).json()["predictions"]
    assert bits([item["probabilities"]["true"] for item in batch]) == bits(expected)
    single = [client.post("/predict", json=row).json()["probabilities"]["true"] for row in rows[:40]]
    assert bits(single) == bits(expected[:40])
    assert [item["prediction"] for item in batch] == demo.pipeline().predict(frame).tolist()


def test_batch_of_csv_equals_the_batch_of_json(client: httpx.Client) -> None:
    frame = demo.parts()["live"][demo.contract().input_names].head(20)
    rows = to_json_rows(demo.contract().inputs, frame)
    headers = {"content-type": "text/csv; charset=utf-8"}
    response = client.post("/predict/batch", content=frame.to_csv(index=False), headers=headers)
    expected = client.post("/predict/batch", json=rows).json()["predictions"]
    got = response.json()["predictions"]
    assert [item["probabilities"] for item in got] == [item["probabilities"] for item in expected]
    response = client.post("/predict/batch", content=frame.assign(origin="BOS").to_csv(index=False), headers=headers)
    assert [error["loc"] for error in response.json()["detail"]] == [["body", row, "origin"] for row in range(20)]
    response = client.post("/predict/batch", content=frame.to_csv(index=False, sep=";"), headers=headers)
    assert response.json()["detail"][0]["type"] == "csv_delimiter"


def test_every_prediction_has_a_unique_id(client: httpx.Client, example: dict[str, Any]) -> None:
    predictions = client.post("/predict/batch", json=[example] * 50).json()["predictions"]
    assert len({item["prediction_id"] for item in predictions}) == 50


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"distance": "far"}, "distance", "whole number"),
        ({"distance": 1.5}, "distance", "whole number"),
        ({"distance": 0}, "distance", "greater than 0"),
        ({"distance": True}, "distance", "whole number"),
        ({"origin": "BOS"}, "origin", "'EWR', 'JFK' or 'LGA'"),
        ({"carrier": "united"}, "carrier", "pattern"),
        ({"carrier": None}, "carrier", "missing"),
        ({"flight_date": "04.07.2013"}, "flight_date", "YYYY-MM-DD"),
        ({"flight_date": "2012-12-31"}, "flight_date", "2013-01-01"),
        ({"dep_delay": 4}, "dep_delay", "not permitted"),
    ],
)
def test_validation_error_names_field_and_rule(
    client: httpx.Client, example: dict[str, Any], change: dict[str, Any], field: str, message: str
) -> None:
    for path, body, location in (
        ("/predict", example | change, ["body", field]),
        ("/predict/batch", [example, example | change], ["body", 1, field]),
    ):
        response = client.post(path, json=body)
        assert response.status_code == 422
        [error] = response.json()["detail"]
        assert error["loc"] == location
        assert message in error["msg"]


def test_missing_field_is_named(client: httpx.Client, example: dict[str, Any]) -> None:
    del example["dest"]
    assert client.post("/predict", json=example).json()["detail"][0] == {
        "loc": ["body", "dest"],
        "msg": "Field required",
        "type": "missing",
    }


def test_field_under_another_spelling_of_its_name_gets_the_name(client: httpx.Client, example: dict[str, Any]) -> None:
    example["Sched Dep-Time"] = example.pop("sched_dep_time")
    for path, body in (("/predict", example), ("/predict/batch", [example])):
        messages = [detail["msg"] for detail in client.post(path, json=body).json()["detail"]]
        assert messages == ["Field required", "Extra inputs are not permitted; did you mean 'sched_dep_time'?"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"null", b"[]", b"{}", b"1", b"{", b'{"a":}', b"\xff\xfe", b'"' * 100, b"[" * 100_000,
        b'{"distance": NaN}', b'{"distance": 1e999}', b'{"carrier": "\\ud800"}', b"\x00" * 100,
    ],
)  # fmt: skip
def test_body_that_is_not_a_row_gets_422(client: httpx.Client, body: bytes) -> None:
    response = client.post("/predict", content=body)
    assert response.status_code == 422
    assert response.json()["detail"]


def test_nan_is_a_missing_value_as_in_a_table(client: httpx.Client, example: dict[str, Any]) -> None:
    bodies = [json.dumps(example | {"distance": value}) for value in (float("nan"), None)]
    predictions = [client.post("/predict", content=body).json()["probabilities"] for body in bodies]
    assert predictions[0] == predictions[1]


@pytest.mark.parametrize("text", ["Infinity", "1e999"])
def test_infinity_is_rejected_naming_the_field(client: httpx.Client, example: dict[str, Any], text: str) -> None:
    body = json.dumps(example).replace(str(example["distance"]), text, 1)
    response = client.post("/predict", content=body)
    assert (response.status_code, response.json()["detail"][0]["loc"]) == (422, ["body", "distance"])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "carrier": st.from_regex(r"[A-Z0-9]{2}", fullmatch=True) | st.text(max_size=3) | ANYTHING,
            "distance": st.integers(-1, 13_000) | ANYTHING,
            "sched_arr_time": st.integers(-1, 2401) | ANYTHING,
            "origin": st.sampled_from(["EWR", "BOS"]),
        },
    )
)
def test_rows_within_the_contract_get_200_and_others_422(
    client: httpx.Client, example: dict[str, Any], change: dict[str, Any]
) -> None:
    row = example | change
    response = client.post("/predict", content=json.dumps(row))
    assert response.status_code == (200 if row_is_accepted(flights()[1], row) else 422)


def test_empty_batch_gets_empty_predictions(client: httpx.Client) -> None:
    assert client.post("/predict/batch", json=[]).json() == {"predictions": []}


def test_rejects_body_and_batch_larger_than_their_limits(
    serve: Any, packaged: demo.Packaged, example: dict[str, Any]
) -> None:
    small = serve(packaged.folder, packaged.digest, max_body_bytes=2_000, max_batch_rows=3)
    assert small.post("/predict/batch", json=[example] * 3).status_code == 200
    assert small.post("/predict/batch", json=[example] * 4).status_code == 413
    assert small.post("/predict", content=b" " * 2_001).status_code == 413

    def chunks() -> Any:
        for _ in range(30):
            yield b" " * 100

    response = small.post("/predict", content=chunks())
    assert response.status_code == 413
    assert "2000 bytes" in response.json()["detail"][0]["msg"]


def test_rejects_explain_that_is_not_a_boolean(client: httpx.Client, example: dict[str, Any]) -> None:
    response = client.post("/predict?explain=maybe", json=example)
    assert response.status_code == 422
    assert response.json()["detail"] == [
        {"loc": ["query", "explain"], "msg": "explain must be true or false, not 'maybe'", "type": "bool_parsing"}
    ]


def test_an_explanation_is_that_of_the_value_in_every_spelling(client: httpx.Client, example: dict[str, Any]) -> None:
    plain = client.post("/predict?explain=true", json=example | {"distance": 1400}).json()["explanation"]
    for spelling in (1400.0, "1400", "+1.4e3", " 1400.0 "):
        sent = example | {"distance": spelling}
        assert client.post("/predict?explain=true", json=sent).json()["explanation"] == plain, spelling
    rejected = client.post("/predict?explain=true", json=example | {"distance": 1400.5})
    assert rejected.json()["detail"] == client.post("/predict", json=example | {"distance": 1400.5}).json()["detail"]


def test_labels_are_those_of_the_table_if_requested(serve: Any, tmp_path: Path, example: dict[str, Any]) -> None:
    contract = demo.contract()
    target = contract.target.model_copy(update={"notation": "Ja/Nein"})
    columns = tuple(target if column.role == "target" else column for column in contract.columns)
    packaged = demo.package(tmp_path / "artifact", None, contract.model_copy(update={"columns": columns}))
    client = serve(packaged.folder, packaged.digest)
    plain = client.post("/predict?explain=true", json=example).json()
    own = client.post("/predict?explain=true&labels=table", json=example).json()
    words = {False: "Nein", True: "Ja"}
    assert own["prediction"] == words[plain["prediction"]]
    assert own["probabilities"] == {"Nein": plain["probabilities"]["false"], "Ja": plain["probabilities"]["true"]}
    assert own["explanation"]["explained_class"] == words[plain["explanation"]["explained_class"]]
    [batch] = client.post("/predict/batch?labels=table", json=[example]).json()["predictions"]
    assert (batch["prediction"], batch["probabilities"]) == (own["prediction"], own["probabilities"])
    answers = client.get("/openapi.json").json()["components"]["schemas"]["PredictResponse"]["properties"]
    assert answers["prediction"]["enum"] == [False, True, "Ja", "Nein"]


def test_labels_of_the_contract_are_those_of_a_table_that_has_no_others(
    client: httpx.Client, example: dict[str, Any]
) -> None:
    response = client.post("/predict?labels=table", json=example).json()
    assert response["prediction"] is (response["probabilities"]["true"] > response["probabilities"]["false"])
    [error] = client.post("/predict/batch?labels=other", json=[example]).json()["detail"]
    assert (error["loc"], error["msg"]) == (["query", "labels"], "labels must be contract or table, not 'other'")
