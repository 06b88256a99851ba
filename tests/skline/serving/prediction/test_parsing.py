"""Rows of large bodies are read as those of small ones, and errors stay few."""

import json

import pytest

from skline.contract.spec import Column, Contract
from skline.serving.errors import MAX_ERRORS, RequestError, ValidationFailed
from skline.serving.prediction import validation
from skline.serving.prediction.body_checks import MAX_TEXT
from skline.serving.prediction.parsing import MAX_EXTRA_VALUES, SMALL_BODY_BYTES, RequestParser
from tests.fixtures import demo


def test_errors_of_a_large_body_name_their_rows_and_stop_at_the_number_that_a_response_lists() -> None:
    parser = RequestParser(demo.contract(), 10_000)
    row = parser.row_schema["example"]
    rows = [row] * 400
    rows[70] = row | {"origin": "BOS"}
    rows[390] = row | {"distance": "far", "dest": None}
    with pytest.raises(ValidationFailed) as caught:
        parser.parse_rows(json.dumps(rows).encode())
    places = [("origin", 70), ("dest", 390), ("distance", 390)]
    assert sorted((error["loc"][2], error["loc"][1]) for error in caught.value.detail) == sorted(places)
    with pytest.raises(ValidationFailed) as caught:
        parser.parse_rows(b"[" + b"{}," * 9_999 + b"{}]")
    assert len(caught.value.detail) == MAX_ERRORS
    assert caught.value.detail[-1]["loc"][1] <= validation.PART_ITEMS


def test_row_of_a_large_body_with_far_more_members_than_columns_is_rejected() -> None:
    parser = RequestParser(demo.contract(), 10_000)
    row = parser.row_schema["example"]
    body = json.dumps([*[row] * 400, {f"column {number}": 0 for number in range(60)}, row]).encode()
    with pytest.raises(RequestError, match="an object has more than 27 members") as caught:
        parser.parse_rows(body)
    assert caught.value.status == 413


@pytest.mark.parametrize("text", ["a" * (MAX_TEXT + 1), "é" * (MAX_TEXT + 1), '"' * (MAX_TEXT + 1)])
def test_text_that_is_longer_than_a_cell_of_csv_is_rejected(text: str) -> None:
    parser = RequestParser(demo.contract(), 10_000)
    row = parser.row_schema["example"] | {"carrier": text}
    for ensure_ascii in (True, False):
        content = json.dumps(row, ensure_ascii=ensure_ascii).encode()
        for parse, body in ((parser.parse_row, content), (parser.parse_rows, b"[" + content + b"]")):
            with pytest.raises(RequestError, match="a text has more than 131072 characters") as caught:
                parse(body)
            assert caught.value.status == 413
    with pytest.raises(ValidationFailed):
        parser.parse_row(json.dumps(row | {"carrier": text[1:]}).encode())


@pytest.mark.parametrize(("body", "kind"), [(b"[1", "json_invalid"), (b"[1]]", "json_invalid"), (b"{}", "list_type")])
def test_large_body_that_is_no_list_of_rows_is_rejected(body: bytes, kind: str) -> None:
    with pytest.raises(RequestError) as caught:
        RequestParser(demo.contract(), 10).parse_rows(b" " * SMALL_BODY_BYTES + body)
    assert (caught.value.status, caught.value.kind) == (422, kind)


@pytest.mark.parametrize("distance", [1400, "1400", float("nan"), None])
def test_large_and_small_bodies_are_read_alike(distance: object) -> None:
    parser = RequestParser(demo.contract(), 10_000)
    row = parser.row_schema["example"] | {"distance": distance}
    small, large = (parser.parse_rows(json.dumps([row] * count).encode()) for count in (2, 400))
    assert large == [small[0]] * 400


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


def test_absent_field_that_may_be_null_is_asked_for_as_null() -> None:
    columns = (
        Column(name="known", kind="number"),
        Column(name="unsure", kind="number", nullable=True),
        Column(name="y", kind="number", role="target"),
    )
    parser = RequestParser(Contract(title="T", task="regression", columns=columns), 1_000)
    many = b"[" + b",".join([b"{}"] * 999) + b" " * SMALL_BODY_BYTES + b"]"
    for parse, body in ((parser.parse_row, b"{}"), (parser.parse_rows, b"[{}]"), (parser.parse_rows, many)):
        with pytest.raises(ValidationFailed) as caught:
            parse(body)
        messages = [detail["msg"] for detail in caught.value.detail[:2]]
        assert messages == ["Field required", "Field required; send null if it is unknown"]
