"""`skline source`: check the source of the table, or take what is new there."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from skline.commands import Subparsers
from skline.commands._sources import add_source_options, given_table, parse_settings

if TYPE_CHECKING:
    from skline.settings.source import Source
    from skline.sources.source import Snapshot, TableSource


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "source",
        help="check the source of the table, or take what is new there",
        description="check: read the table of params.yaml, or another one, and print its snapshot, the number of rows, "
        "the columns with their types and first cells, and the time it takes. update: note the present snapshot of the "
        "source in params.yaml, so that `dvc repro` reads it again if it has changed; with source.mode append, read "
        "what is new and add it to data/source/snapshots.",
    )
    command.add_argument("action", choices=("check", "update"), help="what to do")
    command.add_argument(
        "table", nargs="?", type=given_table, help="another table than that of params.yaml: a file, a URL or a database"
    )
    add_source_options(command)
    command.set_defaults(run=source)


def source(arguments: argparse.Namespace) -> None:
    """Do what the action says."""
    if arguments.action == "update":
        update(arguments)
    else:
        check(arguments)


def check(arguments: argparse.Namespace) -> None:
    """Print what is there."""
    from skline.entrypoint import visible
    from skline.sources.check import check_table, describe

    found = check_table(_section(arguments), lambda remark: print(remark, file=sys.stderr))
    print(*map(visible, describe(found).split("\n")), sep="\n")


def update(arguments: argparse.Namespace) -> None:
    """Add a snapshot, or note the present one in params.yaml.

    Raises
    ------
    SklineError
        If another table than that of params.yaml is named, or the source cannot tell its snapshot.
    """
    from skline import paths
    from skline.errors import SklineError
    from skline.project import require_project
    from skline.settings import Settings
    from skline.sources.kinds import table_source

    require_project()
    if arguments.table is not None or arguments.query is not None or arguments.settings:
        raise SklineError("update is for the source of params.yaml; name no other table")
    section = Settings.load().source
    kind = table_source(section, lambda remark: print(remark, file=sys.stderr))
    if section.mode == "append":
        _add_snapshot(kind)
        return
    state = kind.snapshot()
    if state is None:
        raise SklineError(
            "the snapshot of this source is unknown without reading all of it: set source.sql.watermark, or change "
            "source.snapshot by hand"
        )
    changed = note_snapshot(paths.PARAMS, state)
    print(f"{changed}; run `dvc repro`" if changed else "the source is as it was: source.snapshot is up to date")


def note_snapshot(path: Path, state: "Snapshot") -> str | None:
    """Write the digest of a snapshot to params.yaml; return what was changed, None if nothing was."""
    import yaml

    from skline.files import sha256_json, write_text
    from skline.settings.edit import set_value

    text = path.read_text(encoding="utf-8")
    digest = f"sha256:{sha256_json(state)}"
    before = yaml.safe_load(text)["source"].get("snapshot")
    if before == digest:
        return None
    write_text(path, set_value(text, "source", "snapshot", digest))
    return f"{path}: source.snapshot: {before} → {digest}"


def _add_snapshot(kind: "TableSource") -> None:
    """Add a snapshot of what is new, and let DVC keep it."""
    from skline import paths
    from skline.init.project import track_table
    from skline.locks import file_lock
    from skline.sources.appended import add_snapshot

    with file_lock(Path(".dvc/tmp/source.lock"), "another `skline source update` is at work; wait for it"):
        path = add_snapshot(kind, paths.SNAPSHOTS)
        if path is None:
            print("nothing is new in the source")
            return
        print(f"wrote {path}; run `dvc repro`", *track_table(Path(), path), sep="\n")


def _section(arguments: argparse.Namespace) -> "Source":
    """Return the section `source` of params.yaml, or one for the table that is named."""
    from skline import paths
    from skline.errors import SklineError
    from skline.project import require_project
    from skline.settings import Settings
    from skline.settings.project import read_source_section

    given = parse_settings(arguments.settings) | ({} if arguments.query is None else {"query": arguments.query})
    if arguments.table is not None:
        return read_source_section({"uri": arguments.table} | given)
    if given:
        raise SklineError("--query and --set describe another table; name it, or change params.yaml")
    require_project(paths.PARAMS)
    return Settings.load().source
