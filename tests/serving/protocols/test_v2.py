"""A client of the Open Inference Protocol needs no change; NVIDIA's own client for it shows that."""

import json
import warnings
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.errors import RequestRefused
from serving.protocols import v2
from serving.protocols.service import Answered
from serving.protocols.v2_routes import LENGTH
from skline.contract.spec import Column, Contract
from skline.scoring.answers import Scores
from tests import demo

NAMES = demo.contract().input_names
Expected = tuple[list[bool], list[list[float]]]


@pytest.fixture(scope="module")
def triton() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tritonclient.http
    return tritonclient.http


@pytest.fixture
def asking(triton: Any, client: httpx.Client) -> Iterator[Any]:
    asking = triton.InferenceServerClient(f"127.0.0.1:{client.base_url.port}")
    yield asking
    asking.close()


def arrays(frame: pd.DataFrame) -> dict[str, np.ndarray[Any, Any]]:
    """Write columns as a client would: texts as objects, numbers as they are."""
    texts = {name: frame[name].to_numpy(dtype=object) for name in ("carrier", "origin", "dest")}
    texts["flight_date"] = frame["flight_date"].dt.strftime("%Y-%m-%d").to_numpy(dtype=object)
    return {name: texts.get(name, frame[name].to_numpy()) for name in NAMES}


def tensors(triton: Any, frame: pd.DataFrame, *, as_bytes: bool, column_vectors: bool = False) -> list[Any]:
    inputs = []
    for name, array in arrays(frame).items():
        values = array[:, None] if column_vectors else array
        datatype = {"i": "INT64", "f": "FP64"}.get(array.dtype.kind, "BYTES")
        tensor = triton.InferInput(name, list(values.shape), datatype)
        inputs.append(tensor.set_data_from_numpy(values, binary_data=as_bytes))
    return inputs


def test_the_client_finds_a_ready_model_and_what_it_takes(asking: Any) -> None:
    assert asking.is_server_live()
    assert asking.is_server_ready()
    assert asking.is_model_ready("demo")
    assert asking.is_model_ready("demo", "demo@0123456789ab")
    assert not asking.is_model_ready("other")
    assert "binary_tensor_data" in asking.get_server_metadata()["extensions"]
    model = asking.get_model_metadata("demo")
    assert [tensor["name"] for tensor in model["inputs"]] == NAMES
    described = {tensor["name"]: tensor["datatype"] for tensor in model["inputs"]}
    assert (described["distance"], described["sched_dep_time"], described["origin"]) == ("FP64", "INT64", "BYTES")
    assert [(o["name"], o["datatype"], o["shape"]) for o in model["outputs"]] == [
        ("prediction", "BOOL", [-1]), ("probabilities", "FP64", [-1, 2]), ("prediction_id", "BYTES", [-1]),
    ]  # fmt: skip


@pytest.mark.parametrize("column_vectors", [False, True])
def test_binary_tensors_both_ways_are_the_clients_default(
    triton: Any, asking: Any, flights: pd.DataFrame, expected: Expected, column_vectors: bool
) -> None:
    inputs = tensors(triton, flights, as_bytes=True, column_vectors=column_vectors)
    result = asking.infer("demo", inputs, request_id="r-1")
    assert result.as_numpy("prediction").tolist() == expected[0]
    assert result.as_numpy("probabilities").tolist() == expected[1]
    assert result.as_numpy("prediction_id")[1] == b"id-1"
    answer = result.get_response()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("r-1", "demo", "demo@0123456789ab")


def test_json_tensors_both_ways(triton: Any, asking: Any, flights: pd.DataFrame, expected: Expected) -> None:
    whole = flights.dropna()  # the client writes NaN as JSON does not know it
    outputs = [triton.InferRequestedOutput("probabilities", binary_data=False)]
    result = asking.infer("demo", tensors(triton, whole, as_bytes=False), outputs=outputs)
    assert result.as_numpy("probabilities").tolist() == [expected[1][index] for index in whole.index]
    assert result.as_numpy("prediction") is None


def test_outputs_in_the_order_asked_for_binary_or_not(
    triton: Any, asking: Any, flights: pd.DataFrame, expected: Expected
) -> None:
    outputs = [
        triton.InferRequestedOutput("prediction_id"),
        triton.InferRequestedOutput("prediction", binary_data=False),
        triton.InferRequestedOutput("probabilities"),
    ]
    result = asking.infer("demo", tensors(triton, flights, as_bytes=True), outputs=outputs)
    assert [output["name"] for output in result.get_response()["outputs"]] == [
        "prediction_id", "prediction", "probabilities",
    ]  # fmt: skip
    assert result.as_numpy("prediction").tolist() == expected[0]
    assert result.as_numpy("probabilities").tolist() == expected[1]


