"""`skline monitor`: tell from the log, the labels and the artifact whether the model still holds."""

import argparse
import sys
import time
from typing import TYPE_CHECKING

from skline import clock
from skline.commands import Subparsers
from skline.commands._logs import log_settings
from skline.commands._model import add_model_options, selected_model
from skline.commands._moments import parse_duration_option, parse_moment, require_past
from skline.project import require_project

if TYPE_CHECKING:
    from skline.monitoring.result import WindowResult

#: Exit status of a failure of monitoring itself.
FAILED = 1


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "monitor",
        help="tell from the log and the labels whether the model still holds",
        description="Compare a window of the prediction log with the artifact's reference. Exit status: 0 ok, "
        "10 warning or too few data, 20 alarm, 1 if monitoring itself fails.",
    )
    command.add_argument("action", nargs="?", choices=("history",), help="history: list the windows so far")
    command.add_argument("--asof", type=parse_moment, help="end of the window, ISO 8601, UTC (default: now)")
    command.add_argument("--window", help="length of the window, such as 7d (default: monitor.window)")
    command.add_argument("--compare", choices=("previous", "season", "training"), help="reference of the data drift")
    command.add_argument(
        "--watch", type=parse_duration_option, metavar="EVERY", help="repeat, such as 15m, until stopped"
    )
    add_model_options(command)
    command.set_defaults(run=monitor)


def monitor(arguments: argparse.Namespace) -> int:
    """Monitor one window, or one after the other; print a sentence and a table."""
    from skline.errors import SklineError

    if arguments.action == "history":
        print_history()
        return 0
    require_past(arguments.asof)
    if arguments.watch is None:
        return monitor_once(arguments)
    if arguments.asof is not None:
        raise SklineError("--watch and --asof exclude each other: --watch monitors the window that ends now")
    pause = arguments.watch.total_seconds()
    while True:
        started = time.monotonic()
        try:
            monitor_once(arguments)
        except SklineError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
        time.sleep(max(pause - (time.monotonic() - started), 0.0))


def monitor_once(arguments: argparse.Namespace) -> int:
    """Monitor the window that the options name; return the exit status."""
    from pydantic import ValidationError

    from skline import paths
    from skline.artifact import Artifact
    from skline.errors import SklineError
    from skline.logs.settings import LogSettings
    from skline.monitoring.checks import EXIT_STATUS
    from skline.monitoring.job import Job
    from skline.monitoring.report.content import release_marks
    from skline.monitoring.run import run
    from skline.release.services import describe_rejections, read_statuses
    from skline.release.store import ReleaseStore
    from skline.settings import Monitor, Settings

    require_project(paths.PARAMS)
    settings = Settings.load()
    changes = {name: value for name in ("window", "compare") if (value := getattr(arguments, name)) is not None}
    try:
        section = Monitor.model_validate(settings.monitor.model_dump() | changes)
    except ValidationError as error:
        raise SklineError(f"--{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}") from None
    source, releases = selected_model(arguments), ReleaseStore()
    now = clock.now()
    floors = settings.gates.floors if section.performance.floors is None else section.performance.floors
    job = Job(
        settings=section,
        artifact=Artifact.open(source.folder, source.digest),
        log=LogSettings.from_environment(),
        end=arguments.asof or now.replace(microsecond=0),
        floors=floors,
        releases=release_marks(releases.history()),
        known_versions=releases.known_versions(),
        rejections=() if arguments.asof else tuple(describe_rejections(read_statuses(releases.manifest))),
        posts_changes=arguments.asof is None,
    )
    result = run(job, paths.MONITOR, now)
    print_result(result)
    return EXIT_STATUS[result.state]


def print_result(result: "WindowResult") -> None:
    """Print the sentence, the table and where the page is."""
    from skline import paths
    from skline.monitoring.summary import table

    print(result.sentence)
    print(f"{result.window.name}: {result.state}\n")
    print(table(result))
    print(f"\n{paths.MONITOR / result.window.name / 'report.html'}", flush=True)


def print_history() -> None:
    """Print a line for each window that is remembered."""
    from skline.monitoring.state import read_state

    windows = read_state(log_settings().folder).windows
    if not windows:
        print("no window has been monitored yet; `uv run skline monitor` does it")
    for each in windows:
        print(f"{each.name:<24} {each.state:<18} {each.rows:>10,}  {each.sentence}")
