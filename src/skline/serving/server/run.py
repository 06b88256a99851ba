"""Run the service with the settings of its environment, or print them. The settings are checked before it listens."""

import logging
import logging.config
from collections.abc import Callable, Mapping

import uvicorn
from pydantic import ValidationError
from pydantic_settings import SettingsError

from skline.errors import SklineError
from skline.serving.server.startup_checks import describe_settings, require_free_port, require_safe, uvicorn_options
from skline.serving.server.workers import WorkerSupervisor, multi_worker_warnings
from skline.serving.settings import ServiceSettings
from skline.serving.transport.connections import listen_backlog
from skline.serving.transport.dispatch import Dispatcher
from skline.serving.transport.protocol import FastPathProtocol

log = logging.getLogger("skline.serving")

#: Seconds after which a worker that does not respond is replaced; uvicorn's 5 are fewer than a start takes on a busy
#: machine.
WORKER_START_SECONDS = 60


def serve(
    load_app: Callable[[], Dispatcher], worker_app: str, workers: int = 1, options: Mapping[str, str] | None = None
) -> None:
    """Serve until SIGINT or SIGTERM.

    `load_app` builds the application in this process; `worker_app` names the function, as `module:function`, that
    does so in each of several workers. `options` are those of `load_settings`.

    Several workers share the port and nothing else: each has its own model, rate limits (unless they are kept in
    Redis) and metrics; /metrics shows those of the worker that responds. A worker that dies is replaced, and the new
    one accepts no connection before its model is loaded.

    Raises
    ------
    SklineError
        If the settings are invalid or unsafe, the port is in use, or the application cannot be built.
    """
    settings = load_settings(options)
    warnings = require_safe(settings)
    if workers < 1:
        raise SklineError(f"--workers is {workers}; it must be at least 1")
    require_free_port(settings.host, settings.port)
    server_options = uvicorn_options(settings) | {
        "host": settings.host,
        "port": settings.port,
        "http": FastPathProtocol,
        "backlog": listen_backlog(settings.limits),
        "timeout_worker_healthcheck": WORKER_START_SECONDS,
        "timeout_graceful_shutdown": int(settings.limits.request_seconds),
    }
    logging.config.dictConfig(server_options["log_config"])
    for warning in [*warnings, *multi_worker_warnings(settings, workers)]:
        log.warning("%s", warning)
    # For several workers too: an error that all of them would have ends the command here, with one message.
    app = load_app()
    if workers == 1:
        uvicorn.run(app, **server_options)
        return
    app.app.state.container.prediction_log.close()  # ends its thread: this process only starts the workers
    config = uvicorn.Config(worker_app, factory=True, workers=workers, **server_options)
    WorkerSupervisor(config, sockets=[config.bind_socket()]).run()


def check(application: str, options: Mapping[str, str] | None = None) -> None:
    """Print the effective settings, secrets masked, and the name of the application that would be served.

    `options` are those of `load_settings`.

    Raises
    ------
    SklineError
        If the service would not start with these settings.
    """
    text, safe = describe_settings(load_settings(options))
    print(f"{text}\napplication: {application}")
    if not safe:
        raise SklineError("`skline serve` does not start with these settings")


def load_settings(options: Mapping[str, str] | None = None) -> ServiceSettings:
    """Read the settings.

    `options` are the options of the command line that set a variable, by its name: "SKLINE_PORT": "--port".

    Raises
    ------
    SklineError
        Naming each invalid setting, without its value, which may be a secret.
    """
    try:
        return ServiceSettings()
    except ValidationError as error:
        details = []
        for detail in error.errors(include_input=False, include_url=False):
            name = f"SKLINE_{'__'.join(str(part) for part in detail['loc']).upper()}"
            details.append(f"{(options or {}).get(name, name)}: {detail['msg']}")
        raise SklineError(f"invalid settings: {'; '.join(details)}") from None
    except SettingsError as error:
        raise SklineError(f"invalid settings: {error}") from None
