"""Start the service with the settings of its surroundings, or say what they amount to."""

import logging
import logging.config

import uvicorn
from pydantic import ValidationError
from pydantic_settings import SettingsError

from serving.connections import backlog
from serving.http import ShortProtocol
from serving.security.exposure import refuse_unsafe, report, uvicorn_options
from serving.settings import ServiceSettings
from serving.workers import differences
from skline.errors import SklineError

log = logging.getLogger("skline.serving")


def serve(workers: int = 1) -> None:
    """Serve until told to stop.

    Several workers share the port and nothing else: each has its model, its counts against the rate limit
    (unless they are kept in Redis) and its measurements; /metrics shows those of whichever worker answers. One that
    dies is replaced, and takes no connection before its model is loaded.

    Raises
    ------
    SklineError
        If the settings are wrong, or not safe to serve.
    """
    settings = read()
    notes = refuse_unsafe(settings)
    if workers < 1:
        raise SklineError(f"--workers {workers}: give at least 1")
    options = uvicorn_options(settings)
    logging.config.dictConfig(options["log_config"])
    for note in [*notes, *differences(settings, workers)]:
        log.warning("%s", note)
    uvicorn.run(
        "serving.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=workers,
        http=ShortProtocol,
        backlog=backlog(settings.limits),
        timeout_graceful_shutdown=int(settings.limits.request_seconds),
        **options,
    )


def check() -> None:
    """Print the settings in force, secrets masked.

    Raises
    ------
    SklineError
        If they would be refused.
    """
    text, safe = report(read())
    print(text)
    if not safe:
        raise SklineError("`skline serve` would not start with these settings")


def read() -> ServiceSettings:
    """Read the settings; SklineError names each that is wrong, without its value, which may be a secret."""
    try:
        return ServiceSettings()
    except ValidationError as error:
        faults = "; ".join(
            f"SKLINE_{'__'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise SklineError(f"the settings are wrong: {faults}") from None
    except SettingsError as error:
        raise SklineError(f"the settings are wrong: {error}") from None
