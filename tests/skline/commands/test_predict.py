"""Tests of `skline predict`: the response of `POST /predict`, or the contract's message."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from skline.artifact import Artifact
from skline.artifact.tuning import Interval, Tuning
from skline.cli import parser
from skline.commands.predict import read_body, respond
from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.input_rows import InputRows
from skline.loading import Model
from tests.fixtures import demo

PAIRS = (
    "flight_date=2013-07-04", "carrier=UA", "origin=EWR", "dest=IAH", "distance=1400", "sched_dep_time=515",
    "sched_arr_time=819",
)  # fmt: skip
WITHOUT_DISTANCE = tuple(pair for pair in PAIRS if not pair.startswith("distance"))
JSON_WITHOUT_DISTANCE = json.dumps(dict(pair.split("=") for pair in WITHOUT_DISTANCE))


@pytest.fixture
def predict(packaged: demo.Packaged, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run the command on the packaged artifact; return what it prints, as JSON."""

    def run(*words: str) -> Any:
        arguments = parser().parse_args(
            ["predict", *words, "--artifact", str(packaged.folder), "--digest", packaged.digest]
        )
        arguments.run(arguments)
        return json.loads(capsys.readouterr().out)

    return run


def test_response_is_that_of_the_service_without_an_id(
    predict: Callable[..., Any], client: httpx.Client, example: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = client.post("/predict", params={"explain": "true"}, json=example).json()
    del expected["prediction_id"]
    actual = predict(json.dumps(example), "--explain")
    assert actual == expected
    assert list(actual) == list(expected)
    del expected["explanation"]
    assert predict(json.dumps(example)) == expected
    assert predict(*PAIRS) == expected
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(example)))
    assert predict("-") == expected


def test_empty_value_is_missing(predict: Callable[..., Any], example: dict[str, Any]) -> None:
    pairs = [pair if not pair.startswith("distance") else "distance=" for pair in PAIRS]
    assert predict(*pairs) == predict(json.dumps(example | {"distance": None}))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            (*PAIRS[:-1], "sched_arr_time=8.5"),
            "sched_arr_time: Input should be a whole number within ±2^53 (got '8.5')",
        ),
        (PAIRS[:-1], "sched_arr_time: Field required"),
        (WITHOUT_DISTANCE, "distance: Field required; write distance= if it is unknown"),
        ((JSON_WITHOUT_DISTANCE,), "distance: Field required; send null if it is unknown"),
        ((*PAIRS, "gate=7"), "gate: Extra inputs are not permitted (got '7')"),
        (('{"carrier": ',), "Invalid JSON: EOF while parsing a value at line 1 column 12 (got '{\"carrier\": ')"),
        ((*PAIRS, "carrier=AA"), "the column 'carrier' is given twice, as 'UA' and as 'AA'; give it once"),
        (("UA",), "'UA' is neither COLUMN=VALUE nor a JSON object; write flight_date=2013-07-04, and so on"),
    ],
)
def test_error_names_field_and_rule(predict: Callable[..., Any], words: tuple[str, ...], message: str) -> None:
    with pytest.raises(SklineError) as error:
        predict(*words)
    assert str(error.value) == message


def test_example_of_a_column_with_a_decimal_comma_is_not_read_as_thousands() -> None:
    columns = (
        Column(name="x", kind="number", notation="1.234,5", example=1.234),
        Column(name="y", kind="number", role="target"),
    )
    contract = Contract(title="Line", columns=columns, task="regression")
    with pytest.raises(SklineError, match="write x=1.2340, and so on"):
        read_body(["1.234"], contract)
    assert InputRows(contract).read(json.loads(read_body(["x=1.2340"], contract))) == [{"x": 1.234}]


def test_messages_are_those_of_the_service(
    predict: Callable[..., Any], client: httpx.Client, example: dict[str, Any]
) -> None:
    row = json.dumps(example | {"distance": -5, "origin": "SFO"})
    details = client.post("/predict", content=row).json()["detail"]
    with pytest.raises(SklineError) as error:
        predict(row)
    for detail in details:
        assert f"{detail['loc'][-1]}: {detail['msg']} (got" in str(error.value)


def test_regression_has_its_interval(tmp_path: Path, serve: Callable[..., httpx.Client]) -> None:
    contract = Contract(
        title="Line",
        columns=(Column(name="x", kind="number"), Column(name="y", kind="number", role="target")),
        task="regression",
    )
    fitted = make_pipeline(LinearRegression()).fit(pd.DataFrame({"x": np.linspace(0, 9, 50)}), np.linspace(1, 5, 50))
    tuning = Tuning(rows=50, interval=Interval(level=0.9, half_width=0.3, rows=50))
    packaged = demo.package(tmp_path / "artifact", fitted, contract, [{"x": 2.0}], background=[], tuning=tuning)
    model = Model(Artifact.open(packaged.folder, packaged.digest))
    body = '{"x": 2.3333333333333335}'
    for path in ("/predict", "/predict?explain=true"):
        expected = serve(packaged.folder, packaged.digest).post(path, content=body).json()
        del expected["prediction_id"]
        assert respond(model, body, explain="explain" in path) == expected
