"""Any ASGI application on a real server, with the options that `skline serve` gives it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from serving.http import ShortProtocol


@contextmanager
def served(app: Any, **options: Any) -> Iterator[httpx.Client]:
    """Run `app` on a free port of loopback; yields a client once it answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        usual = {"log_level": "critical", "lifespan": "off", "http": ShortProtocol, "proxy_headers": False}
        config = uvicorn.Config(app, **(usual | options))
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
                for _ in range(600):
                    if server.started:
                        break
                    time.sleep(0.05)
                yield client
        finally:
            server.should_exit = True
            thread.join(20)
