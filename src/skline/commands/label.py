"""`skline label FILE`: append true outcomes to the label log."""

import argparse
import sys

from skline.commands import Subparsers
from skline.commands._logs import log_settings
from skline.commands._model import require_model_in_service
from skline.commands._tables import add_format_options, given_options
from skline.counting import counted
from skline.errors import SklineError
from skline.project import given_path

#: Rejected labels that are printed.
MAX_SHOWN = 20


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser("label", help="append true outcomes to the label log")
    command.add_argument(
        "file",
        type=given_path,
        help="CSV, TSV, Excel, Parquet, JSON or JSON Lines (.jsonl), with prediction_id or entity and event_time, and "
        "label",
    )
    add_format_options(command)
    command.add_argument(
        "--artifact",
        type=given_path,
        help="artifact whose contract the labels must follow (default: that of the model in service)",
    )
    command.set_defaults(run=import_labels)


def import_labels(arguments: argparse.Namespace) -> None:
    """Append the labels of a file, and print how many are new, duplicates and rejected.

    Raises
    ------
    SklineError
        If labels were rejected; the others are appended all the same.
    """
    from skline.artifact import CONTRACT
    from skline.contract.spec import Contract
    from skline.logs.label_import import append_file
    from skline.logs.labels import LabelLog
    from skline.release.in_service import in_service

    settings = log_settings()
    if arguments.artifact is None:
        require_model_in_service()
    contract = Contract.read((arguments.artifact or in_service().folder) / CONTRACT)
    labels = LabelLog(settings, contract)
    given = given_options(arguments)
    result = append_file(labels, contract, arguments.file, given, lambda remark: print(remark, file=sys.stderr))
    for rejected in result.rejected[:MAX_SHOWN]:
        print(f"row {rejected.index}: {rejected.reason}", file=sys.stderr)
    count = len(result.rejected)
    if count > MAX_SHOWN:
        print(f"… and {count - MAX_SHOWN:,} more", file=sys.stderr)
    print(f"{result.new:,} new, {result.duplicates:,} known already, {count:,} rejected")
    if result.unknown:
        print(f"{result.unknown:,} of them name a prediction that is not in the log: no such prediction yet")
    if count:
        raise SklineError(
            f"{arguments.file}: {counted(count, 'row')} rejected (rows are counted from 0); correct them and run "
            "the command again"
        )
