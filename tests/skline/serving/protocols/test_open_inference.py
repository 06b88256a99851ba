"""Clients of the Open Inference Protocol work without changes, shown with NVIDIA's tritonclient."""

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

from skline.contract.spec import Column, Contract
from skline.scoring.scores import Scores
from skline.serving.api.open_inference import JSON_LENGTH_HEADER
from skline.serving.errors import RequestError
from skline.serving.protocols import open_inference
from skline.serving.protocols.adapter import ScoredBatch
from tests.fixtures import demo

NAMES = demo.contract().input_names
Expected = tuple[list[bool], list[list[float]]]


@pytest.fixture(scope="module")
def triton() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tritonclient.http
    return tritonclient.http


@pytest.fixture
def triton_client(triton: Any, client: httpx.Client) -> Iterator[Any]:
    triton_client = triton.InferenceServerClient(f"127.0.0.1:{client.base_url.port}")
    yield triton_client
    triton_client.close()


def arrays(frame: pd.DataFrame) -> dict[str, np.ndarray[Any, Any]]:
    """Return columns as a client would send them: texts as objects, numbers as they are."""
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


def test_client_reads_readiness_and_metadata(triton_client: Any) -> None:
    assert triton_client.is_server_live()
    assert triton_client.is_server_ready()
    assert triton_client.is_model_ready("demo")
    assert triton_client.is_model_ready("demo", "demo@0123456789ab")
    assert not triton_client.is_model_ready("other")
    assert "binary_tensor_data" in triton_client.get_server_metadata()["extensions"]
    model = triton_client.get_model_metadata("demo")
    assert [tensor["name"] for tensor in model["inputs"]] == NAMES
    described = {tensor["name"]: tensor["datatype"] for tensor in model["inputs"]}
    assert (described["distance"], described["sched_dep_time"], described["origin"]) == ("FP64", "INT64", "BYTES")
    assert [(o["name"], o["datatype"], o["shape"]) for o in model["outputs"]] == [
        ("prediction", "BOOL", [-1]), ("probabilities", "FP64", [-1, 2]), ("prediction_id", "BYTES", [-1]),
    ]  # fmt: skip


@pytest.mark.parametrize("column_vectors", [False, True])
def test_binary_tensors_in_request_and_response(
    triton: Any, triton_client: Any, flights: pd.DataFrame, expected: Expected, column_vectors: bool
) -> None:
    inputs = tensors(triton, flights, as_bytes=True, column_vectors=column_vectors)
    result = triton_client.infer("demo", inputs, request_id="r-1")
    assert result.as_numpy("prediction").tolist() == expected[0]
    assert result.as_numpy("probabilities").tolist() == expected[1]
    assert result.as_numpy("prediction_id")[1] == b"id-1"
    response = result.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("r-1", "demo", "demo@0123456789ab")


def test_json_tensors_in_request_and_response(
    triton: Any, triton_client: Any, flights: pd.DataFrame, expected: Expected
) -> None:
    complete = flights.dropna()  # the client writes NaN in a form that is not JSON
    outputs = [triton.InferRequestedOutput("probabilities", binary_data=False)]
    result = triton_client.infer("demo", tensors(triton, complete, as_bytes=False), outputs=outputs)
    assert result.as_numpy("probabilities").tolist() == [expected[1][index] for index in complete.index]
    assert result.as_numpy("prediction") is None


def test_outputs_in_the_requested_order_and_form(
    triton: Any, triton_client: Any, flights: pd.DataFrame, expected: Expected
) -> None:
    outputs = [
        triton.InferRequestedOutput("prediction_id"),
        triton.InferRequestedOutput("prediction", binary_data=False),
        triton.InferRequestedOutput("probabilities"),
    ]
    result = triton_client.infer("demo", tensors(triton, flights, as_bytes=True), outputs=outputs)
    assert [output["name"] for output in result.get_response()["outputs"]] == [
        "prediction_id", "prediction", "probabilities",
    ]  # fmt: skip
    assert result.as_numpy("prediction").tolist() == expected[0]
    assert result.as_numpy("probabilities").tolist() == expected[1]


