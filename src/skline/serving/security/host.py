"""The Host header: every request names one host, in the form of RFC 3986, 3.2.2 and 3.2.3."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from skline.serving import errors
from skline.serving.security.context import RequestContext
from skline.serving.security.headers import RawHeader

#: An IP literal in brackets, or a name or IPv4 address, which may be empty; then a port.
HOST = re.compile(
    rb"(?:\[([A-Za-z0-9:.%_~!$&'()*+,;=-]+)\]|((?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*))(?::[0-9]*)?"
)
#: The authority of a request target in absolute form; targets in other forms begin with / or are * or HOST:PORT.
AUTHORITY = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")


def use_host_of_target(headers: list[RawHeader], target: bytes) -> None:
    """Replace the Host of a request by that of its target, if this is in absolute form (RFC 9112, 3.2.2).

    A request without exactly one Host stays as it is, and is rejected later.
    """
    authority = AUTHORITY.match(target)
    if authority is not None and _count(headers) == 1:
        position = next(index for index, (name, _) in enumerate(headers) if name == b"host")
        headers[position] = (b"host", authority[1])


class HostCheck:
    """Rejects requests without exactly one valid Host; it keeps the last valid one, which most requests repeat."""

    def __init__(self) -> None:
        self._valid = b""

    def check(self, context: RequestContext, scope: Mapping[str, Any]) -> None:
        """Verify the Host of a request (RFC 9112, 3.2): a proxy and the service must not choose different ones.

        Raises
        ------
        RequestError
            400 if there is more than one Host, none in a request of another version than HTTP/1.0, or one that is not
            valid.
        """
        host = context.headers.get(b"host")
        if host == self._valid:
            return
        if host is None:
            if scope["http_version"] != "1.0":
                raise errors.invalid_host("the header Host is missing; send it once")
        elif (number := _count(scope["headers"])) > 1:
            raise errors.invalid_host(f"the header Host occurs {number} times; send it once")
        elif not HOST.fullmatch(host):
            raise errors.invalid_host("the header Host is no name or address with an optional port, as in host:8000")
        else:
            self._valid = host


def _count(headers: Iterable[RawHeader]) -> int:
    return sum(name == b"host" for name, _ in headers)
