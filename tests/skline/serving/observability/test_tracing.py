"""Valid request ids of callers are kept; traces are continued as the W3C recommendation requires."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.serving.observability.tracing import CURRENT_TRACE, start_trace

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@given(st.binary(max_size=80))
def test_request_id_is_kept_if_valid_and_generated_otherwise(sent: bytes) -> None:
    trace = start_trace(sent, b"")
    valid = re.fullmatch(rb"[A-Za-z0-9._-]{1,64}", sent) is not None
    assert (trace.request_id == sent) is valid
    assert valid or re.fullmatch(rb"[0-9a-f]{32}", trace.request_id)
    assert CURRENT_TRACE.get() is trace
    assert trace.response() == b""


def test_trace_is_continued_with_a_new_span() -> None:
    trace = start_trace(b"", PARENT.encode())
    fields: dict[str, Any] = trace.fields()
    assert (fields["trace_id"], fields["parent_id"]) == (TRACE, SPAN)
    assert re.fullmatch(r"[0-9a-f]{16}", fields["span_id"])
    assert fields["span_id"] != SPAN
    assert trace.response() == f"00-{TRACE}-{fields['span_id']}-01".encode()
    assert start_trace(b"", PARENT.encode()).span_id != trace.span_id


@pytest.mark.parametrize(
    ("parent", "valid"),
    [
        (PARENT, True),
        (PARENT[:-2] + "00", True),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", True),
        (f"{PARENT}-more", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (PARENT.upper(), False),
        (PARENT[:-1], False),
        (f" {PARENT}", False),
        (f"{PARENT}\n", False),
        (f"cc-{TRACE}-{SPAN}-01.x", False),
    ],
)
def test_invalid_traceparent_is_ignored(parent: str, valid: bool) -> None:
    assert bool(start_trace(b"", parent.encode()).response()) is valid


@given(st.binary(max_size=120))
def test_any_header_bytes_are_accepted(header: bytes) -> None:
    start_trace(header, header)
