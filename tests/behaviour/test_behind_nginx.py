"""Behind a real nginx no request is lost over kept connections, and the service works under a path prefix."""

import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from tests.fixtures import demo
from tests.fixtures.server import free_port, process

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
#: How long nginx and the service keep connections: 60 and 75, divided by 37.5.
NGINX_MILLISECONDS, SERVICE_SECONDS = 1600, 2
#: Gaps between requests, around the time at which nginx closes a connection and that at which the service does.
GAPS = (1.2, 2.3)
CALLERS, BURSTS, REQUESTS = 16, 16, 40
CONFIG = """
worker_processes 1; daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream model {{ server 127.0.0.1:{service}; keepalive 16; keepalive_timeout {milliseconds}ms; }}
  server {{
    listen 127.0.0.1:{port};
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
    location / {{ proxy_pass http://model; }}
    location /removed/ {{  # headers that are set here replace those that are set above
      proxy_pass http://model/; proxy_set_header X-Forwarded-Prefix /removed;
      proxy_set_header Connection ""; proxy_set_header Host $http_host;
    }}
    location /ml/ {{ proxy_pass http://model; }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path, service: httpx.Client) -> Iterator[httpx.Client]:
    """Run nginx in front of a service; yield a client of nginx once it responds."""
    if NGINX is None:
        reason = "nginx is not installed; on Debian: apt-get install nginx-light"
        if os.environ.get("CI") and sys.platform == "linux":
            pytest.fail(reason)
        pytest.skip(reason)
    port, config = free_port(), folder / "nginx.conf"
    values = {"folder": folder, "service": service.base_url.port, "port": port, "milliseconds": NGINX_MILLISECONDS}
    config.write_text(CONFIG.format(**values))
    command = [NGINX, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
    with subprocess.Popen(command) as running, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        try:
            for _ in range(200):
                try:
                    client.get("/health/live")
                    break
                except httpx.TransportError:
                    assert running.poll() is None, (folder / "error.log").read_text()
                    time.sleep(0.05)
            yield client
        finally:
            running.terminate()
            running.wait(10)


@pytest.mark.slow
def test_no_request_is_lost_over_connections_that_were_idle(
    packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    def send_bursts(seed: int) -> Counter[int]:
        """Send bursts of requests with gaps between them; return the number of responses by status."""
        numbers, statuses = random.Random(seed), Counter[int]()  # noqa: S311 - nothing depends on its quality
        with httpx.Client(base_url=proxy.base_url, trust_env=False, timeout=30) as client:
            for _ in range(BURSTS):
                statuses.update(client.post("/predict", json=example).status_code for _ in range(REQUESTS))
                time.sleep(numbers.uniform(*GAPS))
        return statuses

    settings = {"LIMITS__KEEP_ALIVE_SECONDS": str(SERVICE_SECONDS)}
    with process(packaged, **settings) as (_, service), nginx(tmp_path, service) as proxy:
        with ThreadPoolExecutor(CALLERS) as pool:
            total = sum(pool.map(send_bursts, range(CALLERS)), Counter())
        assert total == {200: CALLERS * BURSTS * REQUESTS}, (tmp_path / "error.log").read_text()[-2000:]
        assert total.total() > 10_000


@pytest.mark.parametrize(
    ("prefix", "settings"), [("/removed", {"SECURITY__TRUSTED_PROXIES": "127.0.0.1"}), ("/ml", {"ROOT_PATH": "/ml"})]
)
def test_the_service_works_under_a_path_prefix(
    packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any], prefix: str, settings: dict[str, str]
) -> None:
    with process(packaged, **settings) as (_, service), nginx(tmp_path, service) as proxy:
        response = proxy.post(f"{prefix}/predict", json=example)
        assert (response.status_code, "prediction" in response.json()) == (200, True)
        assert proxy.get(f"{prefix}/openapi.json").json()["servers"] == [{"url": prefix}]
        docs, page = proxy.get(f"{prefix}/docs").text, proxy.get(f"{prefix}/").text
        links = {*re.findall(r'(?:src|href)="([^"#]+)"', docs), *re.findall(r"url: '([^']+)'", docs)}
        links |= {urljoin(f"{prefix}/", link) for link in re.findall(r'(?:src|href)="([^"#][^"]*)"', page)}
        assert len(links) > 5
        assert {link: proxy.get(link).status_code for link in links} == dict.fromkeys(links, 200)
        for method in ("GET", "POST"):
            for host, status in (
                ("localhost", 404),
                ("other.example", 403),
            ):  # without keys, foreign hosts are rejected
                closed = proxy.request(method, f"{prefix}/predict/", headers={"host": host})
                assert (closed.status_code, "location" in closed.headers) == (status, False)