def test_the_client_shows_what_is_wrong(triton: Any, asking: Any, flights: pd.DataFrame) -> None:
    from tritonclient.utils import InferenceServerException

    for change, told in (
        (lambda inputs: inputs[:-1], "sched_arr_time: Field required"),
        (lambda inputs: [*inputs, inputs[0]], "two inputs have the same name"),
    ):
        with pytest.raises(InferenceServerException, match=told):
            asking.infer("demo", change(tensors(triton, flights, as_bytes=True)))
    with pytest.raises(InferenceServerException, match="'EWR', 'JFK' or 'LGA'"):
        asking.infer("demo", tensors(triton, flights.assign(origin="BOS"), as_bytes=True))
    with pytest.raises(InferenceServerException, match="there is no model 'other'"):
        asking.infer("other", tensors(triton, flights, as_bytes=True))
    with pytest.raises(InferenceServerException, match="there is no version '2'"):
        asking.infer("demo", tensors(triton, flights, as_bytes=True), model_version="2")
    with pytest.raises(InferenceServerException, match="classification"):
        outputs = [triton.InferRequestedOutput("prediction", class_count=2)]
        asking.infer("demo", tensors(triton, flights, as_bytes=True), outputs=outputs)
    with pytest.raises(InferenceServerException, match="encoding 'gzip'"):
        asking.infer("demo", tensors(triton, flights, as_bytes=True), request_compression_algorithm="gzip")


def test_nothing_is_said_of_readiness_before_there_is_any(asking: Any, service: Any) -> None:
    service.ready = False
    try:
        assert asking.is_server_live()
        assert not asking.is_server_ready()
        assert not asking.is_model_ready("demo")
    finally:
        service.ready = True


NUMBERS = Contract(
    title="Numbers",
    task="regression",
    columns=(
        Column(name="a", kind="integer", nullable=True), Column(name="b", kind="number"),
        Column(name="flag", kind="boolean"), Column(name="y", kind="number", role="target"),
    ),
)  # fmt: skip


def test_one_tensor_of_all_columns_is_read_in_the_contracts_order() -> None:
    for data in ([1, 2.5, 0, None, 1e3, 1], [[1, 2.5, 0], [None, 1e3, 1]]):
        asked = {"inputs": [{"name": "predict", "shape": [2, 3], "datatype": "FP32", "data": data}]}
        assert v2.parse(json.dumps(asked).encode(), None, NUMBERS, 9).rows == [
            {"a": 1, "b": 2.5, "flag": False}, {"a": None, "b": 1000.0, "flag": True},
        ]  # fmt: skip


@pytest.mark.parametrize("datatype", list(v2.tensors.DTYPES))
def test_every_datatype_is_read_from_bytes(datatype: str) -> None:
    sent = np.array([0, 1]).astype(v2.tensors.DTYPES[datatype]).tobytes()
    parameters = {"binary_data_size": len(sent)}
    asked = {"inputs": [{"name": "a", "shape": [2], "datatype": datatype, "parameters": parameters}]}
    head = json.dumps(asked).encode()
    rows = v2.parse(head + sent, str(len(head)), NUMBERS, 9).rows
    assert [row["a"] for row in rows] == [0, 1]


def test_answers_of_every_kind_of_model_are_written() -> None:
    for classes, predictions, datatype in (
        (None, [1.5, 2.5], "FP64"), ((1, 2, 3), [3, 1], "INT64"), (("ä", "b"), ["ä", "b"], "BYTES"),
        ((True, False), [True, False], "BOOL"),
    ):  # fmt: skip
        contract = NUMBERS.model_copy(update={"classes": classes})
        chances = None if classes is None else np.full((2, len(classes)), 0.5)
        answered = Answered(Scores(np.array(predictions), chances), "v", ["x", "y"])
        names = ["prediction", *([] if classes is None else ["probabilities"]), "prediction_id"]
        content, length = v2.render(v2.Question([], None, dict.fromkeys(names, False)), answered, contract, "m")
        outputs = json.loads(content)["outputs"]
        assert length is None
        assert [output["name"] for output in outputs] == names
        assert (outputs[0]["datatype"], outputs[0]["data"]) == (datatype, predictions)
        as_bytes, length = v2.render(v2.Question([], None, dict.fromkeys(names, True)), answered, contract, "m")
        assert length is not None
        sizes = [output["parameters"]["binary_data_size"] for output in json.loads(as_bytes[:length])["outputs"]]
        assert length + sum(sizes) == len(as_bytes)


