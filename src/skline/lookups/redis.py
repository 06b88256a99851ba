"""The newest values of each key in Redis: `SET customers:42 '{"time": "2026-03-01T00:00:00Z", "avg_30d": 12.5}'`."""

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from skline.contract.values import iso_moment
from skline.errors import SklineError
from skline.lookups.store import Found, Key, StoreRequest


class RedisStore:
    """Reads JSON objects by key, all keys of a request in one command (MGET).

    Parameters
    ----------
    request : StoreRequest
        Its address is a redis://, rediss:// or unix:// URL; a key is the look-up's table, a colon and the key's value.
    """

    threads = 4

    def __init__(self, request: StoreRequest) -> None:
        try:
            from redis import Redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError:
            raise SklineError(
                f"the look-up {request.name} needs the client of Redis, which skline[serving] installs"
            ) from None
        self._client = Redis.from_url(
            request.require_address("redis://HOST:6379/0"),
            socket_timeout=request.timeout,
            socket_connect_timeout=max(request.timeout, 1.0),
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._prefix, self._time = f"{request.lookup.table}:", request.lookup.time
        self._value_names, self._name = request.value_names, request.name

    def open(self) -> None:
        """Connect, so that the first request does not wait for it."""
        self._client.ping()

    def get(self, keys: Sequence[Key], now: dt.datetime) -> Sequence[Found | None]:  # noqa: ARG002 - it has the newest
        """Read the object of each key."""
        texts: Any = self._client.mget([f"{self._prefix}{key}" for key in keys])
        return [None if text is None else self._read(text) for text in texts]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _read(self, text: str) -> Found:
        """Read an object; SklineError if it is none, or its time is none. A value that it lacks is missing."""
        try:
            content = json.loads(text)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise SklineError(f"a value of the look-up {self._name} is no JSON object")
        time = content.get(self._time)
        moment = iso_moment(time) if isinstance(time, str) else None
        if time is not None and moment is None:
            raise SklineError(
                f"a value of the look-up {self._name} has a {self._time!r} that is no datetime in ISO 8601"
            )
        return Found(moment, {column: content.get(name) for column, name in self._value_names.items()})
