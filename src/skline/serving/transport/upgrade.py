"""Ignore offers of a protocol upgrade and respond in HTTP/1.1, as a server may always do (RFC 9110, 7.8).

The parser treats everything after such a request head as data of the new protocol, a request's body included. Java's
HTTP client offers h2c with its first request, so the head is parsed a second time, without the headers that offer an
upgrade.
"""

from collections.abc import Iterable

from httptools import HttpRequestParser

#: Headers that offer an upgrade; the `connection` header names them as well.
UPGRADE_HEADERS = (b"upgrade", b"http2-settings")


def strip_upgrade_headers(method: bytes, target: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a request head without its upgrade offer.

    Parameters
    ----------
    method, target, version : bytes, bytes, str
        Parts of the request line; the version without "HTTP/".
    headers : iterable of (bytes, bytes)
        Names in lower case, and values.
    """
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode())]
    for name, value in headers:
        if name == b"connection":
            options = (option.strip() for option in value.split(b","))
            kept = [option for option in options if option.lower() not in UPGRADE_HEADERS]
            lines.append(b"connection: " + b", ".join(kept))
        elif name not in UPGRADE_HEADERS:
            lines.append(name + b": " + value)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def new_parser(protocol: object) -> HttpRequestParser:
    """Create a parser as uvicorn does; the one that stopped at an upgrade offer cannot continue."""
    parser = HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
