"""Bodies with too many values, too many members of an object or too long texts are rejected before they are parsed."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skline.serving.errors import RequestError
from skline.serving.prediction import body_checks
from skline.serving.prediction.body_checks import (
    MAX_TEXT,
    PART_BYTES,
    check_objects,
    check_structure,
    check_total_members,
    check_value_count,
    may_have_long_text,
)


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


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.text('",\\\\ax', max_size=60).map(str.encode), part=st.integers(1, 9))
def test_count_does_not_depend_on_where_the_body_is_cut(
    monkeypatch: pytest.MonkeyPatch, body: bytes, part: int
) -> None:
    monkeypatch.setattr(body_checks, "PART_BYTES", part)
    text = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    expected = sum(piece.count(b",") for piece in text.split(b'"')[::2])
    assert sum(map(len, body_checks._structure(body, b","))) == expected
    assert sum(body_checks._count(body, b",")) == body.count(b",")


def test_a_backslash_escapes_no_quote_in_csv() -> None:
    line = b'"C:\\",1,2,3,4'
    check_value_count(line, 3)
    with pytest.raises(RequestError, match="more than 3 values"):
        check_value_count(line, 3, is_csv=True)


def test_objects_nested_in_the_members_of_one_are_counted() -> None:
    nested = b"[{" + b",".join(b'"%d":{}' % number for number in range(1000)) + b"}]"
    check_structure(nested, values=1001, objects=1001, members=20)  # each brace begins another object
    with pytest.raises(RequestError, match="more than 500 objects"):
        check_structure(nested, values=1001, objects=500, members=20)
    check_structure(b'[{"a":"{{{{"}]', values=1, objects=1, members=1)


def test_values_of_all_objects_are_counted() -> None:
    body = json.dumps([{"a": ",,,", "b": [1, 2, 3]}] * 100).encode()
    check_structure(body, values=400, objects=100, members=5)
    with pytest.raises(RequestError, match="more than 398 values; split it"):
        check_structure(body, values=398, objects=100, members=5)


def test_lists_of_any_length_pass_the_check_of_objects() -> None:
    check_objects(json.dumps({"inputs": {"a": [1] * 500, "b": [":{"] * 500}}).encode(), objects=2, members=2)
    with pytest.raises(RequestError, match="an object has more than 2 members"):
        check_objects(b'{"instances":[{"a":[1,2],"b":2,"c":3}]}', objects=2, members=2)
    with pytest.raises(RequestError, match="more than 2 objects"):
        check_objects(b'{"instances":[{},{}]}', objects=2, members=2)


def test_counting_stops_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_checks, "PART_BYTES", 10)
    counts = iter([3, 3, 3])
    assert body_checks._exceeds(counts, 5)
    assert list(counts) == [3]


OBJECTS = st.lists(
    st.dictionaries(st.text('",{}ab', max_size=4), st.text('",{}\\ab', max_size=4), max_size=6), max_size=5
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(objects=OBJECTS, part=st.integers(1, 40))
def test_objects_up_to_the_limit_pass_and_those_far_beyond_are_rejected(
    monkeypatch: pytest.MonkeyPatch, objects: list[dict[str, str]], part: int
) -> None:
    monkeypatch.setattr(body_checks, "PART_BYTES", part)
    body = json.dumps(objects).encode()
    most = max((len(members) for members in objects), default=1) or 1
    check_structure(body, values=99, objects=99, members=most)
    if most > 2:
        with pytest.raises(RequestError, match="members"):
            check_structure(body, values=99, objects=99, members=most - 2)


def test_members_of_all_objects_are_counted_without_those_in_texts() -> None:
    body = json.dumps([{"a": ":::::"}, {"b": 1, "c": {"d": '":"'}}]).encode()
    check_total_members(body, 4)
    with pytest.raises(RequestError, match="more than 3 members"):
        check_total_members(body, 3)


@pytest.mark.parametrize("start", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 5])
@pytest.mark.parametrize("unit", ["a", '"', "\\", "\\\\", ",", "é"])
def test_every_text_that_is_too_long_is_found(start: int, unit: str) -> None:
    text = (unit * MAX_TEXT)[: MAX_TEXT + 1]
    body = b'["b",' * (start // 5) + b" " * (start % 5) + json.dumps(text + "a").encode()
    assert may_have_long_text(body)


def test_rows_of_short_texts_have_no_long_one() -> None:
    assert not may_have_long_text(json.dumps([{"name": "a" * 500, "number": 1.5}] * 1000).encode())
