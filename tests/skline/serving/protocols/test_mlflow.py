"""Clients of MLflow's scoring server work without changes, and their requests are validated as /predict's are."""

import json
import warnings
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skline import engine
from skline.contract.frames import to_json_rows
from skline.contract.spec import Column, Contract
from skline.serving.errors import RequestError
from skline.serving.protocols import mlflow
from tests.fixtures import demo

ROW = {column.name: column.example for column in demo.contract().inputs}
Expected = tuple[list[bool], list[list[float]]]


def post(client: httpx.Client, body: Any, content_type: str = "application/json") -> httpx.Response:
    content = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return client.post("/invocations", content=content, headers={"content-type": content_type})


def mlflow_client(client: httpx.Client) -> Any:
    """MLflow's client for its scoring server; importing it warns about MLflow's own types."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.pyfunc.scoring_server.client import ScoringServerClient
    return ScoringServerClient("127.0.0.1", client.base_url.port)


def test_mlflow_client_gets_predictions_for_a_dataframe(
    client: httpx.Client, flights: pd.DataFrame, expected: Expected
) -> None:
    scoring = mlflow_client(client)
    scoring.wait_server_ready(timeout=5)
    response = scoring.invoke(flights)
    assert response.get_predictions("ndarray").tolist() == expected[0]
    assert response.get_predictions("dataframe")[0].tolist() == expected[0]
    assert [[row["false"], row["true"]] for row in response["probabilities"]] == expected[1]
    assert (response["model_version"], len(response["prediction_ids"])) == ("demo@0123456789ab", len(flights))


def test_mlflow_client_shows_the_validation_error(client: httpx.Client, flights: pd.DataFrame) -> None:
    scoring = mlflow_client(client)
    with pytest.raises(Exception, match=r"error code 422.*origin.*'EWR', 'JFK' or 'LGA'"):
        scoring.invoke(flights.assign(origin="BOS"))


def test_all_formats_of_a_table_get_the_same_predictions(
    client: httpx.Client, flights: pd.DataFrame, expected: Expected
) -> None:
    rows = to_json_rows(demo.contract().inputs, flights)
    cells = [list(row.values()) for row in rows]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    backwards = list(reversed(columns))
    csv = flights.assign(flight_date=flights["flight_date"].dt.strftime("%Y-%m-%d"))
    for body in (
        {"dataframe_records": rows},
        {"dataframe_split": json.loads(flights.to_json(orient="split", date_format="iso", date_unit="s"))},
        {"dataframe_split": {"columns": backwards, "data": [[row[name] for name in backwards] for row in rows]}},
        {"instances": rows},
        {"instances": cells},
        {"inputs": columns, "params": {}},
        {"inputs": rows},
    ):
        response = post(client, json.dumps(body).replace("T00:00:00Z", "T00:00:00"))
        assert response.status_code == 200, response.text
        assert response.json()["predictions"] == expected[0]
    for text, content_type in (
        (csv.to_csv(index=False), "text/csv"),
        (csv.to_csv(), "text/csv; charset=utf-8"),
        (flights.to_csv(index=False, lineterminator="\r\n"), "text/csv"),
        (csv.to_csv(index=False, header=False), "text/csv; header=absent"),
    ):
        response = post(client, text, content_type)
        assert response.status_code == 200, response.text
        assert response.json()["predictions"] == expected[0]
    assert post(client, {"inputs": rows[0]}).json()["predictions"] == expected[0][:1]


KINDS = Contract(
    title="Kinds",
    task="regression",
    columns=(
        Column(name="whole", kind="integer", nullable=True), Column(name="real", kind="number", nullable=True),
        Column(name="flag", kind="boolean", nullable=True), Column(name="day", kind="date", nullable=True),
        Column(name="moment", kind="datetime", nullable=True), Column(name="text", kind="string", nullable=True),
        Column(name="y", kind="number", role="target"),
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("column", "sent", "expected"),
    [
        ("whole", 5.0, 5), ("whole", 5.5, 5.5), ("whole", 2.0**60, 2.0**60), ("whole", float("inf"), float("inf")),
        ("whole", True, True), ("whole", "5", 5), ("whole", None, None), ("whole", float("nan"), None),
        ("real", float("nan"), None), ("flag", 1.0, True), ("flag", 0, False), ("flag", 2, 2),
        ("flag", "true", True), ("day", "2013-07-04T00:00:00", "2013-07-04T00:00:00"), ("text", "", None),
        ("whole", 9007199254740993.0, 9007199254740992.0), ("real", 1, 1.0), ("text", "NA", None),
        ("day", "2013-07-04T00:00:01", "2013-07-04T00:00:01"),
        ("moment", "2013-07-04T00:00:00", "2013-07-04T00:00:00"),
        ("day", "2013-07-04T00:00:00.000Z", "2013-07-04T00:00:00.000Z"),
    ],
)  # fmt: skip
def test_json_cells_are_converted_only_without_loss(column: str, sent: Any, expected: Any) -> None:
    [row] = mlflow.parse(json.dumps({"instances": [{column: sent}]}).encode(), "", KINDS, 10)
    assert (type(row[column]), row[column]) == (type(expected), expected)


@pytest.mark.parametrize(
    ("column", "sent", "expected"),
    [
        ("whole", "5", 5), ("whole", "-5.00", -5), ("whole", "5.5", "5.5"), ("whole", "1_0", "1_0"),
        ("whole", "", None), ("real", "1e3", 1000.0), ("real", "-.5", -0.5),
        ("real", "inf", "inf"), ("real", "nan", None),
        ("whole", " 69", 69), ("whole", "6.9e1", 69), ("whole", "0x10", "0x10"),
        ("flag", "True", True), ("flag", "0.0", False), ("flag", "yes", True), ("text", "5", "5"), ("text", "", None),
        ("text", 'a "b", c', 'a "b", c'), ("text", "ä\nö", "ä\nö"),
        ("day", "2013-07-04 00:00:00", "2013-07-04 00:00:00"),
    ],
)  # fmt: skip
def test_csv_cells_are_converted_only_without_loss(column: str, sent: str, expected: Any) -> None:
    text = pd.DataFrame({column: [sent], "z": ["z"]}).to_csv(index=False)
    [row] = mlflow.parse(text.encode(), "text/csv", KINDS, 10)
    assert (type(row[column]), row[column]) == (type(expected), expected)


def test_blanks_around_names_of_a_csv_are_removed_as_in_a_table() -> None:
    body = b" whole ,text\n 69, a \n"
    trimmed = KINDS.model_copy(update={"trim": True})
    assert mlflow.parse(body, "text/csv", trimmed, 10) == [{"whole": 69, "text": "a"}]
    assert mlflow.parse(body, "text/csv", KINDS, 10) == [{" whole ": " 69", "text": " a "}]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "message"),
    [
        (b"", "application/json", 422, "the body is empty"),
        (b"[1]", "application/json", 422, "exactly one of"),
        ({"predict": []}, "application/json", 422, "exactly one of"),
        ({"inputs": [], "instances": []}, "application/json", 422, "it has instances and inputs"),
        ({"dataframe_records": []}, "application/json", 422, "has no rows"),
        ({"dataframe_split": {"columns": [], "data": [], "x": 1}}, "application/json", 422, "unknown field 'x'"),
        ({"dataframe_records": [1]}, "application/json", 422, "row 0 must be an object"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": []}}, "application/json", 422, "twice"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1], [1, 2]]}}, "application/json", 422, "row 1 has 2 cells"),
        ({"inputs": {"a": [1], "b": [1, 2]}}, "application/json", 422, "the same length"),
        ({"inputs": {"a": [1], "b": 1}}, "application/json", 422, "the same length"),
        ({"inputs": {"a": {"0": 1}, "b": {"0": 2}}}, "application/json", 422, "orient='records' as dataframe_records"),
        ({"instances": [ROW], "params": {"t": 1}}, "application/json", 422, "has no params"),
        ({"instances": [ROW | {"new": 1}]}, "application/json", 422, "has no input 'new'; remove"),
        ({"instances": [{}]}, "application/json", 422, "the column 'carrier' is missing"),
        ({"instances": [ROW] * 501}, "application/json", 413, "at most 500"),
        ({"instances": [ROW, {str(n): 0 for n in range(60)}]}, "application/json", 413, "row 1 has 60 values"),
        ("carrier,dest\n" + "a" * (mlflow.MAX_LINE + 1), "text/csv", 413, "a line of the CSV has more than 1048576"),
        ({"instances": ["a" * 200_000]}, "application/json", 413, "a text has more than 131072 characters"),
        ("carrier,dest\n" + "UA,IAH\n" * 501, "text/csv", 413, "at most 500"),
        ('carrier,b\n"1', "text/csv", 422, "is malformed"),
        (b"\xff\n1", "text/csv", 422, "not UTF-8"),
        ("", "text/csv", 422, "is empty"),
        (ROW, "application/vnd.apache.parquet", 415, "application/json or text/csv"),
        (ROW, "application/json; charset=latin-1", 415, "UTF-8"),
        ("[" * 1_000_000, "application/json", 422, "recursion limit"),
    ],
)
def test_rejects_body_that_is_not_a_table(
    client: httpx.Client, body: Any, content_type: str, status: int, message: str
) -> None:
    response = post(client, body, content_type)
    assert (response.status_code, message in response.text) == (status, True), response.text
    assert {"loc", "msg", "type"} <= response.json()["detail"][0].keys()


def post_csv(client: httpx.Client, frame: pd.DataFrame, content_type: str = "text/csv", **options: Any) -> Any:
    response = post(client, frame.to_csv(index=False, **options), content_type)
    assert response.status_code == 422
    return response.json()["detail"]


def test_a_wrong_column_is_named_once_in_many_rows(client: httpx.Client, flights: pd.DataFrame) -> None:
    from_many = pd.concat([flights] * 10, ignore_index=True)
    table = from_many.drop(columns=["origin", "dest"]).assign(Dest="IAH", plan=3, flight_date="2013-07-04")
    records = json.loads(table.to_json(orient="records"))
    split = json.loads(table.to_json(orient="split"))
    columns = {name: [row[name] for row in records] for name in records[0]}
    for body in ({"dataframe_records": records}, {"dataframe_split": split}, {"inputs": columns}):
        detail = post(client, body).json()["detail"]
        assert [(error["loc"], error["msg"], error["type"]) for error in detail] == [
            (["body", "origin"], "the column 'origin' is missing", "missing"),
            (["body", "dest"], "the column 'dest' is missing; is it 'Dest'?", "missing"),
            (["body", "Dest"], "the model has no input 'Dest'; remove this column", "extra_forbidden"),
            (["body", "plan"], "the model has no input 'plan'; remove this column", "extra_forbidden"),
        ]
    assert [error["msg"] for error in post_csv(client, table)][:1] == ["the column 'origin' is missing"]


def test_a_column_that_some_rows_lack_is_named_with_their_number(client: httpx.Client) -> None:
    rows = [ROW, *[{name: value for name, value in ROW.items() if name != "origin"}] * 3]
    [error] = post(client, {"instances": rows}).json()["detail"]
    assert error["msg"] == "the column 'origin' is missing in 3 of 4 rows, first in row 1"


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_csv_with_another_delimiter_is_said_to_have_one(
    client: httpx.Client, flights: pd.DataFrame, delimiter: str
) -> None:
    for content_type, options in (("text/csv", {}), ("text/csv; header=absent", {"header": False})):
        [error] = post_csv(client, flights, content_type, sep=delimiter, **options)
        assert error["msg"] == "the CSV has one column; its delimiter has to be ','"


def test_csv_without_a_header_is_said_to_have_none(client: httpx.Client, flights: pd.DataFrame) -> None:
    [error] = post_csv(client, flights, header=False)
    assert "names none of the model's columns; send `text/csv; header=absent`" in error["msg"]


def test_health_and_version_are_those_of_mlflows_server(client: httpx.Client) -> None:
    scoring = mlflow_client(client)
    assert scoring.get_version() == engine.version()
    assert client.get("/health").status_code == 200


def test_rejects_compressed_body(client: httpx.Client) -> None:
    response = client.post("/invocations", content=b"x", headers={"content-encoding": "gzip"})
    assert response.status_code == 415
    assert "Content-Encoding 'gzip' is not supported" in response.text


def test_ping_and_invocations_return_503_while_the_model_is_not_ready(client: httpx.Client, adapter: Any) -> None:
    assert client.get("/ping").status_code == 200
    adapter.ready = False
    try:
        assert client.get("/ping").status_code == 503
        rejected = post(client, {"instances": [ROW]})
        assert (rejected.status_code, rejected.headers["retry-after"]) == (503, "1")
    finally:
        adapter.ready = True


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
CELL = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["UA", "EWR", "2013-07-04"]) | JSONISH
NAMES = st.sampled_from([*ROW, "other", ""])
BODIES = st.one_of(
    JSONISH,
    st.dictionaries(st.sampled_from([*mlflow.FORMATS, "params"]), JSONISH, max_size=2),
    st.fixed_dictionaries(
        {
            "dataframe_split": st.fixed_dictionaries(
                {"columns": st.lists(NAMES | CELL), "data": st.lists(st.lists(CELL))}
            )
        }
    ),
    st.fixed_dictionaries({"instances": st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(ROW, CELL)))}),
    st.fixed_dictionaries({"inputs": st.dictionaries(NAMES, st.lists(CELL, max_size=3))}),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(BODIES.map(lambda body: json.dumps(body).encode()) | st.binary(max_size=60), st.booleans())
def test_no_body_causes_a_server_error(client: httpx.Client, body: bytes, as_csv: bool) -> None:
    response = post(client, body, "text/csv" if as_csv else "application/json")
    assert response.status_code in (200, 413, 422)
    assert response.status_code == 200 or response.json()["detail"]


@settings(max_examples=100)
@given(st.text(max_size=40) | st.lists(st.sampled_from([*ROW, ",", "\n", '"', "1", "UA", ""])).map("".join))
def test_any_csv_text_is_parsed_or_rejected(text: str) -> None:
    try:
        rows = mlflow.parse(text.encode(errors="surrogatepass"), "text/csv", demo.contract(), 5)
    except RequestError as error:
        assert error.status in (413, 422)  # noqa: PT017
    else:
        assert all(isinstance(row, dict) for row in rows)


def test_numpy_array_of_a_numeric_model_is_parsed_as_rows(flights: pd.DataFrame) -> None:
    from mlflow.utils.proto_json_utils import dump_input_data

    numbers = Contract(title="N", task="regression", columns=tuple(KINDS[name] for name in ("whole", "real", "y")))
    sent = dump_input_data(np.array([[1.0, 2.5], [np.nan, 0.0]]))
    assert mlflow.parse(sent.encode(), "application/json", numbers, 10) == [
        {"whole": 1, "real": 2.5}, {"whole": None, "real": 0.0},
    ]  # fmt: skip
