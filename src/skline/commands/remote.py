"""`skline remote`: where DVC stores tables and models, which git does not hold."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from skline.commands import Subparsers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skline.dvc_remote import CloudState

#: Names that a line lists.
LISTED = 5


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "remote",
        help="set up and check the remote of DVC, where tables and models are stored",
        description="Without an action: print the default remote of DVC, write a file there and delete it, and list "
        "which outputs are missing there. add: make an address the default remote in .dvc/config. `dvc push`, "
        "`dvc pull` and `dvc repro --pull` then use it; credentials belong in the environment or .dvc/config.local.",
    )
    actions = command.add_subparsers(title="actions", metavar="ACTION")
    add = actions.add_parser("add", help="make an address the default remote")
    add.add_argument("url", help="s3://BUCKET/PATH, gs://BUCKET/PATH, az://CONTAINER/PATH, ssh://HOST/PATH or a path")
    add.add_argument("--name", default="storage", help="name of the remote (default: %(default)s)")
    add.set_defaults(run=add_remote)
    command.set_defaults(run=remote)


def add_remote(arguments: argparse.Namespace) -> None:
    """Add the remote, and say what to do next."""
    from skline import dvc_remote
    from skline.project import given_path, require_project

    require_project()
    url = dvc_remote.dvc_address(arguments.url)
    url = url if "://" in url else str(given_path(url))
    dvc_remote.add_remote(Path(), arguments.name, url)
    print(f"wrote .dvc/config: {arguments.name} is {url}; commit it")
    if command := dvc_remote.missing_plugin(url):
        print(f"DVC needs a plugin for it: {command}")
    if kind := dvc_remote.kind_of(url):
        print(f"credentials: {kind.credentials}; or `uv run dvc remote modify --local {arguments.name} KEY VALUE`")
    print("then: `uv run skline remote` checks it, `uv run dvc push` stores data and models")


def remote(_: argparse.Namespace) -> None:
    """Check the remote.

    Raises
    ------
    SklineError
        If there is none, its plugin is not installed, or it cannot be reached or written to.
    """
    from skline import dvc_remote
    from skline.errors import SklineError
    from skline.project import require_project

    require_project()
    found = dvc_remote.default_remote(Path())
    if found is None:
        raise SklineError("DVC has no default remote; `uv run skline remote add URL` adds one")
    kind = dvc_remote.kind_of(found.url)
    print(f"remote    {found.name}: {found.url} ({'a path' if kind is None else kind.title})")
    if found.others:
        print(f"others    {', '.join(found.others)}")
    if command := dvc_remote.missing_plugin(found.url):
        raise SklineError(f"DVC needs a plugin for {found.url}: `{command}`")
    state = dvc_remote.cloud_state(Path())
    dvc_remote.check_writable(found)
    print("access    a file was written there, and deleted", *described(state), sep="\n")


def described(state: "CloudState") -> list[str]:
    """Return a line for each state that outputs are in."""
    make = "`uv run dvc repro` makes them again" + (", once the tables are here" if state.lost_tables else "")
    lines = [
        (state.to_push, "not there", "`uv run dvc push` stores them"),
        (state.to_pull, "only there", "`uv run dvc pull` gets them"),
        (state.lost_tables, "tables neither here nor there", "run `uv run dvc push` where they are"),
        (state.lost, "outputs neither here nor there", make),
    ]
    found = [f"{what + ':':<9} {_listed(names)}; {remedy}" for names, what, remedy in lines if names]
    return found or ["content   everything that dvc.lock and the .dvc files record is there"]


def _listed(names: "Sequence[str]") -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
