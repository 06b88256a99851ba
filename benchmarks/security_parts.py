"""What the guard before a request costs: `python -m benchmarks.security_parts`.

Each part is called alone and then all of them together, as the request path does; the smallest of five
rounds counts, in microseconds a request, on one core.
"""

import datetime as dt
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serving.security import tracing
from serving.security.guard import Guard
from serving.security.keys import KeyRing
from serving.security.limits import RateLimiter
from serving.security.logs import JsonLines
from serving.security.settings import CorsSettings, LimitSettings, LoggingSettings, SecuritySettings
from skline import keys

REQUESTS = 50_000
ROUNDS = 5
PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def smallest(call: Callable[[], Any], times: int = REQUESTS) -> float:
    """Microseconds a call, the best of the rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for _ in range(times):
            call()
        best = min(best, time.perf_counter() - begin)
    return best / times * 1e6


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as void:
        file = Path(folder) / "keys.json"
        for number in range(99):
            keys.add(file, f"other {number}", ["predict"])
        _, token = keys.add(file, "bench", ["predict"], dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
        key = token.encode()
        ring, rate = KeyRing(file), RateLimiter("100000000/second")
        sent = [
            (b"host", b"127.0.0.1:8000"), (b"accept", b"*/*"), (b"accept-encoding", b"gzip, deflate"),
            (b"connection", b"keep-alive"), (b"user-agent", b"python-httpx/0.28"), (b"content-length", b"140"),
            (b"content-type", b"application/json"), (b"x-api-key", key),
        ]  # fmt: skip
        scope = {"client": ("127.0.0.1", 50_000), "server": ("127.0.0.1", 8000)}
        limits = LimitSettings(rate="100000000/second")
        guard = Guard(SecuritySettings(key_file=file), limits, CorsSettings(), LoggingSettings(requests="off"))
        crossing = Guard(
            SecuritySettings(key_file=file), limits, CorsSettings(origins=("https://a.example",)), LoggingSettings()
        )

        def whole(guard: Guard = guard, sent: list[tuple[bytes, bytes]] = sent) -> None:
            visit = guard.begin(sent)
            guard.admit(visit, scope, "predict")
            guard.log.write(visit.trace, "POST", "/predict", 200, 0.001, visit.caller.id)

        logger = logging.Logger("bench")
        handler = logging.StreamHandler(void)
        handler.setFormatter(JsonLines())
        logger.addHandler(handler)
        traced = [*sent, (b"traceparent", PARENT), (b"origin", b"https://a.example")]
        for name, call in {
            "key check, 100 keys": lambda: ring.check(b"", key, "predict"),
            "rate, counted in memory": lambda: rate.check("0123456789ab"),
            "request id, none sent": lambda: tracing.begin(b"", b""),
            "request id and trace, both sent": lambda: tracing.begin(b"abc-123", PARENT),
            "headers of request and answer, ids": lambda: guard.begin(sent),
            "ALL OF IT": whole,
            "all of it, with trace and CORS": lambda: whole(crossing, traced),
            "one line of the request log": lambda: logger.info("POST /predict", extra={"fields": {"status": 200}}),
        }.items():
            print(f"{name:38} {smallest(call):6.2f} µs")


if __name__ == "__main__":
    main()
