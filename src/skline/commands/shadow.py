"""`skline shadow`: score logged requests with a challenger, and compare it with the predictions in the log."""

import argparse
import datetime as dt
from typing import TYPE_CHECKING

from skline import paths
from skline.commands import Subparsers
from skline.commands._logs import log_settings
from skline.commands._model import accepted_digest, add_accept_option, fetch_registered
from skline.project import given_path

if TYPE_CHECKING:
    from skline.artifact import Artifact


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser("shadow", help="score logged requests with a challenger, and compare")
    command.add_argument("version", nargs="?", help="registered version (default: challenger)")
    command.add_argument(
        "--artifact", type=given_path, help="a local artifact instead; its digest is read from PATH.sha256"
    )
    add_accept_option(command)
    command.add_argument("--since", type=dt.datetime.fromisoformat, metavar="TIME", help="ISO 8601, UTC")
    command.add_argument("--until", type=dt.datetime.fromisoformat, metavar="TIME", help="ISO 8601, UTC")
    command.add_argument("--out", type=given_path, default=paths.REPORTS / "shadow.json", help="(default: %(default)s)")
    command.set_defaults(run=compare_on_log)


def compare_on_log(arguments: argparse.Namespace) -> None:
    """Score the log, write the comparison as JSON, and print a summary."""
    from skline.files import write_json
    from skline.release.comparison import format_comparison
    from skline.release.shadow import score_log

    settings, artifact = log_settings(), _open_artifact(arguments)
    result = score_log(artifact, settings, arguments.since, arguments.until)
    write_json(arguments.out, result)
    print(f"{artifact.version} on requests logged from {result['from']} to {result['to']}")
    print("\n".join(format_comparison(result)))
    if result["skipped"]:
        print(f"{result['skipped']:,} rows break its contract and are left out")
    print(f"written to {arguments.out}")


def _open_artifact(arguments: argparse.Namespace) -> "Artifact":
    """Open the challenger: a local artifact, or one from the registry."""
    from skline.artifact import Artifact
    from skline.release.in_service import local_model

    if arguments.artifact is not None:
        model = local_model(arguments.artifact)
        return Artifact.open(model.folder, model.digest)
    return fetch_registered(arguments.version, accepted_digest(arguments))[1]
