"""`skline serve`: run the service."""

import argparse
import importlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from skline.commands import Subparsers
from skline.errors import SklineError
from skline.project import given_path

if TYPE_CHECKING:
    from skline.serving.transport.dispatch import Dispatcher

#: The project's own entry, with its routes. A project without one is served by the engine's `create_app`.
PROJECT_APP = Path("serving/app.py")

log = logging.getLogger("skline.serving")


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser("serve", help="serve predictions over HTTP")
    command.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    command.add_argument("--port", type=int, help="port to listen on (default: 8000)")
    command.add_argument("--artifact", type=given_path, help="directory of the artifact (default: artifact)")
    command.add_argument("--digest", help="sha256 of the artifact's manifest (default: read from artifact.sha256)")
    command.add_argument("--workers", type=int, default=1, help="processes that share the port (default: 1)")
    command.add_argument(
        "--no-auth", action="store_true", help="listen on every address without API keys; an error if there are keys"
    )
    command.add_argument(
        "--check", action="store_true", help="print the effective settings and whether they are safe, and exit"
    )
    command.set_defaults(run=serve)


def serve(arguments: argparse.Namespace) -> None:
    """Run the service until it gets SIGINT or SIGTERM; with --check only check its settings."""
    options = {}
    for option, name, value in (
        ("--host", "SKLINE_HOST", arguments.host),
        ("--port", "SKLINE_PORT", arguments.port),
        ("--artifact", "SKLINE_ARTIFACT", arguments.artifact),
        ("--digest", "SKLINE_ARTIFACT_DIGEST", arguments.digest),
        ("--no-auth", "SKLINE_SECURITY__NO_AUTH", arguments.no_auth or None),
    ):
        if value is not None:
            os.environ[name] = str(value)
            options[name] = option
    from skline.serving.server import run

    if arguments.check:
        run.check(f"{PROJECT_APP} (this project's own)" if PROJECT_APP.is_file() else "skline.serving.app", options)
    else:
        run.serve(load_app, f"{__name__}:load_worker_app", arguments.workers, options)


def load_app() -> "Dispatcher":
    """Build the application: `app` of the project's serving/app.py, or the engine's if the project has none.

    Raises
    ------
    SklineError
        If the artifact or the settings do not allow it, or the project's file cannot be imported.
    """
    from skline.serving.app import create_app
    from skline.serving.transport.dispatch import Dispatcher

    if not PROJECT_APP.is_file():
        return create_app()
    try:
        app = importlib.import_module(".".join(PROJECT_APP.with_suffix("").parts)).app
    except SklineError:
        raise
    except Exception as error:
        log.debug("%s cannot be imported", PROJECT_APP, exc_info=error)
        raise SklineError(f"{PROJECT_APP} cannot be imported: {_describe(error)}; correct it, or remove it") from error
    if not isinstance(app, Dispatcher):
        raise SklineError(f"`app` in {PROJECT_APP} is a {type(app).__name__}; it must be what create_app() returns")
    return app


def load_worker_app() -> "Dispatcher":
    """Build the application in a worker process; uvicorn starts the worker again if it ends with status 1."""
    try:
        return load_app()
    except SklineError as error:
        log.error("a worker cannot start: %s", error)  # noqa: TRY400 - the message names what to correct
        raise SystemExit(1) from None


def _describe(error: Exception) -> str:
    """Return the type and message of an error in the project's file, and the line that caused it."""
    message = " ".join(str(error).split())
    trace = error.__traceback__
    lines = []
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == PROJECT_APP.absolute():
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f"{type(error).__name__}: {message}" + (f" (line {lines[-1]})" if lines else "")
