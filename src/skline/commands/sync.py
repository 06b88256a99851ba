"""`skline sync`: record the installed engine: its code in engine.json, its settings in the schema of params.yaml.

DVC then runs the stages whose code differs, and editors know the settings.
"""

import argparse

from skline.commands import Subparsers
from skline.errors import SklineError


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "sync",
        help="record the installed engine in engine.json and in the schema of params.yaml",
        description="Record the installed engine in engine.json, and write schemas/params.schema.json, with which "
        "editors check params.yaml. `dvc repro` then runs the stages whose code differs from that of the engine "
        "recorded before, and what depends on them.",
    )
    command.add_argument(
        "--check", action="store_true", help="write nothing; exit with status 1 if a stage or the schema differs"
    )
    command.set_defaults(run=sync)


def sync(arguments: argparse.Namespace) -> None:
    """Write engine.json and the schema if they are those of another engine, and print what changes.

    Raises
    ------
    SklineError
        With --check, if engine.json records other code for a stage, or the schema is not that of this engine.
    """
    from skline import engine, paths
    from skline.project import require_project
    from skline.settings import schema

    require_project()
    same = f"skline {engine.version()} has the code of {paths.ENGINE} for every stage"
    if not arguments.check:
        lines = engine.sync()
        if not schema.is_current():
            schema.write_schema()
            lines.append(f"{paths.PARAMS_SCHEMA}: the settings of skline {engine.version()}")
        print("\n".join(lines or [same]))
        return
    recorded, current = engine.read_record(), engine.current_record()
    if changed := engine.changed_stages(recorded, current):
        before = f"skline {recorded.version}" if recorded else "no engine"
        raise SklineError(
            f"{paths.ENGINE} records {before}; skline {current.version} in {engine.location()} has other code for "
            f"{', '.join(changed)}; {engine.REMEDY}"
        )
    if not schema.is_current():
        raise SklineError(f"{paths.PARAMS_SCHEMA} is not that of skline {current.version}; run `uv run skline sync`")
    print(same)
