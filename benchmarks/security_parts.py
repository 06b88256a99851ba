"""Measure the cost of a request's lifecycle without its route: `python -m benchmarks.security_parts`.

Each part is called alone, and then all of them together as the fast path does. Prints the fastest of five rounds, in
microseconds per request, on one core.
"""

import datetime as dt
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from skline import api_keys
from skline.serving.observability import tracing
from skline.serving.observability.logging import JsonFormatter
from skline.serving.observability.metrics import Metrics
from skline.serving.security.api_keys import KeyStore
from skline.serving.security.guard import Guard
from skline.serving.security.rate_limit import RateLimiter
from skline.serving.settings import CorsSettings, LimitSettings, LoggingSettings, SecuritySettings, ServiceSettings
from skline.serving.transport.lifecycle import RequestLifecycle

REQUESTS = 50_000
ROUNDS = 5
PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def fastest_us(call: Callable[[], Any], times: int = REQUESTS) -> float:
    """Return the microseconds per call in the fastest round."""
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
            api_keys.add(file, f"other {number}", ["predict"])
        _, token = api_keys.add(file, "bench", ["predict"], dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
        key = token.encode()
        keys, rate = KeyStore(file), RateLimiter("100000000/second")
        sent = [
            (b"host", b"127.0.0.1:8000"), (b"accept", b"*/*"), (b"accept-encoding", b"gzip, deflate"),
            (b"connection", b"keep-alive"), (b"user-agent", b"python-httpx/0.28"), (b"content-length", b"140"),
            (b"content-type", b"application/json"), (b"x-api-key", key),
        ]  # fmt: skip
        scope = {"client": ("127.0.0.1", 50_000), "server": ("127.0.0.1", 8000)}
        security, limits = SecuritySettings(key_file=file), LimitSettings(rate="100000000/second")
        guard, metrics = Guard(security, limits, CorsSettings()), Metrics()
        plain = RequestLifecycle(ServiceSettings(logging=LoggingSettings(requests="off")), guard, metrics)
        cors = RequestLifecycle(
            ServiceSettings(cors=CorsSettings(origins=("https://a.example",)), logging=LoggingSettings()),
            guard,
            metrics,
        )

        def run_lifecycle(lifecycle: RequestLifecycle = plain, headers: list[tuple[bytes, bytes]] = sent) -> None:
            context = lifecycle.start(headers)
            lifecycle.admit(context, scope, "predict")
            lifecycle.finish(context, "POST", "/predict", "/predict", 200)

        logger = logging.Logger("bench")
        handler = logging.StreamHandler(void)
        handler.setFormatter(JsonFormatter())
        logger.addHandler(handler)
        traced = [*sent, (b"traceparent", PARENT), (b"origin", b"https://a.example")]
        for name, call in {
            "key check, 100 keys": lambda: keys.authorize(b"", key, "predict"),
            "rate, counted in memory": lambda: rate.check("0123456789ab"),
            "request id, none sent": lambda: tracing.start_trace(b"", b""),
            "request id and trace, both sent": lambda: tracing.start_trace(b"abc-123", PARENT),
            "headers of request and response, ids": lambda: plain.start(sent),
            "all parts, with metrics": run_lifecycle,
            "all parts, with trace and CORS": lambda: run_lifecycle(cors, traced),
            "one line of the access log": lambda: logger.info("POST /predict", extra={"fields": {"status": 200}}),
        }.items():
            print(f"{name:38} {fastest_us(call):6.2f} µs")


if __name__ == "__main__":
    main()
