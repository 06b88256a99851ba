"""Structured logs: one JSON object a line, with the request's ids, without secrets and without values.

A traceback's message often quotes what it choked on, which may be a caller's row; so an exception is
written as its type and the places it came through.
"""

import logging
import re
import sys
import time
import traceback
from typing import Any

from pydantic_core import to_json

from serving.security.settings import LoggingSettings
from serving.security.tracing import CURRENT, Trace
from skline.keys import ID_DIGITS, PREFIX

REQUESTS = logging.getLogger("skline.requests")

#: What may give a secret away: a word that a line must have before the pattern is tried, pattern, replacement.
_SECRETS = (
    (PREFIX, re.compile(rf"({PREFIX}[0-9a-f]{{{ID_DIGITS}}}_)[0-9a-f]+"), r"\1***"),
    ("bearer", re.compile(r"(bearer\s+)[A-Za-z0-9._~+/=\-]{8,}", re.IGNORECASE), r"\1***"),
    ("basic", re.compile(r"(basic\s+)[A-Za-z0-9._~+/=\-]{8,}", re.IGNORECASE), r"\1***"),
    ("://", re.compile(r"(://[^/\s:@]*:)[^@\s/]+@"), r"\1***@"),
)


def masked(text: str) -> str:
    """Mask API keys, credentials of Authorization headers, and passwords in URLs."""
    lowered = text.lower()
    for mark, pattern, instead in _SECRETS:
        if mark in lowered:
            text = pattern.sub(instead, text)
    return text


class _Lines(logging.Formatter):
    """What both forms of a line share."""

    def facts(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return what a line says besides time, level, logger and message."""
        trace = CURRENT.get()
        facts: dict[str, Any] = {} if trace is None else trace.fields()
        facts |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            facts["exception"] = places(record.exc_info[1])
        return facts


class JsonLines(_Lines):
    """One JSON object a line. `extra={"fields": {...}}` of a logging call adds fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        } | self.facts(record)
        return masked(to_json(line, fallback=str).decode())


class TextLines(_Lines):
    """The same for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        facts = " ".join(f"{name}={value}" for name, value in self.facts(record).items())
        moment = time.strftime("%H:%M:%S", time.gmtime(record.created))
        line = f"{moment} {record.levelname.lower():7} {record.getMessage()} {facts}".rstrip()
        return masked(line.replace("\n", "\\n"))


def places(error: BaseException) -> dict[str, Any]:
    """Describe an exception and its causes without their messages."""
    frames = traceback.extract_tb(error.__traceback__)
    told: dict[str, Any] = {
        "type": type(error).__name__,
        "at": [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames[-20:]],
    }
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    chain: list[str] = []
    while cause is not None and len(chain) < 10:
        chain.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    return told | ({"because_of": chain} if chain else {})


def _short(path: str) -> str:
    """Shorten a path to what tells the module: from the package folder on."""
    for mark in ("/site-packages/", "/src/", "/serving/"):
        before, found, after = path.rpartition(mark)
        if found and before:
            return f"serving/{after}" if mark == "/serving/" else after
    return path.rpartition("/")[2]


def configuration(settings: LoggingSettings) -> dict[str, Any]:
    """Return what `logging.config.dictConfig`, or uvicorn's `log_config`, is to be given.

    Everything, uvicorn's lines too, goes to standard error in one form. uvicorn's own access log
    stays off: it would write query strings.
    """
    as_text = settings.format == "text" or (settings.format == "auto" and sys.stderr.isatty())
    level = settings.level.upper()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": TextLines if as_text else JsonLines}},
        "handlers": {
            "lines": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stderr"},
        },
        "root": {"handlers": ["lines"], "level": "WARNING"},
        "loggers": {
            "skline": {"level": level},
            "uvicorn": {"level": level, "handlers": [], "propagate": True},
            "uvicorn.error": {"level": level},
            "uvicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
            "skline.requests": {"level": "INFO" if settings.requests != "off" else "CRITICAL"},
        },
    }


class RequestLog:
    """One line a request, or one for those that failed, or none."""

    def __init__(self, settings: LoggingSettings) -> None:
        self.least_status = {"off": 1000, "errors": 500, "all": 0}[settings.requests]

    def write(self, trace: Trace, method: str, route: str, status: int, seconds: float, caller: str) -> None:
        """Write the line of a request, if it is to have one.

        `route` is the path without its query; `seconds` from the first byte of the request to the answer.
        """
        if status < self.least_status:
            return
        fields = {
            "method": method,
            "route": route,
            "status": status,
            "milliseconds": round(seconds * 1000, 3),
            "caller": caller,
        } | trace.fields()
        level = logging.ERROR if status >= 500 else logging.INFO
        REQUESTS.log(level, "%s %s %d", method, route, status, extra={"fields": fields})
