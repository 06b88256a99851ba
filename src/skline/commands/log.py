"""`skline log status | seal | purge | forget`: maintain the prediction log."""

import argparse
import datetime as dt
from typing import Any

from skline.commands import Subparsers
from skline.commands._logs import log_settings
from skline.counting import counted
from skline.errors import SklineError


def add_parser(commands: Subparsers) -> None:
    """Declare the command and its actions."""
    group = commands.add_parser("log", help="maintain the prediction log")
    actions = group.add_subparsers(title="actions", required=True, metavar="ACTION")
    action = actions.add_parser("status", help="print the size of the log and where it is stored")
    action.set_defaults(run=print_status)
    action = actions.add_parser("seal", help="move complete days (UTC) from the database into Parquet files")
    action.add_argument("--before", type=dt.date.fromisoformat, help="seal the days before YYYY-MM-DD (default: today)")
    action.set_defaults(run=seal)
    action = actions.add_parser("purge", help="delete old predictions and labels")
    action.add_argument("--days", type=int, help="complete days to keep (default: SKLINE_LOG__RETENTION_DAYS)")
    action.set_defaults(run=purge)
    action = actions.add_parser("forget", help="delete all predictions and labels of an entity")
    action.add_argument("entity", help="the entity as requests contain it, not its hash")
    action.set_defaults(run=forget)


def print_status(_: argparse.Namespace) -> None:
    """Print row counts and time spans of the database and of the sealed days."""
    from skline.logs import maintenance

    settings = log_settings()
    status = maintenance.status(settings)
    print(f"database    {settings.redacted_database} (mode {settings.mode})")
    for name, count in (("predictions", status.predictions), ("labels", status.labels)):
        span = "" if count.first is None else f", {_format_time(count.first)} to {_format_time(count.last)}"
        print(f"{name:<12}{count.rows:,}{span}")
    rows, size = (sum(numbers) for numbers in zip((0, 0), *status.sealed.values(), strict=True))
    span = f", {min(status.sealed)} to {max(status.sealed)}" if status.sealed else ""
    days = counted(len(status.sealed), "day")
    print(f"{'sealed':<12}{rows:,} in {days}{span}, {size / 2**20:,.1f} MB in {settings.partitions}")


def seal(arguments: argparse.Namespace) -> None:
    """Seal complete days."""
    from skline.logs import maintenance

    moved = maintenance.seal(log_settings(), arguments.before)
    for day, rows in moved.items():
        print(f"{day}  {rows:,}")
    print(f"{counted(sum(moved.values()), 'prediction')} sealed in {counted(len(moved), 'day')}")


def purge(arguments: argparse.Namespace) -> None:
    """Delete what is older than the retention period."""
    from skline.logs import maintenance

    settings = log_settings()
    days = settings.retention_days if arguments.days is None else arguments.days
    if days is None or days < 1:
        raise SklineError("the days to keep are missing or below 1; use --days N or SKLINE_LOG__RETENTION_DAYS")
    _print_removed(maintenance.purge(settings, days))


def forget(arguments: argparse.Namespace) -> None:
    """Delete all rows of an entity."""
    from skline.logs import maintenance

    _print_removed(maintenance.forget(log_settings(), arguments.entity))
    print("its rows in snapshots, data and models stay; `skline trace --forget ENTITY` counts them")


def _print_removed(removed: Any) -> None:
    print(
        f"deleted {counted(removed.predictions, 'prediction')} from the database, {removed.sealed:,} from sealed days, "
        f"and {counted(removed.labels, 'label')}"
    )


def _format_time(us: int | None) -> str:
    """Format microseconds since 1970, UTC, to the second."""
    from skline.logs.records import from_us

    return "" if us is None else from_us(us).isoformat(" ", "seconds")
