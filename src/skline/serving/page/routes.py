"""The routes of the web page and its files; the page calls /predict and loads nothing from other hosts."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

from skline.artifact import Artifact
from skline.serving.page.monitoring import is_file
from skline.serving.page.render import render_page
from skline.serving.security.headers import page_headers

FOLDER = Path(__file__).parent
HTML = "text/html; charset=utf-8"
ASSETS = {
    "style.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "prediction.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def make_router(
    current_artifact: Callable[[Request], Artifact], *, tls: bool = False, monitor_page: Path | None = None
) -> APIRouter:
    """Build the routes of the page; they require no API key.

    Parameters
    ----------
    current_artifact : callable
        Returns the artifact that is served now, which may change between requests.
    tls : bool
        Whether browsers connect over HTTPS.
    monitor_page : Path, optional
        If there is such a file, the page links to /monitor.
    """
    router = APIRouter(include_in_schema=False)
    headers = {name.decode(): value.decode() for name, value in page_headers(tls=tls)}
    template = (FOLDER / "index.html").read_text(encoding="utf-8")
    assets = {name: (FOLDER / name).read_bytes() for name in ASSETS}
    cache: dict[tuple[str, bool], bytes] = {}  # the page of the last artifact, by its digest, and its link

    @router.api_route("/", methods=["GET", "HEAD"])
    async def index(request: Request) -> Response:
        """Return the page."""
        artifact = current_artifact(request)
        is_monitored = monitor_page is not None and await asyncio.to_thread(is_file, monitor_page)
        key = (artifact.digest, is_monitored)
        if key not in cache:
            cache.clear()
            cache[key] = render_page(template, artifact, is_monitored=is_monitored).encode()
        return _cacheable_response(request, cache[key], HTML, headers)

    @router.api_route("/page/{name}", methods=["GET", "HEAD"])
    async def asset(request: Request, name: str) -> Response:
        """Return a script, the style sheet or the icon."""
        if name not in assets:
            raise HTTPException(404)
        return _cacheable_response(request, assets[name], ASSETS[name], headers)

    return router


def _cacheable_response(request: Request, content: bytes, media_type: str, headers: dict[str, str]) -> Response:
    """Return the content, or 304 if the browser has it; browsers revalidate on every request."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = headers | {"Cache-Control": "no-cache", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)