def test_client_shows_the_error(triton: Any, triton_client: Any, flights: pd.DataFrame) -> None:
    from tritonclient.utils import InferenceServerException

    for change, message in (
        (lambda inputs: inputs[:-1], "the column 'sched_arr_time' is missing"),
        (lambda inputs: [*inputs, inputs[0]], "two inputs have the same name"),
    ):
        with pytest.raises(InferenceServerException, match=message):
            triton_client.infer("demo", change(tensors(triton, flights, as_bytes=True)))
    with pytest.raises(InferenceServerException, match="'EWR', 'JFK' or 'LGA'"):
        triton_client.infer("demo", tensors(triton, flights.assign(origin="BOS"), as_bytes=True))
    with pytest.raises(InferenceServerException, match="unknown model 'other'"):
        triton_client.infer("other", tensors(triton, flights, as_bytes=True))
    with pytest.raises(InferenceServerException, match="unknown version '2'"):
        triton_client.infer("demo", tensors(triton, flights, as_bytes=True), model_version="2")
    with pytest.raises(InferenceServerException, match="classification"):
        outputs = [triton.InferRequestedOutput("prediction", class_count=2)]
        triton_client.infer("demo", tensors(triton, flights, as_bytes=True), outputs=outputs)
    with pytest.raises(InferenceServerException, match="Content-Encoding 'gzip' is not supported"):
        triton_client.infer("demo", tensors(triton, flights, as_bytes=True), request_compression_algorithm="gzip")


def test_model_that_is_not_loaded_is_live_but_not_ready(triton_client: Any, adapter: Any) -> None:
    adapter.ready = False
    try:
        assert triton_client.is_server_live()
        assert not triton_client.is_server_ready()
        assert not triton_client.is_model_ready("demo")
    finally:
        adapter.ready = True


NUMBERS = Contract(
    title="Numbers",
    task="regression",
    columns=(
        Column(name="a", kind="integer", nullable=True), Column(name="b", kind="number"),
        Column(name="flag", kind="boolean"), Column(name="y", kind="number", role="target"),
    ),
)  # fmt: skip


def test_single_tensor_has_the_columns_in_the_contracts_order() -> None:
    for data in ([1, 2.5, 0, None, 1e3, 1], [[1, 2.5, 0], [None, 1e3, 1]]):
        body = {"inputs": [{"name": "predict", "shape": [2, 3], "datatype": "FP32", "data": data}]}
        assert open_inference.parse(json.dumps(body).encode(), None, NUMBERS, 9).rows == [
            {"a": 1, "b": 2.5, "flag": False}, {"a": None, "b": 1000.0, "flag": True},
        ]  # fmt: skip


@pytest.mark.parametrize("datatype", list(open_inference.tensors.DTYPES))
def test_every_datatype_is_parsed_from_bytes(datatype: str) -> None:
    sent = np.array([0, 1]).astype(open_inference.tensors.DTYPES[datatype]).tobytes()
    parameters = {"binary_data_size": len(sent)}
    body = {"inputs": [{"name": "a", "shape": [2], "datatype": datatype, "parameters": parameters}]}
    head = json.dumps(body).encode()
    rows = open_inference.parse(head + sent, str(len(head)), NUMBERS, 9).rows
    assert [row["a"] for row in rows] == [0, 1]


def test_renders_predictions_of_every_type() -> None:
    for classes, predictions, datatype in (
        (None, [1.5, 2.5], "FP64"), ((1, 2, 3), [3, 1], "INT64"), (("ä", "b"), ["ä", "b"], "BYTES"),
        ((True, False), [True, False], "BOOL"),
    ):  # fmt: skip
        contract = NUMBERS.model_copy(update={"classes": classes})
        probabilities = None if classes is None else np.full((2, len(classes)), 0.5)
        batch = ScoredBatch(Scores(np.array(predictions), probabilities), "v", ["x", "y"])
        names = ["prediction", *([] if classes is None else ["probabilities"]), "prediction_id"]
        content, length = open_inference.render(
            open_inference.InferenceRequest([], None, dict.fromkeys(names, False)), batch, contract, "m"
        )
        outputs = json.loads(content)["outputs"]
        assert length is None
        assert [output["name"] for output in outputs] == names
        assert (outputs[0]["datatype"], outputs[0]["data"]) == (datatype, predictions)
        as_bytes, length = open_inference.render(
            open_inference.InferenceRequest([], None, dict.fromkeys(names, True)), batch, contract, "m"
        )
        assert length is not None
        sizes = [output["parameters"]["binary_data_size"] for output in json.loads(as_bytes[:length])["outputs"]]
        assert length + sum(sizes) == len(as_bytes)


