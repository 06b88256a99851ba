"""`skline experiment report` and `skline shadow`: what a challenger does, read out of the logs."""

import argparse
import datetime as dt
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from skline import paths
from skline.errors import SklineError

if TYPE_CHECKING:
    from skline.artifact import Artifact

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: "Commands") -> None:
    """Declare the commands."""
    group = commands.add_parser("experiment", help="what the running experiment has shown")
    actions = group.add_subparsers(title="actions", required=True, metavar="ACTION")
    command = actions.add_parser("report", help="say what can be concluded from the logs, and what cannot")
    command.add_argument(
        "--release", type=int, metavar="NUMBER", help="of an earlier release (default: the one in force)"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write the figures, too")
    command.add_argument("--abort", action="store_true", help="end a canary that breaks a guard")
    command.set_defaults(carry_out=report)
    command = commands.add_parser("shadow", help="let a challenger score what the log has, and compare")
    command.add_argument("version", nargs="?", help="registered version (default: challenger)")
    command.add_argument("--artifact", type=Path, help="an artifact of this machine instead; its digest beside it")
    command.add_argument("--since", type=dt.datetime.fromisoformat, metavar="TIME", help="ISO 8601, UTC")
    command.add_argument("--until", type=dt.datetime.fromisoformat, metavar="TIME", help="ISO 8601, UTC")
    command.add_argument("--out", type=Path, default=paths.REPORTS / "shadow.json", help="default: %(default)s")
    command.set_defaults(carry_out=shadow)


def report(arguments: argparse.Namespace) -> None:
    """Carry out `skline experiment report`."""
    from skline.files import write_json
    from skline.logs.read import read_labelled
    from skline.logs.settings import LogSettings
    from skline.release import journal
    from skline.release import report as reports
    from skline.release.changes import Releases

    releases = Releases()
    current = release = releases.current()
    if arguments.release is not None:
        entry = journal.read(releases.journal).release(arguments.release)
        release = None if entry is None else entry.release
    if release is None or release.experiment is None:
        raise SklineError("there is no experiment in that release; `skline releases` shows which had one")
    found = reports.report(release, read_labelled(LogSettings.from_environment(), release.experiment.started_at))
    print("\n".join(found.lines))
    if arguments.json is not None:
        write_json(arguments.json, found.facts)
    if arguments.abort and found.breach is not None:
        if current is None or current.experiment is None or current.experiment.name != release.experiment.name:
            raise SklineError(f"{release.experiment.name} is not running any more, so it cannot be ended")
        entry = releases.abort(found.breach)
        print(f"release {entry.release.number} is in force: {entry.action} {entry.what}")


def shadow(arguments: argparse.Namespace) -> None:
    """Carry out `skline shadow`."""
    from skline.files import write_json
    from skline.logs.settings import LogSettings
    from skline.release.comparison import in_words
    from skline.release.shadow import score_log

    artifact = _artifact(arguments)
    found = score_log(artifact, LogSettings.from_environment(), arguments.since, arguments.until)
    write_json(arguments.out, found)
    print(f"{artifact.version} on what was logged from {found['from']} to {found['to']}")
    print("\n".join(in_words(found)))
    if found["skipped"]:
        print(f"{found['skipped']:,} rows break its contract and are left out")
    print(f"written to {arguments.out}")


def _artifact(arguments: argparse.Namespace) -> "Artifact":
    """The challenger: from this machine, or the registry."""
    from skline.artifact import Artifact, read_digest
    from skline.commands.release import registry_of
    from skline.release import artifacts
    from skline.settings import Settings

    if arguments.artifact is not None:
        path: Path = arguments.artifact
        return Artifact.open(path, read_digest(path.with_name(f"{path.name}.sha256")))
    registry = registry_of(Settings.load())
    version = registry.find(arguments.version)
    return artifacts.keep(paths.RELEASED, version.artifact_sha256, partial(registry.download, version))
