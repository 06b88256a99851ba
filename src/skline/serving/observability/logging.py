"""Structured logs: one JSON object per line, with the request's ids, without secrets and without values of rows.

The message of an exception often quotes the value that caused it, which may be a caller's data. An exception is
therefore logged as its type and stack, never with its message.
"""

import logging
import re
import sys
import time
import traceback
from collections.abc import Collection
from typing import Any

from pydantic_core import to_json

from skline.redaction import redact
from skline.serving.observability.tracing import CURRENT_TRACE, Trace
from skline.serving.settings import LoggingSettings
from skline.throttled_logger import RepeatFilter

ACCESS_LOGGER = logging.getLogger("skline.requests")

#: Characters that could move a terminal's cursor, change its colours or begin a line: C0, C1 and line separators.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
MAX_FRAMES = 20
MAX_CAUSES = 10


def log_config(settings: LoggingSettings) -> dict[str, Any]:
    """Return the configuration for `logging.config.dictConfig`, or for uvicorn's `log_config`.

    All loggers, uvicorn's included, write to standard error in one format. uvicorn's own access log is off, because
    it would log query strings.
    """
    as_text = settings.format == "text" or (settings.format == "auto" and sys.stderr.isatty())
    level = settings.level.upper()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": TextFormatter if as_text else JsonFormatter}},
        # Any client can cause a warning of uvicorn, without a key: an invalid request is one.
        "filters": {"repeats": {"()": RepeatFilter}},
        "handlers": {
            "lines": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stderr"},
        },
        "root": {"handlers": ["lines"], "level": "WARNING"},
        "loggers": {
            "skline": {"level": level},
            "uvicorn": {"level": level, "handlers": [], "propagate": True},
            "uvicorn.error": {"level": level, "filters": ["repeats"]},
            "uvicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
            ACCESS_LOGGER.name: {"level": "INFO" if settings.requests != "off" else "CRITICAL"},
        },
    }


class AccessLog:
    """Logs all requests, those with an error of the service, or none.

    A probe that says "not ready" is no error: it is not logged as one.

    Parameters
    ----------
    settings : LoggingSettings
    probes : collection of str
        The paths of probes.

    Attributes
    ----------
    min_status : int
        Requests with a lower status are not logged.
    """

    def __init__(self, settings: LoggingSettings, probes: Collection[str]) -> None:
        self._probes = probes
        self.min_status = {"off": 1000, "errors": 500, "all": 0}[settings.requests]

    def write(self, trace: Trace, method: str, path: str, status: int, seconds: float, caller: str) -> None:
        """Log a request, unless its status is below `min_status`.

        Parameters
        ----------
        path : str
            Without the query.
        seconds : float
            Duration of the request.
        caller : str
            Id of the API key; `anybody` without one.
        """
        is_error = status >= 500 and path not in self._probes
        if status < self.min_status or (self.min_status == 500 and not is_error):
            return
        fields = {
            "method": method,
            "route": path,
            "status": status,
            "milliseconds": round(seconds * 1000, 3),
            "caller": caller,
        } | trace.fields()
        level = logging.ERROR if is_error else logging.INFO
        ACCESS_LOGGER.log(level, "%s %s %d", method, path, status, extra={"fields": fields})


class _Formatter(logging.Formatter):
    """Base of the formatters."""

    def extra_fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the fields besides time, level, logger and message: trace, `extra={"fields": {…}}`, exception."""
        trace = CURRENT_TRACE.get()
        fields: dict[str, Any] = {} if trace is None else trace.fields()
        fields |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = describe_exception(record.exc_info[1])
        return fields


class JsonFormatter(_Formatter):
    """Formats a record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        timestamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        content = {
            "time": f"{timestamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        } | self.extra_fields(record)
        return redact(to_json(content, fallback=str).decode())


class TextFormatter(_Formatter):
    """Formats a record as one line of text, for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = " ".join(f"{name}={value}" for name, value in self.extra_fields(record).items())
        timestamp = time.strftime("%H:%M:%S", time.gmtime(record.created))
        line = f"{timestamp} {record.levelname.lower():7} {record.getMessage()} {fields}".rstrip()
        return redact(CONTROL.sub(lambda match: ascii(match[0])[1:-1], line))


def describe_exception(error: BaseException) -> dict[str, Any]:
    """Return type and stack of an exception and the types of its causes, without any message."""
    frames = traceback.extract_tb(error.__traceback__)
    description: dict[str, Any] = {
        "type": type(error).__name__,
        "stack": [f"{_shorten(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames[-MAX_FRAMES:]],
    }
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    causes: list[str] = []
    while cause is not None and len(causes) < MAX_CAUSES:
        causes.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    return description | ({"causes": causes} if causes else {})


def _shorten(path: str) -> str:
    """Return a path from its package folder on."""
    for folder in ("/site-packages/", "/src/", "/serving/"):
        before, separator, after = path.rpartition(folder)
        if separator and before:
            return f"serving/{after}" if folder == "/serving/" else after
    return path.rpartition("/")[2]