def request(*, size: Any = 16, header: Any = None, tail: bytes = b"\0" * 16, **tensor: Any) -> tuple[bytes, str]:
    """Return a request with one binary tensor of two FP64, changed by the arguments."""
    default = {"name": "a", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [default | tensor]}).encode()
    return head + tail, str(len(head)) if header is None else header


WIDE: list[tuple[dict[str, Any], str]] = [
    ({"shape": [1, 2]}, r"has shape \[1, 2\]; all inputs must have shape \[1\]"),
    ({"shape": [1, 2**40], "datatype": "UINT8"}, "all inputs must have shape"),
    ({"shape": [1, 4], "datatype": "BYTES"}, "all inputs must have shape"),
    ({"name": "table", "shape": [1, 2]}, r"a single input of shape \[rows, 3\]"),
]


@pytest.mark.parametrize(("changes", "message"), WIDE)
def test_shape_that_is_not_the_models_is_rejected_before_a_value_is_read(
    changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: Any) -> list[Any]:
        raise AssertionError("a value was read")

    monkeypatch.setattr(open_inference.tensors, "read_binary", read)
    monkeypatch.setattr(open_inference.tensors, "read_data", read)
    with pytest.raises(RequestError, match=message):
        open_inference.parse(*request(**changes), NUMBERS, 9)


def test_texts_are_read_up_to_the_number_that_the_shape_has() -> None:
    body, length = request(shape=[2], datatype="BYTES", tail=bytes(4) * 3 + b"\xff" * 4)
    with pytest.raises(RequestError, match="has more than 2 elements"):
        open_inference.parse(body, length, NUMBERS, 9)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"inputs": [0] * 9_000}, "9000 inputs, but at most 23 are read"),
        ({"inputs": [{}], "outputs": [{}] * 9_000}, "9000 outputs, but at most 23 are read"),
        ({"inputs": [{str(n): 0 for n in range(2_000)}]}, "more than 1410 members"),
        ({str(n): 0 for n in range(2_000)}, "more than 1410 members"),
    ],
)
def test_json_with_far_more_parts_than_a_request_has_is_rejected(body: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        open_inference.parse(json.dumps(body).encode(), None, NUMBERS, 10_000)
    assert caught.value.status == 413


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"size": 15}, "15 bytes"), ({"size": -1}, "must be a number"), ({"size": "16"}, "must be a number"),
    ({"size": 17}, "must be a number"), ({"size": 1e9}, "must be a number"), ({"size": True}, "must be a number"),
    ({"size": 8}, "8 bytes"), ({"tail": b"\0" * 20}, "belong to no input"), ({"data": [1, 2]}, "data twice"),
    ({"header": "x"}, "Length must be"), ({"header": "9999"}, "Length must be"), ({"header": "-1"}, "Length must be"),
    ({"header": "9" * 5000}, "Length must be"), ({"shape": [3]}, "needs 24"), ({"shape": [2**62, 2]}, "at most"),
    ({"shape": [10]}, "at most"), ({"datatype": "BYTES"}, "needs 2"), ({"datatype": "BOOL", "size": 16}, "needs 2"),
    ({"datatype": "BYTES", "tail": b"\xff" * 16}, "longer than the tensor"), ({"parameters": {}}, "has no data"),
    ({"datatype": "BYTES", "tail": b"\1\0\0\0\xff" + b"\1\0\0\0a" + b"\0" * 4, "size": 14}, "not UTF-8"),
    ({"datatype": "BOOL", "tail": b"\0\2", "size": 2}, "byte 0 or 1"),
    ({"parameters": {"shared_memory_region": "x"}}, "shared memory"),
    ({"parameters": {}, "data": [1, "2"], "tail": b""}, "element 1 is not of datatype FP64"),
    ({"parameters": {}, "data": [True, 2], "tail": b""}, "element 0 is not of datatype FP64"),
    ({"parameters": {}, "data": [[1], [2]], "tail": b""}, "element 0 is not of datatype FP64"),
    ({"parameters": {}, "data": [1], "tail": b""}, "1 elements"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), INVALID)
