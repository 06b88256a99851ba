"""`skline key new | list | revoke`: API keys of the service."""

import argparse
import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

from skline.commands import Subparsers
from skline.project import given_path, require_project

#: The key file of a project.
KEY_FILE = Path("keys.json")
#: The service's setting for its key file, so that the command edits the same file.
KEY_FILE_VARIABLE = "SKLINE_SECURITY__KEY_FILE"


def add_parser(commands: Subparsers) -> None:
    """Declare the command and its actions."""
    group = commands.add_parser("key", help="create, list and revoke API keys")
    actions = group.add_subparsers(title="actions", required=True, metavar="ACTION")
    new = _add_action(actions, "new", create_key, "create a key, print it once, and store its hash")
    new.add_argument("--name", required=True, help="the user or service that the key is for")
    new.add_argument("--scopes", default="predict", help="some of predict,label,admin (default: %(default)s)")
    new.add_argument("--expires", metavar="WHEN", help="2027-01-31, 2027-01-31T12:00:00Z, or 90d (default: never)")
    _add_action(actions, "list", list_keys, "list the keys")
    revoke = _add_action(
        actions, "revoke", revoke_key, "revoke a key permanently; running services notice within two seconds"
    )
    revoke.add_argument("id", help="id from `skline key list`")


def _add_action(
    actions: Subparsers, name: str, run: Callable[[argparse.Namespace], None], summary: str
) -> argparse.ArgumentParser:
    """Declare an action that works on the key file."""
    action = actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    default = os.environ.get(KEY_FILE_VARIABLE)
    action.add_argument(
        "--file",
        type=given_path,
        default=None if default is None else Path(default),
        help=f"the key file (default: {default or KEY_FILE})",
    )
    action.set_defaults(run=run)
    return action


def create_key(arguments: argparse.Namespace) -> None:
    """Create a key and print it."""
    from skline import api_keys

    expires = None if arguments.expires is None else api_keys.parse_expiry(arguments.expires)
    scopes = [scope.strip() for scope in arguments.scopes.split(",") if scope.strip()]
    file = _key_file(arguments)
    key, token = api_keys.add(file, arguments.name, scopes, expires)
    validity = "without expiry" if key.expires is None else f"valid until {key.expires.isoformat()}"
    print(f"key {key.id} ({key.name}) with {', '.join(key.scopes)}, {validity}; its hash is in {file}")
    print("The key is shown only once. Send it as `Authorization: Bearer KEY` or as `X-API-Key: KEY`:")
    print(token)


def _key_file(arguments: argparse.Namespace) -> Path:
    """Return the key file that is given, or that of the project; SklineError if there is neither."""
    if arguments.file is not None:
        return Path(arguments.file)
    require_project(KEY_FILE)
    return KEY_FILE


def list_keys(arguments: argparse.Namespace) -> None:
    """Print the keys and their state as a table."""
    from skline import api_keys

    now = dt.datetime.now(dt.UTC)
    rows = [("id", "state", "scopes", "created", "expires", "name")]
    for key in api_keys.read(_key_file(arguments)).keys:
        expires = "never" if key.expires is None else f"{key.expires:%Y-%m-%d %H:%M}"
        rows.append((key.id, key.state(now), ",".join(key.scopes), f"{key.created:%Y-%m-%d}", expires, key.name))
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def revoke_key(arguments: argparse.Namespace) -> None:
    """Revoke a key."""
    from skline import api_keys

    key = api_keys.revoke(_key_file(arguments), arguments.id)
    print(f"key {key.id} ({key.name}) was revoked at {key.revoked}")
