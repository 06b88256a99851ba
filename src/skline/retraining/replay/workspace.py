"""The folder of a replay: a clone of the project that ends where the replay starts, and the rows that come afterwards.

Nothing of the project itself is touched: the clone has its own releases, log, registry and results, and shares only the
cache of DVC.
"""

import datetime as dt
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict

from skline import paths
from skline.clock import SimulatedClock, naive_utc, to_utc
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.files import read_table, write_table, write_text
from skline.logs.records import from_us
from skline.logs.settings import LogSettings
from skline.registry.working_tree import run_git
from skline.retraining.replay.commands import Commands
from skline.retraining.replay.policy_file import OWN, PolicyFile, override
from skline.retraining.replay.timeline import TICK, Schedule
from skline.settings import Settings

#: Folder of all replays of a project; git ignores it.
REPLAYS = Path("replays")
#: Settings that would reach beyond the replay: a webhook, counts of a real service, a registry, a person's approval.
DETACHED: dict[str, Any] = {
    "monitor": {"webhook": None, "operations": None},
    "register": {"tracking_uri": None},
    "release": {"approval": None},
}
AUTHOR = ("-c", "user.name=skline replay", "-c", "user.email=replay@localhost")


class ReplayPlan(BaseModel):
    """What is replayed; it is fixed when the replay begins.

    Attributes
    ----------
    policies : tuple of PolicyFile
        The one that is replayed, and others that are simulated for comparison.
    start, end : datetime
        Rows of start ≤ time < end are sent, UTC.
    label_delay, every : timedelta
        See `Schedule`.
    commit : str
        The commit of the project that was cloned.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    policies: tuple[PolicyFile, ...]
    start: AwareDatetime
    end: AwareDatetime
    label_delay: dt.timedelta
    every: dt.timedelta
    commit: str

    @property
    def schedule(self) -> Schedule:
        """What the order of events follows from."""
        return Schedule(self.start, self.end, self.label_delay, self.every)


@dataclass(frozen=True)
class ReplayOptions:
    """The options of a replay; None is decided from the settings and the table."""

    policies: tuple[PolicyFile, ...] | None = None
    start: dt.datetime | None = None
    end: dt.datetime | None = None
    label_delay: dt.timedelta | None = None
    every: dt.timedelta | None = None

    def differences(self, plan: ReplayPlan) -> list[str]:
        """Return what a replay that has begun does otherwise."""
        names = ("start", "end", "label_delay", "every")
        found = [
            f"{name.replace('_', ' ')} is {_short(before)}, not {_short(option)}"
            for name in names
            if (option := getattr(self, name)) is not None and option != (before := getattr(plan, name))
        ]
        if self.policies is not None and self.policies != plan.policies:
            found.append("its policies, which plan.json shows, are others")
        return found


@dataclass(frozen=True)
class Workspace:
    """The files of a replay in its folder."""

    folder: Path

    @property
    def project(self) -> Path:
        """The clone of the project."""
        return self.folder / "project"

    @property
    def clock(self) -> Path:
        """The simulated clock."""
        return self.project / paths.REPLAY_CLOCK

    @property
    def plan(self) -> Path:
        """The plan, as JSON; without it nothing has begun."""
        return self.folder / "plan.json"

    @property
    def table(self) -> Path:
        """The validated rows before the end, in the order of time, with the columns of the contract."""
        return self.folder / "table.parquet"

    @property
    def progress(self) -> Path:
        """The journal of the replay."""
        return self.folder / "progress.jsonl"

    @property
    def output(self) -> Path:
        """The output of all commands, and of the service."""
        return self.folder / "output.log"

    @property
    def log(self) -> LogSettings:
        """The prediction log of the service."""
        return LogSettings(
            database=str(self.project / "logs/predictions.db"), partitions=self.project / "logs/predictions"
        )

    @property
    def commands(self) -> Commands:
        """Runs commands in the clone."""
        return Commands(self.project, self.clock, self.output)

    def read_plan(self) -> ReplayPlan | None:
        """Return the plan; None if nothing has begun."""
        return ReplayPlan.model_validate_json(self.plan.read_bytes()) if self.plan.exists() else None

    def read_live(self, plan: ReplayPlan) -> pd.DataFrame:
        """Return the rows that are sent, in the order of time, with the columns of the contract."""
        table = read_table(self.table)
        return table[~self.is_history(table, plan)].reset_index(drop=True)

    def is_history(self, table: pd.DataFrame, plan: ReplayPlan) -> pd.Series:
        """Return which rows of the table are before the start."""
        times: pd.Series = table[self.read_contract().by_role("time").name]
        return times < naive_utc(plan.start)

    def read_contract(self) -> Contract:
        """Return the contract of the clone."""
        return Contract.read(self.project / paths.CONTRACT)

    def read_settings(self) -> Settings:
        """Return the settings of the clone."""
        return Settings.load(self.project / paths.PARAMS)


def prepare(root: Path, workspace: Workspace, options: ReplayOptions) -> ReplayPlan:
    """Clone the project as it was committed, train on what was known at the start, and promote the first model.

    Parameters
    ----------
    root : Path
        The project.
    workspace : Workspace
        Its folder is emptied first.
    options : ReplayOptions

    Raises
    ------
    SklineError
        If nothing is committed, no row is to be replayed, or the first model fails a gate.
    """
    commit = run_git(root, "rev-parse", "--verify", "HEAD")
    if commit is None:
        raise SklineError(
            "a replay clones the project as it is committed, and nothing is; run `git add -A && git commit`"
        )
    shutil.rmtree(workspace.folder, ignore_errors=True)
    workspace.folder.mkdir(parents=True)
    workspace.output.touch()
    clone(root, workspace.project, commit.strip())
    commands = workspace.commands
    policies = options.policies or (OWN,)
    params = yaml.safe_load((workspace.project / paths.PARAMS).read_text(encoding="utf-8"))
    merged = override(override(params, policies[0].sections), DETACHED)
    settings = Settings.parse(merged, paths.PARAMS)
    start = options.start or _live_from(settings)
    write_params(workspace, override(merged, {"source": {"until": None}}))
    SimulatedClock.create(workspace.clock, start)
    fetch_source(commands)
    commands.run("sync")
    for stage in ("ingest", "validate"):
        commands.run("stage", stage)
    plan = settle_plan(workspace, options, settings, start, commit.strip())
    until = f"{start:%Y-%m-%dT%H:%M:%S}"
    write_params(workspace, override(merged, {"source": {"until": until}, "split": {"live_from": None}}))
    commit_all(commands, f"Begin a replay at {until}")
    commands.run_dvc("repro")
    commit_all(commands, "Train the first model of the replay")
    commands.run("promote", "--reason", "the first model of the replay")
    write_text(workspace.plan, plan.model_dump_json(indent=2) + "\n")
    return plan


def clone(root: Path, project: Path, commit: str) -> None:
    """Clone a commit of the project, without its snapshots of feedback and registered versions, which come later."""
    for command in (
        ["git", "clone", "--quiet", "--no-checkout", str(root.resolve()), str(project)],
        ["git", "-C", str(project), "checkout", "--quiet", "-B", "replay", commit],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise SklineError(f"the project cannot be cloned: {' '.join(done.stderr.split())}")
    cache = subprocess.run(
        [sys.executable, "-m", "dvc", "cache", "dir"], cwd=root, capture_output=True, text=True, check=False
    )
    if cache.returncode:
        raise SklineError(f"`dvc cache dir` failed: {' '.join(cache.stderr.split())}")
    write_text(project / ".dvc/config.local", f"[cache]\n    dir = {(root / cache.stdout.strip()).resolve()}\n")
    shutil.rmtree(project / paths.FEEDBACK, ignore_errors=True)
    (project / paths.REGISTERED).unlink(missing_ok=True)


def fetch_source(commands: Commands) -> None:
    """Check out the tables of the source from the cache."""
    if files := sorted(
        str(each.relative_to(commands.project)) for each in commands.project.glob("data/source/**/*.dvc")
    ):
        commands.run_dvc("checkout", *files)


def write_params(workspace: Workspace, values: Mapping[str, Any]) -> None:
    """Write params.yaml of the clone."""
    write_text(workspace.project / paths.PARAMS, yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))


def commit_all(commands: Commands, subject: str) -> None:
    """Commit all changes of the clone; nothing if there are none."""
    commands.run_tool("git", "add", "--all")
    if commands.run_tool("git", "status", "--porcelain"):
        commands.run_tool("git", *AUTHOR, "commit", "--quiet", "--no-verify", "--message", subject)


def settle_plan(
    workspace: Workspace, options: ReplayOptions, settings: Settings, start: dt.datetime, commit: str
) -> ReplayPlan:
    """Write the table with the rows to be sent, and return the plan that follows from it."""
    contract = workspace.read_contract()
    if not (columns := contract.with_role("time")):
        raise SklineError(
            "a replay needs the time of each row: give a column of src/model/contract.py role='time' "
            "(`skline init --time COLUMN`)"
        )
    time = columns[0].name
    table = sort_rows(read_table(workspace.project / paths.VALIDATED), time, options.end)
    if table.empty or table[time].iloc[-1] < naive_utc(start):
        until = "" if options.end is None else f" and before {options.end:%Y-%m-%d %H:%M}"
        raise SklineError(f"no row of the table has a time from {start:%Y-%m-%d %H:%M} on{until}; see --from and --to")
    write_table(workspace.table, table)
    last = from_us(int(times_us(table[time])[-1]))
    monitor = settings.monitor
    return ReplayPlan(
        policies=options.policies or (OWN,),
        start=start,
        end=options.end or start + ((last - start) // TICK + 1) * TICK,
        label_delay=monitor.label_horizon if options.label_delay is None else options.label_delay,
        every=monitor.window if options.every is None else options.every,
        commit=commit,
    )


def sort_rows(table: pd.DataFrame, time: str, end: dt.datetime | None) -> pd.DataFrame:
    """Return the rows before the end in the order of time; equal times stay in the order of the table."""
    before = table if end is None else table[table[time] < naive_utc(end)]
    return before.sort_values(time, kind="stable").reset_index(drop=True)


def times_us(times: pd.Series) -> npt.NDArray[np.int64]:
    """Return times without a zone, which are UTC, as microseconds since 1970."""
    return times.to_numpy(dtype="datetime64[us]").astype(np.int64)


def _live_from(settings: Settings) -> dt.datetime:
    """Return the first moment of the live part, UTC."""
    cut = settings.split.live_from
    if cut is None:
        raise SklineError("nothing says where the replay starts: give --from DATE, or split.live_from in the policy")
    return to_utc(cut)


def _short(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, dt.datetime) else str(value)
