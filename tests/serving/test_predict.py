"""`/predict` answers what the pipeline answers, to the last bit, and refuses by field and rule."""

import json
import struct
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skline.contract.frames import to_json_rows
from tests import demo
from tests.skline.contract.test_requests import ANYTHING, row_is_accepted

ROW_TEXT = st.dictionaries(st.text(max_size=5), ANYTHING, max_size=3)


def bits(numbers: list[float]) -> bytes:
    return struct.pack(f"{len(numbers)}d", *numbers)


def test_the_example_of_the_openapi_schema_gets_an_answer(client: httpx.Client) -> None:
    body = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]
    response = client.post("/predict", json=body["content"]["application/json"]["example"])
    assert response.status_code == 200
    answer = response.json()
    assert answer.keys() == {"prediction", "probabilities", "model_version", "prediction_id"}
    assert answer["probabilities"].keys() == {"false", "true"}
    assert answer["prediction"] is (answer["probabilities"]["true"] > answer["probabilities"]["false"])


def test_one_by_one_and_in_a_batch_answers_are_the_pipelines_to_the_last_bit(client: httpx.Client) -> None:
    inputs = demo.contract().inputs
    frame = demo.parts()["live"][demo.contract().input_names].head(300).copy()
    frame["distance"] = frame["distance"].where(np.arange(len(frame)) % 7 != 0)
    frame["dest"] = frame["dest"].where(np.arange(len(frame)) % 5 != 0, "ZZZ")
    expected = demo.pipeline().predict_proba(frame)[:, 1].tolist()
    rows = to_json_rows(inputs, frame)
    batch = client.post("/predict/batch", json=rows).json()["predictions"]
    assert bits([answer["probabilities"]["true"] for answer in batch]) == bits(expected)
    single = [client.post("/predict", json=row).json()["probabilities"]["true"] for row in rows[:40]]
    assert bits(single) == bits(expected[:40])
    assert [answer["prediction"] for answer in batch] == demo.pipeline().predict(frame).tolist()


def test_every_prediction_has_an_id_of_its_own(client: httpx.Client, example: dict[str, Any]) -> None:
    answers = client.post("/predict/batch", json=[example] * 50).json()["predictions"]
    assert len({answer["prediction_id"] for answer in answers}) == 50


@pytest.mark.parametrize(
    ("change", "field", "word"),
    [
        ({"distance": "far"}, "distance", "integer"),
        ({"distance": 1.5}, "distance", "integer"),
        ({"distance": 0}, "distance", "greater than 0"),
        ({"distance": True}, "distance", "integer"),
        ({"origin": "BOS"}, "origin", "'EWR', 'JFK' or 'LGA'"),
        ({"carrier": "united"}, "carrier", "pattern"),
        ({"carrier": None}, "carrier", "string"),
        ({"flight_date": "04.07.2013"}, "flight_date", "YYYY-MM-DD"),
        ({"flight_date": "2012-12-31"}, "flight_date", "2013-01-01"),
        ({"dep_delay": 4}, "dep_delay", "not permitted"),
    ],
)
def test_a_fault_is_told_by_field_and_rule(
    client: httpx.Client, example: dict[str, Any], change: dict[str, Any], field: str, word: str
) -> None:
    for path, body, where in (
        ("/predict", example | change, ["body", field]),
        ("/predict/batch", [example, example | change], ["body", 1, field]),
    ):
        response = client.post(path, json=body)
        assert response.status_code == 422
        [fault] = response.json()["detail"]
        assert fault["loc"] == where
        assert word in fault["msg"]


def test_a_missing_field_is_named(client: httpx.Client, example: dict[str, Any]) -> None:
    del example["dest"]
    assert client.post("/predict", json=example).json()["detail"][0] == {
        "loc": ["body", "dest"],
        "msg": "Field required",
        "type": "missing",
    }


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"null", b"[]", b"{}", b"1", b"{", b'{"a":}', b"\xff\xfe", b'"' * 100, b"[" * 100_000,
        b'{"distance": NaN}', b'{"distance": 1e999}', b'{"carrier": "\\ud800"}', b"\x00" * 100,
    ],
)  # fmt: skip
def test_a_body_that_is_no_row_is_a_422_and_never_a_500(client: httpx.Client, body: bytes) -> None:
    response = client.post("/predict", content=body)
    assert response.status_code == 422
    assert response.json()["detail"]


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999"])
def test_nan_and_infinity_name_their_field(client: httpx.Client, example: dict[str, Any], text: str) -> None:
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
def test_what_the_contract_accepts_gets_200_and_what_it_refuses_gets_422(
    client: httpx.Client, example: dict[str, Any], change: dict[str, Any]
) -> None:
    row = example | change
    response = client.post("/predict", content=json.dumps(row))
    assert response.status_code == (200 if row_is_accepted(demo.contract(), row) else 422)


def test_an_empty_batch_has_an_empty_answer(client: httpx.Client) -> None:
    assert client.post("/predict/batch", json=[]).json() == {"predictions": []}


def test_limits_of_body_and_batch(serve: Any, packaged: demo.Packaged, example: dict[str, Any]) -> None:
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
