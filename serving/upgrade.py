"""Requests that ask to change to another protocol on the way, which a server need not do (RFC 9110, 7.8).

The parser takes whatever follows such a head for the other protocol's, a request's body too. Java's client asks for
h2c with its first request; so the head is read a second time, without what asks for it.
"""

from collections.abc import Iterable

from httptools import HttpRequestParser

#: Headers that ask for another protocol; they stand in `connection`, too.
WISHES = (b"upgrade", b"http2-settings")


def new_parser(protocol: object) -> HttpRequestParser:
    """Make a parser as uvicorn does: the one that has come upon such a head may not read on."""
    parser = HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def without_wish(method: bytes, target: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write a request's head without what asks for another protocol.

    Parameters
    ----------
    method, target, version : bytes, bytes, str
        Of its first line; the version without "HTTP/".
    headers : iterable of (bytes, bytes)
        Names in lower case, and values.
    """
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode())]
    for name, value in headers:
        if name == b"connection":
            words = (word.strip() for word in value.split(b","))
            lines.append(b"connection: " + b", ".join(word for word in words if word.lower() not in WISHES))
        elif name not in WISHES:
            lines.append(name + b": " + value)
    return b"\r\n".join(lines) + b"\r\n\r\n"
