"""Feast's online store, through its feature server: Feast requires pandas < 3, and has its own environment."""

import datetime as dt
import http.client
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from skline.contract.values import iso_moment
from skline.errors import SklineError
from skline.lookups.store import Found, Key, StoreRequest

PATH = "/get-online-features"
PRESENT = "PRESENT"


class FeastStore:
    """Posts to /get-online-features of `feast serve`, all keys of a request in one call.

    Parameters
    ----------
    request : StoreRequest
        Its address is the http:// or https:// URL of the server; its table is the feature view, and its key the join
        key of the view's entity.
    """

    threads = 4

    def __init__(self, request: StoreRequest) -> None:
        address = urlsplit(request.require_address("http://HOST:6566"))
        if address.scheme not in ("http", "https") or not address.hostname:
            raise SklineError(
                f"the address of the look-up {request.name} is no http:// or https:// URL of `feast serve`"
            )
        self._is_https, self._host, self._port = address.scheme == "https", address.hostname, address.port
        self._timeout = request.timeout
        self._path = address.path.rstrip("/") + PATH
        self._name, self._key, self._value_names = request.name, request.lookup.key, request.value_names
        self._features = [f"{request.lookup.table}:{value}" for value in dict.fromkeys(self._value_names.values())]

    def open(self) -> None:
        """Do nothing: each call has a connection of its own."""

    def get(self, keys: Sequence[Key], now: dt.datetime) -> Sequence[Found | None]:  # noqa: ARG002 - it has the newest
        """Read the features of each key."""
        body = json.dumps({"features": self._features, "entities": {self._key: list(keys)}})
        connect = http.client.HTTPSConnection if self._is_https else http.client.HTTPConnection
        connection: http.client.HTTPConnection = connect(self._host, self._port, timeout=self._timeout)
        try:
            connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise SklineError(f"the look-up {self._name}: Feast responds with status {response.status}")
        return self._read(json.loads(text), len(keys))

    def close(self) -> None:
        """Do nothing: no connection stays open."""

    def _read(self, content: Any, size: int) -> Sequence[Found | None]:
        """Read a response: for each feature its values, statuses and times, in the order of the keys."""
        results = dict(zip(content["metadata"]["feature_names"], content["results"], strict=True))
        features = [results[name] for name in self._value_names.values()]
        found: list[Found | None] = []
        for row in range(size):
            if not any(feature["statuses"][row] == PRESENT for feature in features):
                found.append(None)
                continue
            times = [_moment(feature["event_timestamps"][row]) for feature in features]
            values = {
                column: feature["values"][row] if feature["statuses"][row] == PRESENT else None
                for column, feature in zip(self._value_names, features, strict=True)
            }
            found.append(Found(max((time for time in times if time is not None), default=None), values))
        return found


def _moment(text: Any) -> dt.datetime | None:
    """Read a time as the server writes it; 1970 stands for none."""
    moment = iso_moment(text) if isinstance(text, str) else None
    return None if moment is None or moment.year <= 1970 else moment
