"""`skline sync`: record the installed engine in engine.json, so that DVC runs the stages whose code it changes."""

import argparse

from skline.commands import Subparsers
from skline.errors import SklineError


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "sync",
        help="record the installed engine in engine.json",
        description="Record the installed engine in engine.json. `dvc repro` then runs the stages whose code differs "
        "from that of the engine recorded before, and what depends on them.",
    )
    command.add_argument("--check", action="store_true", help="write nothing; exit with status 1 if a stage differs")
    command.set_defaults(run=sync)


def sync(arguments: argparse.Namespace) -> None:
    """Write engine.json if it records another engine, and print what changes.

    Raises
    ------
    SklineError
        With --check, if engine.json records other code for a stage.
    """
    from skline import engine, paths

    same = f"skline {engine.version()} has the code of {paths.ENGINE} for every stage"
    if not arguments.check:
        print("\n".join(engine.sync() or [same]))
        return
    recorded, current = engine.read_record(), engine.current_record()
    if changed := engine.changed_stages(recorded, current):
        before = f"skline {recorded.version}" if recorded else "no engine"
        raise SklineError(
            f"{paths.ENGINE} records {before}; skline {current.version} in {engine.location()} has other code for "
            f"{', '.join(changed)}; {engine.REMEDY}"
        )
    print(same)
