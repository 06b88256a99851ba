"""Check the host and the port in the address of a server before a library quotes them: they may be parts of a password.

In `postgresql://user:password/database`, where the host was forgotten, the password stands in the port's place.
"""

from urllib.parse import urlsplit

INVALID_HOST = (
    "the host or the port of the address is not valid; a port is a number up to 65535, an IPv6 address is in "
    "brackets, and special characters of the user and the password are percent-encoded (@ is %40, / is %2F). The "
    "address is not shown, because it may hold a password"
)


def has_valid_host(address: str, *, several: bool = False) -> bool:
    """Return whether host and port of a URL are valid, if it names any; with `several`, a list as libpq takes it."""
    authority = address.partition("://")[2]
    for end in "/?#":
        authority = authority.partition(end)[0]
    hosts = authority.rpartition("@")[2]
    try:
        if not several:
            urlsplit(address)  # fails too for a bracket in the user or the password
        return all(urlsplit(f"//{host}").port != 0 for host in (hosts.split(",") if several else [hosts]))
    except ValueError:
        return False
