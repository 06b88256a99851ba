"""The command line: one `skline` with a command for each thing that is done to a project."""

import argparse
import importlib
import os
from pathlib import Path

from skline.commands import doctor, experiment, init, key, release, score
from skline.logs import cli as logs
from skline.process import run


def parser() -> argparse.ArgumentParser:
    """Build the parser; each command stores the function that carries it out."""
    root = argparse.ArgumentParser(prog="skline", description="From a table to a served scikit-learn model.")
    commands = root.add_subparsers(title="commands", required=True, metavar="COMMAND")
    command = commands.add_parser("serve", help="answer /predict with the packaged artifact")
    command.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    command.add_argument("--port", type=int, help="port to listen on (default: 8000)")
    command.add_argument("--artifact", type=Path, help="directory of the artifact (default: artifact)")
    command.add_argument("--digest", help="sha256 the artifact must have (default: what artifact.sha256 says)")
    command.add_argument("--workers", type=int, default=1, help="processes that share the port (default: 1)")
    command.add_argument("--no-auth", action="store_true", help="ask nobody for a key, wherever it listens")
    command.add_argument("--check", action="store_true", help="print the settings in force, and whether they are safe")
    command.set_defaults(carry_out=serve)
    command = commands.add_parser("plots", help="let the pages of `dvc plots` draw without the network")
    command.set_defaults(carry_out=plots)
    doctor.add(commands)
    init.add(commands)
    key.add(commands)
    release.add(commands)
    score.add(commands)
    experiment.add(commands)
    logs.add(commands)
    return root


def serve(arguments: argparse.Namespace) -> None:
    """Run the service until it is told to stop."""
    for name, value in (
        ("HOST", arguments.host),
        ("PORT", arguments.port),
        ("ARTIFACT", arguments.artifact),
        ("ARTIFACT_DIGEST", arguments.digest),
        ("SECURITY__NO_AUTH", arguments.no_auth or None),
    ):
        if value is not None:
            os.environ[f"SKLINE_{name}"] = str(value)
    # By name: skline imports nothing of serving.
    start = importlib.import_module("serving.start")
    start.check() if arguments.check else start.serve(arguments.workers)


def plots(_: argparse.Namespace) -> None:
    """Give `dvc plots` a page that fetches nothing."""
    from skline.plots import install

    install()


def main() -> None:
    """Entry point of the `skline` command."""
    arguments = parser().parse_args()
    run(lambda: arguments.carry_out(arguments))


if __name__ == "__main__":
    main()
