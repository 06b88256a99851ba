"""Ids that callers send are kept if they are sane; a trace is taken up as W3C says."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.security.tracing import CURRENT, begin

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@given(st.binary(max_size=80))
def test_an_id_is_kept_if_sane_and_made_otherwise(sent: bytes) -> None:
    trace = begin(sent, b"")
    sane = re.fullmatch(rb"[A-Za-z0-9._-]{1,64}", sent) is not None
    assert (trace.request_id == sent) is sane
    assert sane or re.fullmatch(rb"[0-9a-f]{32}", trace.request_id)
    assert CURRENT.get() is trace
    assert trace.response() == b""


def test_a_trace_is_passed_on_with_a_span_of_its_own() -> None:
    trace = begin(b"", PARENT.encode())
    facts: dict[str, Any] = trace.fields()
    assert (facts["trace_id"], facts["parent_id"]) == (TRACE, SPAN)
    assert re.fullmatch(r"[0-9a-f]{16}", facts["span_id"])
    assert facts["span_id"] != SPAN
    assert trace.response() == f"00-{TRACE}-{facts['span_id']}-01".encode()
    assert begin(b"", PARENT.encode()).span_id != trace.span_id


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
def test_what_is_no_trace_is_left_aside(parent: str, valid: bool) -> None:
    assert bool(begin(b"", parent.encode()).response()) is valid


@given(st.binary(max_size=120))
def test_no_bytes_break_it(parent: bytes) -> None:
    begin(parent, parent)
