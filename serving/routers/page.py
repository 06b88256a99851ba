"""The page for people at `/`: a form made from the contract, which asks /predict. All of it comes from here."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter, Request, Response

from serving.page.render import page
from serving.security.headers import of_page
from skline.artifact import Artifact

FOLDER = Path(__file__).parent.parent / "page"
HTML = "text/html; charset=utf-8"
ASSETS = {
    "style.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "answer.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def make_router(current: Callable[[Request], Artifact], *, tls: bool = False) -> APIRouter:
    """Build the routes of the page; none of them needs a key.

    Parameters
    ----------
    current : callable
        Returns the artifact that answers now; the page follows it when it is swapped.
    tls : bool
        Whether browsers come by HTTPS.
    """
    router = APIRouter(include_in_schema=False)
    fixed = {name.decode(): value.decode() for name, value in of_page(tls=tls)}
    template = (FOLDER / "index.html").read_text(encoding="utf-8")
    assets = {name: (FOLDER / name).read_bytes() for name in ASSETS}
    shown: dict[str, bytes] = {}  # the page of the artifact that was shown last, by its digest

    @router.api_route("/", methods=["GET", "HEAD"])
    async def index(request: Request) -> Response:
        """Show the page."""
        artifact = current(request)
        if artifact.digest not in shown:
            shown.clear()
            shown[artifact.digest] = page(template, artifact).encode()
        return _send(request, shown[artifact.digest], HTML, fixed)

    @router.api_route("/page/{name}", methods=["GET", "HEAD"])
    async def asset(request: Request, name: str) -> Response:
        """Send a script, the style or the icon."""
        if name not in assets:
            return Response(status_code=404)
        return _send(request, assets[name], ASSETS[name], fixed)

    return router


def _send(request: Request, content: bytes, media_type: str, fixed: dict[str, str]) -> Response:
    """Answer with content, or with 304 where the browser has it: it asks each time, for what was changed."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = fixed | {"Cache-Control": "no-cache", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)
