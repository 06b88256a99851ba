"""The command line: `skline serve`."""

import argparse
import os
from pathlib import Path

from skline.process import run


def parser() -> argparse.ArgumentParser:
    """Build the parser; each command stores the function that carries it out."""
    root = argparse.ArgumentParser(prog="skline", description="From a table to a served scikit-learn model.")
    commands = root.add_subparsers(title="commands", required=True, metavar="COMMAND")
    command = commands.add_parser("serve", help="answer /predict with the packaged artifact")
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    command.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
    command.add_argument("--artifact", type=Path, help="directory of the artifact (default: artifact)")
    command.add_argument("--digest", help="sha256 the artifact must have (default: what artifact.sha256 says)")
    command.set_defaults(carry_out=serve)
    return root


def serve(arguments: argparse.Namespace) -> None:
    """Run the service until it is told to stop."""
    for name, value in (
        ("SKLINE_ARTIFACT", arguments.artifact),
        ("SKLINE_ARTIFACT_DIGEST", arguments.digest),
    ):
        if value is not None:
            os.environ[name] = str(value)
    import uvicorn

    # By name: skline imports nothing of serving.
    uvicorn.run(
        "serving.app:create_app",
        factory=True,
        host=arguments.host,
        port=arguments.port,
        access_log=False,
        server_header=False,
    )


def main() -> None:
    """Entry point of the `skline` command."""
    arguments = parser().parse_args()
    run(lambda: arguments.carry_out(arguments))


if __name__ == "__main__":
    main()