def test_rejects_inconsistent_tensors(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        open_inference.parse(*request(**changes), NUMBERS, 9)


def texts(*values: Any, **tensor: Any) -> bytes:
    """Return a request with one tensor of texts for the column `day`."""
    default = {"name": "day", "shape": [len(values)], "datatype": "BYTES", "data": values}
    return json.dumps({"inputs": [default | tensor]}).encode()


TEXTS = Contract(
    title="Texts",
    task="regression",
    columns=(Column(name="day", kind="string", nullable=True), Column(name="y", kind="number", role="target")),
)


def test_null_is_absence_at_every_level() -> None:
    tensor = {"name": "a", "shape": [1], "datatype": "INT64", "data": [1], "parameters": None}
    body = {
        "id": None, "parameters": None, "outputs": None, "model_name": None, "model_version": None, "inputs": [tensor],
    }  # fmt: skip
    parsed = open_inference.parse(json.dumps(body).encode(), None, NUMBERS, 9)
    assert (parsed.rows, parsed.id, list(parsed.outputs)) == ([{"a": 1}], None, ["prediction", "prediction_id"])
    body["outputs"] = [{"name": "prediction", "parameters": None}]
    assert open_inference.parse(json.dumps(body).encode(), None, NUMBERS, 9).outputs == {"prediction": False}
    head = json.dumps(body | {"inputs": [tensor | {"data": None, "parameters": {"binary_data_size": 8}}]}).encode()
    assert open_inference.parse(head + b"\1" + bytes(7), str(len(head)), NUMBERS, 9).rows == [{"a": 1}]


def test_the_url_names_the_model_and_a_name_in_the_body_is_ignored() -> None:
    body = json.loads(texts("x")) | {"model_name": "other", "model_version": "7"}
    assert open_inference.parse(json.dumps(body).encode(), None, TEXTS, 9).rows == [{"day": "x"}]


@pytest.mark.parametrize("content_type", ["np", "pd", "str", "datetime", None])
def test_content_types_of_plain_values_are_accepted(content_type: str | None) -> None:
    parameters = {"content_type": content_type}
    body = json.loads(texts("REU=", parameters=parameters)) | {"parameters": parameters}
    assert open_inference.parse(json.dumps(body).encode(), None, TEXTS, 9).rows == [{"day": "REU="}]


def test_base64_is_decoded_in_json_and_in_binary_tensors() -> None:
    encoded, parameters = ["REU=", "w6TDtg=="], {"content_type": "base64"}
    body = texts(*encoded, None, parameters=parameters)
    assert open_inference.parse(body, None, TEXTS, 9).rows == [{"day": "DE"}, {"day": "äö"}, {"day": None}]
    tail = b"".join(len(text).to_bytes(4, "little") + text.encode() for text in encoded)
    head = texts(*encoded, data=None, parameters=parameters | {"binary_data_size": len(tail)})
    assert open_inference.parse(head + tail, str(len(head)), TEXTS, 9).rows == [{"day": "DE"}, {"day": "äö"}]


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ({"parameters": {"content_type": "json"}}, "'day' has the content_type 'json'"),
        ({"parameters": {"content_type": "hf"}}, "'day' has the content_type 'hf'"),
        ({"parameters": {"content_type": ["str"]}}, "'day' has the content_type"),
        ({"parameters": {"content_type": "base64"}}, "an element is not UTF-8 text in base64"),
        ({"parameters": {"content_type": "base64"}, "datatype": "INT64", "data": [1, 2]}, "is not supported"),
    ],
)
def test_content_types_that_change_the_meaning_of_values_are_rejected(tensor: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        open_inference.parse(texts("REU=", "nö", **tensor), None, TEXTS, 9)


@pytest.mark.parametrize("content_type", ["base64", "hf", "json"])
def test_content_types_of_request_and_output_are_rejected_unless_they_are_plain(content_type: str) -> None:
    parameters = {"content_type": content_type}
    output = {"outputs": [{"name": "prediction", "parameters": parameters}]}
    for body, owner in ((output, "'prediction'"), ({"parameters": parameters}, "the request")):
        with pytest.raises(RequestError, match=f"{owner} has the content_type '{content_type}'"):
            open_inference.parse(json.dumps(json.loads(texts("x")) | body).encode(), None, TEXTS, 9)


def test_paths_of_extensions_that_are_not_supported_are_errors_that_the_client_shows(triton_client: Any) -> None:
    from tritonclient.utils import InferenceServerException

    for call, arguments in (
        ("get_model_config", ["demo"]), ("get_inference_statistics", ["demo"]), ("get_inference_statistics", []),
        ("get_model_repository_index", []), ("get_system_shared_memory_status", []), ("load_model", ["demo"]),
        ("get_trace_settings", []), ("get_log_settings", []), ("unregister_cuda_shared_memory", []),
    ):  # fmt: skip
        with pytest.raises(InferenceServerException, match="and no such path|unknown model 'stats'"):
            getattr(triton_client, call)(*arguments)


def test_error_response_has_error_and_detail(client: httpx.Client) -> None:
    for content in (b"{", b'{"inputs": []}', b"", b"[" * 1_000_000, b'{"inputs": [], "more": 1}'):
        response = client.post("/v2/models/demo/infer", content=content)
        assert response.status_code == 422
        assert response.json().keys() == {"error", "detail"}
        assert response.json()["detail"][0]["loc"][0] == "body"


VALUE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["UA", "EWR"])
TENSOR = st.fixed_dictionaries(
    {
        "name": st.sampled_from([*NAMES, "x"]),
        "shape": st.sampled_from([[1], [1, 1], [2], [1, 7], [0], []]) | st.lists(st.integers(-1, 2**70), max_size=3),
        "datatype": st.sampled_from(["BYTES", *open_inference.tensors.DTYPES, "BF16", "nope"]),
    },
    optional={
        "data": st.lists(VALUE, max_size=8) | st.lists(st.lists(VALUE, max_size=3), max_size=3) | VALUE,
        "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "classification"]), VALUE),
    },
)
BODY = st.fixed_dictionaries(
    {"inputs": st.lists(TENSOR, max_size=8)},
    optional={
        "id": VALUE,
        "parameters": st.dictionaries(st.sampled_from(["binary_data_output", "x"]), VALUE),
        "outputs": st.lists(st.fixed_dictionaries({"name": st.sampled_from(["prediction", "x"])}), max_size=3),
    },
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(BODY | VALUE, st.binary(max_size=20), st.none() | st.integers(-1, 50) | st.just("all"))
def test_no_body_causes_a_server_error(client: httpx.Client, body: Any, tail: bytes, length: Any) -> None:
    head = json.dumps(body).encode()
    headers = {} if length is None else {JSON_LENGTH_HEADER: str(len(head) if length == "all" else length)}
    response = client.post("/v2/models/demo/infer", content=head + tail, headers=headers)
    assert response.status_code in (200, 413, 422)
    assert response.status_code == 200 or response.json()["error"]


@settings(max_examples=100)
@given(st.binary(max_size=40), st.integers(0, 60), st.sampled_from(["BYTES", "FP64", "BOOL", "INT8"]))
def test_any_bytes_are_parsed_or_rejected(tail: bytes, count: int, datatype: str) -> None:
    body, length = request(size=len(tail), tail=tail, shape=[count], datatype=datatype)
    try:
        rows = open_inference.parse(body, length, NUMBERS, 60).rows
    except RequestError as error:
        assert error.status == 422  # noqa: PT017
    else:
        assert len(rows) == count