def request(*, size: Any = 16, header: Any = None, tail: bytes = b"\0" * 16, **tensor: Any) -> tuple[bytes, str]:
    """A request of one binary tensor of two FP64, with changes."""
    facts = {"name": "a", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": size}} | tensor
    head = json.dumps({"inputs": [facts]}).encode()
    return head + tail, str(len(head)) if header is None else header


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"size": 15}, "15 bytes"), ({"size": -1}, "must be a number"), ({"size": "16"}, "must be a number"),
    ({"size": 17}, "must be a number"), ({"size": 1e9}, "must be a number"), ({"size": True}, "must be a number"),
    ({"size": 8}, "8 bytes"), ({"tail": b"\0" * 20}, "belong to no input"), ({"data": [1, 2]}, "data twice"),
    ({"header": "x"}, "Length must be"), ({"header": "9999"}, "Length must be"), ({"header": "-1"}, "Length must be"),
    ({"header": "9" * 5000}, "Length must be"), ({"shape": [3]}, "is 24"), ({"shape": [2**62, 2]}, "at most"),
    ({"shape": [10]}, "at most"), ({"datatype": "BYTES"}, "is 2"), ({"datatype": "BOOL", "size": 16}, "is 2"),
    ({"datatype": "BYTES", "tail": b"\xff" * 16}, "longer than the tensor"), ({"parameters": {}}, "has no data"),
    ({"datatype": "BYTES", "tail": b"\1\0\0\0\xff" + b"\1\0\0\0a" + b"\0" * 4, "size": 14}, "not UTF-8"),
    ({"datatype": "BOOL", "tail": b"\0\2", "size": 2}, "byte 0 or 1"),
    ({"parameters": {"shared_memory_region": "x"}}, "shared memory"),
    ({"parameters": {}, "data": [1, "2"], "tail": b""}, "element 1 is no FP64"),
    ({"parameters": {}, "data": [True, 2], "tail": b""}, "element 0 is no FP64"),
    ({"parameters": {}, "data": [[1], [2]], "tail": b""}, "element 0 is no FP64"),
    ({"parameters": {}, "data": [1], "tail": b""}, "1 elements"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "told"), BROKEN)
def test_tensors_that_do_not_hold_together_are_told(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestRefused, match=told):
        v2.parse(*request(**changes), NUMBERS, 9)


def test_a_refusal_has_both_forms(client: httpx.Client) -> None:
    for content in (b"{", b'{"inputs": []}', b"", b"[" * 1_000_000, b'{"inputs": [], "more": 1}'):
        answer = client.post("/v2/models/demo/infer", content=content)
        assert answer.status_code == 422
        assert answer.json().keys() == {"error", "detail"}
        assert answer.json()["detail"][0]["loc"][0] == "body"


VALUE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["UA", "EWR"])
TENSOR = st.fixed_dictionaries(
    {
        "name": st.sampled_from([*NAMES, "x"]),
        "shape": st.sampled_from([[1], [1, 1], [2], [1, 7], [0], []]) | st.lists(st.integers(-1, 2**70), max_size=3),
        "datatype": st.sampled_from(["BYTES", *v2.tensors.DTYPES, "BF16", "nope"]),
    },
    optional={
        "data": st.lists(VALUE, max_size=8) | st.lists(st.lists(VALUE, max_size=3), max_size=3) | VALUE,
        "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "classification"]), VALUE),
    },
)
ASKED = st.fixed_dictionaries(
    {"inputs": st.lists(TENSOR, max_size=8)},
    optional={
        "id": VALUE,
        "parameters": st.dictionaries(st.sampled_from(["binary_data_output", "x"]), VALUE),
        "outputs": st.lists(st.fixed_dictionaries({"name": st.sampled_from(["prediction", "x"])}), max_size=3),
    },
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ASKED | VALUE, st.binary(max_size=20), st.none() | st.integers(-1, 50) | st.just("all"))
def test_nothing_sent_is_a_fault_of_the_server(client: httpx.Client, asked: Any, tail: bytes, length: Any) -> None:
    head = json.dumps(asked).encode()
    headers = {} if length is None else {LENGTH: str(len(head) if length == "all" else length)}
    answer = client.post("/v2/models/demo/infer", content=head + tail, headers=headers)
    assert answer.status_code in (200, 413, 422)
    assert answer.status_code == 200 or answer.json()["error"]


@settings(max_examples=100)
@given(st.binary(max_size=40), st.integers(0, 60), st.sampled_from(["BYTES", "FP64", "BOOL", "INT8"]))
def test_any_bytes_are_a_tensor_or_refused(tail: bytes, count: int, datatype: str) -> None:
    body, length = request(size=len(tail), tail=tail, shape=[count], datatype=datatype)
    try:
        rows = v2.parse(body, length, NUMBERS, 60).rows
    except RequestRefused as refusal:
        assert refusal.status == 422  # noqa: PT017
    else:
        assert len(rows) == count
