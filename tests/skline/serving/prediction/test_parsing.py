"""Request bodies are rejected by their size before they are parsed: too many values, or too many rows."""

import json

import pytest

from skline.serving.errors import RequestError
from skline.serving.prediction.parsing import MAX_EXTRA_VALUES, SMALL_BODY_BYTES, RequestParser, check_value_count
from tests.fixtures import demo


@pytest.mark.parametrize(
    "body",
    [
        b"1,2,3,4",
        b'"a,b,c,d,e",2,3',
        b'"a\\",b,c,d,e",2,3',
        b'"a\\\\",2,3,4',
        json.dumps({"text": "," * 50, "number": 1}).encode(),
    ],
)
def test_commas_within_quotes_are_not_counted(body: bytes) -> None:
    check_value_count(body, 3)


@pytest.mark.parametrize("body", [b"1,2,3,4,5", b'"a,b",2,3,4,5', b'"a\\\\",2,3,4,5', b",,,,,,,,"])
def test_body_with_too_many_values_is_rejected(body: bytes) -> None:
    with pytest.raises(RequestError, match="more than 3 values; split it") as caught:
        check_value_count(body, 3)
    assert caught.value.status == 413


def test_row_with_far_more_values_than_columns_is_rejected_without_listing_them() -> None:
    contract = demo.contract()
    values = len(contract.inputs) + MAX_EXTRA_VALUES + 2
    body = json.dumps({f"column {number}": "x" * (SMALL_BODY_BYTES // values) for number in range(values)}).encode()
    with pytest.raises(RequestError) as caught:
        RequestParser(contract, 10).parse_row(body)
    assert caught.value.status == 413


def test_batch_of_more_rows_than_allowed_is_rejected() -> None:
    parser = RequestParser(demo.contract(), 2)
    row = parser.row_schema["example"]
    assert len(parser.validate_rows([row] * 2)) == 2
    with pytest.raises(RequestError, match="3 rows, but at most 2 are allowed; split it") as caught:
        parser.validate_rows([row] * 3)
    assert caught.value.status == 413
