"""Headers by name."""

from hypothesis import given
from hypothesis import strategies as st

from skline.serving.security.context import headers_by_name

NAMES, VALUES = st.sampled_from([b"host", b"accept", b"x-api-key"]), st.binary(max_size=3)


@given(headers=st.lists(st.tuples(NAMES, VALUES)))
def test_headers_by_name_joins_the_values_of_a_repeated_header_in_their_order(
    headers: list[tuple[bytes, bytes]],
) -> None:
    expected: dict[bytes, bytes] = {}
    for name, value in headers:
        expected[name] = expected[name] + b", " + value if name in expected else value

    assert headers_by_name(headers) == expected
