"""`skline replay`: replay a past period against a running service, with monitoring, retraining and promotions."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from skline.commands import Subparsers
from skline.commands._moments import parse_duration_option, parse_moment
from skline.errors import SklineError
from skline.project import given_path, require_project

if TYPE_CHECKING:
    from skline.retraining.replay.progress import Progress
    from skline.retraining.replay.workspace import ReplayOptions, ReplayPlan, Workspace

#: Exit status of a replay in which a request was not answered with status 200.
REQUESTS_FAILED = 10
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "replay",
        help="replay a past period against a running service, and compare policies of retraining",
        description="Send the rows of a past period in the order of time to a service in a clone of the project, "
        "deliver their labels after a delay, monitor, retrain and promote as the settings say, with a simulated clock; "
        "then compare with other policies. An interrupted replay goes on where it was. Exit status: 0 finished, "
        f"{REQUESTS_FAILED} finished, but a request was not answered with status 200, 1 error.",
    )
    command.add_argument(
        "--policy", type=given_path, nargs="+", default=[], metavar="FILE",
        help="YAML file whose sections override those of params.yaml; further files are policies to compare with",
    )  # fmt: skip
    command.add_argument(
        "--from", dest="start", type=parse_moment, metavar="TIME",
        help="first moment of the period, ISO 8601, UTC (default: split.live_from)",
    )  # fmt: skip
    command.add_argument(
        "--to", dest="end", type=parse_moment, metavar="TIME", help="end of the period (default: after the last row)"
    )
    command.add_argument(
        "--label-delay", type=parse_duration_option, metavar="TIME",
        help="time from a row to its label, such as 1d (default: monitor.label_horizon)",
    )  # fmt: skip
    command.add_argument(
        "--every", type=parse_duration_option, metavar="TIME",
        help="time between two decisions, such as 7d (default: monitor.window)",
    )  # fmt: skip
    command.add_argument(
        "--speed", type=float, metavar="NUMBER",
        help="simulated seconds per second (default: as fast as the service answers)",
    )  # fmt: skip
    command.add_argument("--name", default="default", help="folder of the replay in replays/ (default: default)")
    command.add_argument("--restart", action="store_true", help="begin again, instead of going on where it was")
    command.set_defaults(run=replay)


def replay(arguments: argparse.Namespace) -> int:
    """Prepare a replay, or go on with one; run it and show its result; return the exit status."""
    from skline.locks import file_lock
    from skline.retraining.replay.workspace import REPLAYS, Workspace

    require_project()
    if not NAME.fullmatch(arguments.name):
        raise SklineError(f"--name {arguments.name!r}: use letters, digits, '.', '_' and '-'")
    if arguments.speed is not None and not arguments.speed > 0:
        raise SklineError(f"--speed is {arguments.speed:g}; it must be positive")
    workspace = Workspace(Path.cwd() / REPLAYS / arguments.name)
    lock = REPLAYS / f".{arguments.name}.lock"
    with file_lock(lock, f"another process runs the replay {arguments.name}"):
        plan = prepare(workspace, read_options(arguments), restart=arguments.restart)
        return run(workspace, plan, arguments.speed)


def read_options(arguments: argparse.Namespace) -> "ReplayOptions":
    """Return what the options name."""
    from skline.retraining.replay.policy_file import read_policy
    from skline.retraining.replay.workspace import ReplayOptions

    policies = tuple(map(read_policy, arguments.policy))
    if len({each.name for each in policies}) < len(policies):
        raise SklineError(f"the names of the policies are not unique: {', '.join(each.name for each in policies)}")
    return ReplayOptions(policies or None, arguments.start, arguments.end, arguments.label_delay, arguments.every)


def prepare(workspace: "Workspace", options: "ReplayOptions", *, restart: bool) -> "ReplayPlan":
    """Return the plan of a replay that has begun, or begin one.

    Raises
    ------
    SklineError
        If the options are others than those of the replay that has begun.
    """
    from skline.registry.working_tree import run_git
    from skline.retraining.replay import workspace as workspaces

    plan = None if restart else workspace.read_plan()
    if plan is None:
        changed = (run_git(Path(), "status", "--porcelain") or "").splitlines()
        if changed:
            print(f"note: {len(changed)} uncommitted files are not replayed as they are, such as {changed[0][3:]}")
        print(f"preparing {workspace.folder}: clone, rows, first model …", flush=True)
        return workspaces.prepare(Path(), workspace, options)
    if differences := options.differences(plan):
        raise SklineError(
            f"{workspace.folder} holds a replay that has begun otherwise: {'; '.join(differences)}. Leave these "
            "options out to go on with it, use another --name, or begin again with --restart"
        )
    print(f"going on with {workspace.folder}", flush=True)
    return plan


def run(workspace: "Workspace", plan: "ReplayPlan", speed: float | None) -> int:
    """Run a prepared replay, and show its result; return the exit status."""
    from skline.retraining.replay.driver import Driver
    from skline.retraining.replay.progress import Progress
    from skline.settings.monitor import format_duration

    print(
        f"replaying {plan.start:%Y-%m-%d} to {plan.end:%Y-%m-%d}, a decision every {format_duration(plan.every)}",
        flush=True,
    )
    progress = Progress(workspace.progress)
    if not progress.count("finished"):
        progress = Driver(workspace, plan, speed, lambda line: print(line, flush=True)).run()
    print(f"{progress.requests:,} requests, {progress.failed:,} without status 200", flush=True)
    show(workspace, plan, progress)
    return REQUESTS_FAILED if progress.failed else 0


def show(workspace: "Workspace", plan: "ReplayPlan", progress: "Progress") -> None:
    """Compare with other policies, print the table, and write the page."""
    from skline.entrypoint import import_project_first
    from skline.retraining.replay.report import text_table
    from skline.retraining.replay.results import compute_result, write_result
    from skline.stages.pipeline import read_build

    print("simulating the policies that it is compared with …", flush=True)
    import_project_first(workspace.project)  # the pipeline is that of the clone
    result = compute_result(workspace, plan, progress, read_build())
    written = write_result(workspace.folder, result)
    print(f"\n{text_table(result)}\n\n{' '.join(str(path) for path in written)}")
