"""`skline log status | seal | purge | forget` and `skline label FILE`."""

import argparse
import datetime as dt
import sys
from pathlib import Path
from typing import Any

from skline import paths
from skline.errors import SklineError
from skline.logs.settings import LogSettings

#: Refused labels that are shown.
SHOWN = 20


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the commands of the logs to the command line."""
    label = commands.add_parser("label", help="add what turned out to be true to the label log")
    label.add_argument("file", type=Path, help="csv, tsv, Parquet or JSON: prediction_id or entity, event_time, label")
    label.add_argument("--artifact", type=Path, default=paths.ARTIFACT, help="whose contract holds (default: artifact)")
    label.set_defaults(carry_out=label_file)

    log = commands.add_parser("log", help="look after the prediction log")
    actions = log.add_subparsers(title="commands", required=True, metavar="COMMAND")
    actions.add_parser("status", help="how much there is, and where").set_defaults(carry_out=status)
    command = actions.add_parser("seal", help="move complete days (UTC) out of the database into Parquet files")
    command.add_argument(
        "--before", type=dt.date.fromisoformat, help="seal the days before YYYY-MM-DD (default: today)"
    )
    command.set_defaults(carry_out=seal)
    command = actions.add_parser("purge", help="delete old predictions and labels")
    command.add_argument("--days", type=int, help="complete days to keep (default: retention_days of the settings)")
    command.set_defaults(carry_out=purge)
    command = actions.add_parser("forget", help="delete everything about an entity")
    command.add_argument("entity", help="as it stands in the requests, not its hash")
    command.set_defaults(carry_out=forget)


def label_file(arguments: argparse.Namespace) -> None:
    """Append a file of labels, and print what became of them."""
    from skline.artifact import CONTRACT
    from skline.files import read_contract
    from skline.logs.labelfile import append_file
    from skline.logs.labels import Labels

    contract = read_contract(arguments.artifact / CONTRACT)
    result = append_file(Labels(LogSettings.from_environment(), contract), contract, arguments.file)
    for refused in result.refused[:SHOWN]:
        print(f"row {refused.index + 1}: {refused.reason}", file=sys.stderr)
    if len(result.refused) > SHOWN:
        print(f"… and {len(result.refused) - SHOWN:,} more", file=sys.stderr)
    print(f"{result.new:,} new, {result.known:,} known already, {len(result.refused):,} refused")
    if result.refused:
        raise SklineError(
            f"{len(result.refused):,} rows of {arguments.file} were refused; correct them and run it again"
        )


def status(_: argparse.Namespace) -> None:
    """Print how much there is."""
    from skline.logs import upkeep

    settings = LogSettings.from_environment()
    found = upkeep.status(settings)
    print(f"database    {settings.shown_database} (mode {settings.mode})")
    for name, count in (("predictions", found.predictions), ("labels", found.labels)):
        span = "" if count.first is None else f", {_moment(count.first)} to {_moment(count.last)}"
        print(f"{name:<12}{count.rows:,}{span}")
    rows, size = (sum(numbers) for numbers in zip((0, 0), *found.sealed.values(), strict=True))
    span = f", {min(found.sealed)} to {max(found.sealed)}" if found.sealed else ""
    print(f"{'sealed':<12}{rows:,} in {len(found.sealed)} days{span}, {size / 2**20:,.1f} MB in {settings.partitions}")


def seal(arguments: argparse.Namespace) -> None:
    """Seal complete days."""
    from skline.logs import upkeep

    moved = upkeep.seal(LogSettings.from_environment(), arguments.before)
    for day, rows in moved.items():
        print(f"{day}  {rows:,}")
    print(f"{sum(moved.values()):,} predictions sealed in {len(moved)} days")


def purge(arguments: argparse.Namespace) -> None:
    """Delete what is older than the retention."""
    from skline.logs import upkeep

    settings = LogSettings.from_environment()
    days = settings.retention_days if arguments.days is None else arguments.days
    if days is None or days < 1:
        raise SklineError("say how many days are kept: --days N, N from 1 on, or SKLINE_LOG__RETENTION_DAYS")
    _print_removed(upkeep.purge(settings, days))


def forget(arguments: argparse.Namespace) -> None:
    """Delete everything about an entity."""
    from skline.logs import upkeep

    _print_removed(upkeep.forget(LogSettings.from_environment(), arguments.entity))


def _print_removed(removed: Any) -> None:
    """Print what was deleted."""
    print(
        f"deleted {removed.predictions:,} predictions from the database, {removed.sealed:,} from sealed days, "
        f"and {removed.labels:,} labels"
    )


def _moment(us: int | None) -> str:
    """A time for people."""
    from skline.logs.records import EPOCH, MICROSECOND

    return "" if us is None else (EPOCH + us * MICROSECOND).isoformat(" ", "seconds")
