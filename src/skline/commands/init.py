"""`skline init TABLE --target NAME`: make the project that of a table."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: "Commands") -> None:
    """Declare the command."""
    command = commands.add_parser(
        "init",
        help="make the project that of a table: contract, pipeline, settings",
        description="Guess what a table's columns are, and write the contract, the pipeline and the settings for it.",
    )
    command.add_argument("table", help="a csv, tsv or Parquet file, plain or in gz or zip, a URL, or a database's")
    command.add_argument(
        "--query", metavar="SELECT", help="gives the table, where it is postgresql://HOST/DATABASE or sqlite:///FILE"
    )
    command.add_argument("--target", required=True, metavar="NAME", help="the column to be predicted")
    command.add_argument(
        "--task", choices=["binary", "multiclass", "regression"], help="default: what the target shows"
    )
    command.add_argument(
        "--time", metavar="COL", help="when a row happened; the split is by it, unless --group is given too"
    )
    command.add_argument(
        "--group",
        metavar="COL",
        help="whom a row is about; rows of one group stay together in the split, with --time as well",
    )
    command.add_argument("--id", metavar="COL", help="the column that names each row")
    command.add_argument("--name", help="of the project (default: the file's)")
    command.add_argument("--delimiter", help="of a CSV (default: found in it)")
    command.add_argument("--encoding", help="of a CSV (default: found in it)")
    command.add_argument("--force", action="store_true", help="replace files that were edited")
    command.set_defaults(carry_out=carry_out)


def carry_out(arguments: argparse.Namespace) -> None:
    """Carry out `skline init`."""
    from skline.init.run import Wishes, init

    given = {name: value for name, value in vars(arguments).items() if name != "carry_out"}
    init(Path.cwd(), Wishes(**given))
