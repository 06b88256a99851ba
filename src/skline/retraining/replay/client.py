"""The clients of a replay: several connections that send rows in the order of time, and labels."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import orjson

#: Requests that are under way at the same time.
CONNECTIONS = 4
TIMEOUT_SECONDS = 60.0
#: The service closes connections that are idle for longer; a request that is sent just then would be lost.
IDLE_SECONDS = 1.0
#: Bytes of a response that a message shows.
MAX_SHOWN = 300
#: Labels in one request.
MAX_LABELS = 5_000
JSON = {"Content-Type": "application/json"}
#: The default of SKLINE_ENTITY_HEADER: no setting of the service is inherited by a replay.
ENTITY_HEADER = "X-Entity-ID"


@dataclass(frozen=True)
class RowRequest:
    """A row as a request to be sent.

    Attributes
    ----------
    number : int
        Its position among the rows of the replay.
    time_us : int
        Its time, in microseconds since 1970.
    request_id : str
        Derived from its position: the log has each once.
    entity : str or None
        What the row is about: the log has its keyed hash, and an experiment assigns it to an arm.
    body : bytes
        Its inputs, as JSON.
    """

    number: int
    time_us: int
    request_id: str
    entity: str | None
    body: bytes


@dataclass
class Sent:
    """What became of the rows of a step.

    Attributes
    ----------
    predictions : dict of int to str
        Number of a row → id of its prediction.
    requests : int
    failed : int
        Requests without a response of status 200.
    rejected : set of int
        Numbers of the rows whose response has another status.
    lost : bool
        Whether a connection broke: it is not known whether the service has its request.
    failure : str
        What the first response was that had another status; empty if there is none.
    """

    predictions: dict[int, str] = field(default_factory=dict)
    requests: int = 0
    failed: int = 0
    rejected: set[int] = field(default_factory=set)
    lost: bool = False
    failure: str = ""

    def fail(self, status: int, content: bytes) -> None:
        """Count a request without a response of status 200; status 0 stands for no response."""
        self.failed += 1
        self.lost |= status == 0
        text = content[:MAX_SHOWN].decode(errors="replace")
        self.failure = self.failure or (f"status {status}: {text}" if status else "the connection broke")

    def add(self, other: "Sent") -> None:
        """Add what became of further rows."""
        self.predictions |= other.predictions
        self.requests += other.requests
        self.failed += other.failed
        self.rejected |= other.rejected
        self.lost |= other.lost
        self.failure = self.failure or other.failure


class Connection:
    """A connection to a service on loopback, which is opened again when it was idle or has broken."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        self._used_at = 0.0

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Send a request; return status and body of the response, or status 0 if there is none."""
        if time.monotonic() - self._used_at > IDLE_SECONDS:
            self._http.close()
        try:
            self._http.request("POST", path, body, headers)
            response = self._http.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self._http.close()
            return 0, b""
        self._used_at = time.monotonic()
        return response.status, content

    def close(self) -> None:
        """Close it."""
        self._http.close()


class Client:
    """Sends requests to a service on loopback.

    Parameters
    ----------
    port : int
    advance : function of int
        Called with the time of each row before it is sent.
    """

    def __init__(self, port: int, advance: Callable[[int], None]) -> None:
        self._advance = advance
        self._connections = [Connection(port) for _ in range(CONNECTIONS)]
        self._pool = ThreadPoolExecutor(CONNECTIONS)
        self._lock = threading.Lock()

    def predict(self, rows: Sequence[RowRequest]) -> Sent:
        """Send rows, each in a request of its own; the clock shows the time of the newest that was sent."""
        sent, queue = Sent(), iter(rows)
        used = self._connections[: len(rows)]
        for each in [self._pool.submit(self._send_rows, connection, queue, sent) for connection in used]:
            each.result()
        return sent

    def label(self, labels: Mapping[str, Any]) -> Sent:
        """Send labels by the id of the prediction; sending them again changes nothing."""
        sent, items = Sent(), list(labels.items())
        for start in range(0, len(items), MAX_LABELS):
            part = [{"prediction_id": key, "label": label} for key, label in items[start : start + MAX_LABELS]]
            sent.requests += 1
            status, content = self._connections[0].post("/labels", orjson.dumps(part), JSON)
            if status != 200 or orjson.loads(content)["rejected"]:
                sent.fail(status, content)
        return sent

    def close(self) -> None:
        """End the threads and the connections."""
        self._pool.shutdown()
        for each in self._connections:
            each.close()

    def _send_rows(self, connection: Connection, queue: Iterator[RowRequest], sent: Sent) -> None:
        """Send rows until there are none, or a connection has broken."""
        while not sent.lost:
            with self._lock:
                row = next(queue, None)
                if row is None:
                    return
                self._advance(row.time_us)
            headers = {**JSON, "X-Request-ID": row.request_id}
            if row.entity is not None:
                headers[ENTITY_HEADER] = row.entity
            status, content = connection.post("/predict", row.body, headers)
            with self._lock:
                sent.requests += 1
                if status == 200:
                    sent.predictions[row.number] = orjson.loads(content)["prediction_id"]
                else:
                    sent.fail(status, content)
                    sent.rejected |= {row.number} if status else set()
