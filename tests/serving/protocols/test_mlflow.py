"""A client of MLflow's scoring server needs no change, and what it sends is validated as /predict is."""

import json
import warnings
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.errors import RequestRefused
from serving.protocols import mlflow
from skline.contract.frames import to_json_rows
from skline.contract.spec import Column, Contract
from tests import demo

ROW = {column.name: column.example for column in demo.contract().inputs}
Expected = tuple[list[bool], list[list[float]]]


def post(client: httpx.Client, body: Any, content_type: str = "application/json") -> httpx.Response:
    content = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return client.post("/invocations", content=content, headers={"content-type": content_type})


def mlflows_client(client: httpx.Client) -> Any:
    """MLflow's client for its scoring server; importing it warns of MLflow's own types."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.pyfunc.scoring_server.client import ScoringServerClient
    return ScoringServerClient("127.0.0.1", client.base_url.port)


def test_mlflows_own_client_sends_a_dataframe(client: httpx.Client, flights: pd.DataFrame, expected: Expected) -> None:
    scoring = mlflows_client(client)
    scoring.wait_server_ready(timeout=5)
    answer = scoring.invoke(flights)
    assert answer.get_predictions("ndarray").tolist() == expected[0]
    assert answer.get_predictions("dataframe")[0].tolist() == expected[0]
    assert [[row["false"], row["true"]] for row in answer["probabilities"]] == expected[1]
    assert (answer["model_version"], len(answer["prediction_ids"])) == ("demo@0123456789ab", len(flights))


def test_mlflows_own_client_is_told_what_is_wrong(client: httpx.Client, flights: pd.DataFrame) -> None:
    scoring = mlflows_client(client)
    with pytest.raises(Exception, match=r"error code 422.*origin.*'EWR', 'JFK' or 'LGA'"):
        scoring.invoke(flights.assign(origin="BOS"))


def test_all_forms_of_a_table_get_the_same_answer(
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
        answer = post(client, json.dumps(body).replace("T00:00:00Z", "T00:00:00"))
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"] == expected[0]
    for text, kind in (
        (csv.to_csv(index=False), "text/csv"),
        (csv.to_csv(), "text/csv; charset=utf-8"),
        (flights.to_csv(index=False, lineterminator="\r\n"), "text/csv"),
        (csv.to_csv(index=False, header=False), "text/csv; header=absent"),
    ):
        answer = post(client, text, kind)
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"] == expected[0]
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
    ("column", "sent", "read"),
    [
        ("whole", 5.0, 5), ("whole", 5.5, 5.5), ("whole", 2.0**60, 2.0**60), ("whole", float("inf"), float("inf")),
        ("whole", True, True), ("whole", "5", "5"), ("whole", None, None), ("whole", float("nan"), None),
        ("real", float("nan"), None), ("real", 1, 1), ("flag", 1.0, True), ("flag", 0, False), ("flag", 2, 2),
        ("flag", "true", "true"), ("day", "2013-07-04T00:00:00", "2013-07-04"), ("text", "", ""),
        ("day", "2013-07-04T00:00:01", "2013-07-04T00:00:01"), ("moment", "2013-07-04T00:00:00", "2013-07-04T00:00:00"),
    ],
)  # fmt: skip
def test_json_cells_are_read_where_nothing_is_lost(column: str, sent: Any, read: Any) -> None:
    [row] = mlflow.parse(json.dumps({"instances": [{column: sent}]}).encode(), "", KINDS, 10)
    assert (type(row[column]), row[column]) == (type(read), read)


@pytest.mark.parametrize(
    ("column", "sent", "read"),
    [
        ("whole", "5", 5), ("whole", "-5.00", -5), ("whole", "5.5", "5.5"), ("whole", "1_0", "1_0"),
        ("whole", "", None), ("real", "1e3", 1000.0), ("real", "-.5", -0.5),
        ("real", "inf", "inf"), ("real", "nan", "nan"),
        ("flag", "True", True), ("flag", "0.0", False), ("flag", "yes", "yes"), ("text", "5", "5"), ("text", "", None),
        ("text", 'a "b", c', 'a "b", c'), ("day", "2013-07-04 00:00:00", "2013-07-04"), ("text", "ä\nö", "ä\nö"),
    ],
)  # fmt: skip
def test_csv_cells_are_read_where_nothing_is_lost(column: str, sent: str, read: Any) -> None:
    text = pd.DataFrame({column: [sent], "z": ["z"]}).to_csv(index=False)
    [row] = mlflow.parse(text.encode(), "text/csv", KINDS, 10)
    assert (type(row[column]), row[column]) == (type(read), read)


@pytest.mark.parametrize(
    ("body", "kind", "status", "told"),
    [
        (b"", "application/json", 422, "not valid JSON"),
        (b"[1]", "application/json", 422, "exactly one of"),
        ({"predict": []}, "application/json", 422, "exactly one of"),
        ({"inputs": [], "instances": []}, "application/json", 422, "it has instances and inputs"),
        ({"dataframe_records": []}, "application/json", 422, "no rows"),
        ({"dataframe_records": [1]}, "application/json", 422, "row 0 must be an object"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": []}}, "application/json", 422, "twice"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1], [1, 2]]}}, "application/json", 422, "row 1 has 2 cells"),
        ({"inputs": {"a": [1], "b": [1, 2]}}, "application/json", 422, "one length"),
        ({"inputs": {"a": [1], "b": 1}}, "application/json", 422, "one length"),
        ({"instances": [ROW], "params": {"t": 1}}, "application/json", 422, "no params"),
        ({"instances": [ROW | {"new": 1}]}, "application/json", 422, "not permitted"),
        ({"instances": [{}]}, "application/json", 422, "Field required"),
        ({"instances": [ROW] * 501}, "application/json", 413, "at most 500"),
        ("carrier\n" + "UA\n" * 501, "text/csv", 413, "at most 500"),
        ('a,b\n"1', "text/csv", 422, "cannot be read"),
        (b"\xff\n1", "text/csv", 422, "not UTF-8"),
        ("", "text/csv", 422, "is empty"),
        (ROW, "application/vnd.apache.parquet", 415, "application/json or text/csv"),
        (ROW, "application/json; charset=latin-1", 415, "UTF-8"),
        ("[" * 1_000_000, "application/json", 422, "recursion limit"),
    ],
)
def test_what_is_no_table_is_told(client: httpx.Client, body: Any, kind: str, status: int, told: str) -> None:
    answer = post(client, body, kind)
    assert (answer.status_code, told in answer.text) == (status, True), answer.text
    assert {"loc", "msg", "type"} <= answer.json()["detail"][0].keys()


def test_a_compressed_body_is_refused(client: httpx.Client) -> None:
    answer = client.post("/invocations", content=b"x", headers={"content-encoding": "gzip"})
    assert answer.status_code == 415


def test_ping_says_whether_the_model_is_there(client: httpx.Client, service: Any) -> None:
    assert client.get("/ping").status_code == 200
    service.ready = False
    try:
        assert client.get("/ping").status_code == 503
        refused = post(client, {"instances": [ROW]})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    finally:
        service.ready = True


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
def test_nothing_sent_is_a_fault_of_the_server(client: httpx.Client, body: bytes, as_csv: bool) -> None:
    answer = post(client, body, "text/csv" if as_csv else "application/json")
    assert answer.status_code in (200, 413, 422)
    assert answer.status_code == 200 or answer.json()["detail"]


@settings(max_examples=100)
@given(st.text(max_size=40) | st.lists(st.sampled_from([*ROW, ",", "\n", '"', "1", "UA", ""])).map("".join))
def test_any_text_is_a_table_or_refused(text: str) -> None:
    try:
        rows = mlflow.parse(text.encode(errors="surrogatepass"), "text/csv", demo.contract(), 5)
    except RequestRefused as refusal:
        assert refusal.status in (413, 422)  # noqa: PT017
    else:
        assert all(isinstance(row, dict) for row in rows)


def test_numpy_arrays_of_a_numeric_model_are_rows(flights: pd.DataFrame) -> None:
    from mlflow.utils.proto_json_utils import dump_input_data

    numbers = Contract(title="N", task="regression", columns=tuple(KINDS[name] for name in ("whole", "real", "y")))
    sent = dump_input_data(np.array([[1.0, 2.5], [np.nan, 0.0]]))
    assert mlflow.parse(sent.encode(), "application/json", numbers, 10) == [
        {"whole": 1, "real": 2.5}, {"whole": None, "real": 0.0},
    ]  # fmt: skip
