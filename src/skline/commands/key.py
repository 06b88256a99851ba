"""`skline key new | list | revoke`: the keys that callers of the service need."""

import argparse
import datetime as dt
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

#: Where the service is told to look for keys, so that the command looks there too.
SETTING = "SKLINE_SECURITY__KEY_FILE"


def add(commands: "Commands") -> None:
    """Declare the commands."""
    group = commands.add_parser("key", help="make, list and revoke API keys")
    actions = group.add_subparsers(title="actions", required=True, metavar="ACTION")

    def declare(name: str, carry_out: "Callable[[argparse.Namespace], None]", words: str) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        default = Path(os.environ.get(SETTING, "keys.json"))
        action.add_argument("--file", type=Path, default=default, help="the key file (default: %(default)s)")
        action.set_defaults(carry_out=carry_out)
        return action

    new = declare("new", make, "make a key, print it once, and store its hash")
    new.add_argument("--name", required=True, help="who or what it is for")
    new.add_argument("--scopes", default="predict", help="of predict, label and admin, with commas (default: predict)")
    new.add_argument("--expires", metavar="WHEN", help="2027-01-31, 2027-01-31T12:00:00Z, or 90d (default: never)")
    declare("list", show, "list the keys")
    revoke = declare("revoke", take_back, "revoke a key for good; a running service notices within two seconds")
    revoke.add_argument("id", help="as `skline key list` shows it")


def make(arguments: argparse.Namespace) -> None:
    """Carry out `skline key new`."""
    from skline import keys

    expires = None if arguments.expires is None else keys.read_expiry(arguments.expires)
    scopes = [scope.strip() for scope in arguments.scopes.split(",") if scope.strip()]
    key, token = keys.add(arguments.file, arguments.name, scopes, expires)
    until = "for good" if key.expires is None else f"until {key.expires.isoformat()}"
    print(f"key {key.id} ({key.name}) for {', '.join(key.scopes)}, {until}; its hash is in {arguments.file}")
    print("It is shown this once. Send it as `Authorization: Bearer KEY` or as `X-API-Key: KEY`:")
    print(token)


def show(arguments: argparse.Namespace) -> None:
    """Carry out `skline key list`."""
    from skline import keys

    now = dt.datetime.now(dt.UTC)
    rows = [("id", "state", "scopes", "created", "expires", "name")]
    for key in keys.read(arguments.file).keys:
        expires = "never" if key.expires is None else f"{key.expires:%Y-%m-%d %H:%M}"
        rows.append((key.id, key.state(now), ",".join(key.scopes), f"{key.created:%Y-%m-%d}", expires, key.name))
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def take_back(arguments: argparse.Namespace) -> None:
    """Carry out `skline key revoke`."""
    from skline import keys

    key = keys.revoke(arguments.file, arguments.id)
    print(f"key {key.id} ({key.name}) is revoked since {key.revoked}")
