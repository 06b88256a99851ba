"""`skline init TABLE --target NAME`: set the project up for a table."""

import argparse
from pathlib import Path

from skline.commands import Subparsers
from skline.commands._sources import add_source_options, given_table, parse_settings
from skline.commands._tables import add_format_options


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "init",
        help="set the project up for a table: contract, pipeline, settings",
        description="Infer what the columns of a table are, and write the contract, the pipeline and the settings.",
    )
    command.add_argument(
        "table",
        type=given_table,
        help="a CSV, TSV, Excel, JSON lines or Parquet file, plain or compressed, a folder or a pattern of such "
        "files, a URL, or a database (with --query)",
    )
    add_source_options(command)
    command.add_argument("--target", required=True, metavar="NAME", help="the column to predict")
    command.add_argument(
        "--task", choices=["binary", "multiclass", "regression"], help="(default: inferred from the target)"
    )
    command.add_argument(
        "--time",
        metavar="COL",
        help="the column with the time of each row; the table is split by time, unless --group is given too",
    )
    command.add_argument(
        "--group",
        metavar="COL",
        help="the column with the entity of each row; the split keeps the rows of an entity together",
    )
    command.add_argument("--id", metavar="COL", help="the column that identifies each row")
    command.add_argument(
        "--name",
        help="name of the project, of its model in MLflow, its versions (NAME@DIGEST) and its image (default: the name "
        "of the file)",
    )
    add_format_options(command)
    command.add_argument(
        "--no-header", action="store_true", help="the file has no column names: they are column_1, column_2 …"
    )
    command.add_argument("--no-quotes", action="store_true", help="double quotes are ordinary characters")
    command.add_argument(
        "--rename-duplicates", action="store_true", help="call the second column of the same name NAME_2"
    )
    command.add_argument(
        "--seconds",
        type=float,
        default=30.0,
        metavar="N",
        help="compare estimators by cross-validation, and start no fit after N seconds; 0 takes boosting (%(default)g)",
    )
    command.add_argument(
        "--estimator",
        choices=["boosting", "lightgbm", "xgboost", "catboost", "random_forest", "linear"],
        help="compare settings of this estimator only (default: scikit-learn's boosting, forest and linear model)",
    )
    command.add_argument("--force", action="store_true", help="replace files that were edited")
    command.set_defaults(run=init)


def init(arguments: argparse.Namespace) -> None:
    """Write the project's files in the working directory."""
    from skline.init.plan import InitOptions
    from skline.init.run import init as init_project

    options = {name: value for name, value in vars(arguments).items() if name != "run"}
    options["settings"] = parse_settings(arguments.settings)
    init_project(Path.cwd(), InitOptions(**options))
