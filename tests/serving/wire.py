"""HTTP as it is on the wire: requests written byte by byte, and answers read without a client's help."""

import json
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import httpx

#: What Java's client and `curl --http2` send with a first request.
H2C = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2_settings": "AAEAAEAAAAIAAAAB"}


class Answer(NamedTuple):
    """What came back: status, headers by their names in lower case, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def request(
    row: object, path: str = "/predict", *, version: str = "1.1", method: str = "POST", **headers: str
) -> bytes:
    """Write a request down; `row` is the body as bytes, or what becomes JSON."""
    body = row if isinstance(row, bytes) else json.dumps(row).encode()
    lines = {"host": "a", "content-type": "application/json", "content-length": str(len(body))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/{version}\r\n{head}\r\n".encode() + body


class Line:
    """A connection; reads one answer after the other."""

    def __init__(self, url: httpx.URL, seconds: float = 20) -> None:
        self._socket = socket.create_connection((url.host, url.port or 80), timeout=seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def finish(self) -> None:
        """Say that nothing more will come, and go on listening."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End the connection without a farewell."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def answer(self) -> Answer:
        """Read one answer; raises ConnectionError if the other side closed before it was whole."""
        status = int(self._line()[9:12])
        headers: dict[str, str] = {}
        while line := self._line():
            name, _, value = line.partition(": ")
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value
        if status == 100:
            return self.answer()
        length = int(headers["content-length"])
        body = self._file.read(length)
        if len(body) < length:
            raise ConnectionError("closed amid an answer")
        return Answer(status, headers, body)

    def ended(self) -> bool:
        """Wait for the other side's end; whether it came without another byte."""
        return self._file.read() == b""

    def _line(self) -> str:
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError(f"closed after {line!r}")
        return line[:-2].decode("latin-1")


@contextmanager
def held(server: "subprocess.Popen[str]") -> Iterator[None]:
    """Hold a process still, so that afterwards it finds at once whatever was sent meanwhile."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def at_once(url: httpx.URL, server: "subprocess.Popen[str]", sent: Sequence[bytes]) -> list[Answer]:
    """Send each on a connection of its own, so that the server finds all of them at the same moment."""
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(url)) for _ in sent]
        for line in lines:  # so that the connections are taken before the server is held
            line.send(request(b"", "/health/live", method="GET"))
        assert {line.answer().status for line in lines} == {200}
        with held(server):
            for line, data in zip(lines, sent, strict=True):
                line.send(data)
        return [line.answer() for line in lines]
