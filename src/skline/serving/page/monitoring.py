"""The route of the newest page of `skline monitor`, which another process writes."""

import asyncio
import hashlib
import os
from pathlib import Path

from fastapi import APIRouter, Request, Response

from skline.serving.errors import RequestError
from skline.serving.security.headers import report_headers

#: The page of 300 columns has less than 1 MB.
MAX_BYTES = 8 * 2**20


def make_router(path: Path, *, tls: bool = False) -> APIRouter:
    """Build the route; it requires an API key of scope admin, because the page shows what the inputs look like.

    Parameters
    ----------
    path : Path
        The newest page.
    tls : bool
        Whether browsers connect over HTTPS.
    """
    router = APIRouter(include_in_schema=False)
    headers = {name.decode(): value.decode() for name, value in report_headers(tls=tls)}

    @router.api_route("/monitor", methods=["GET", "HEAD"])
    async def monitor(request: Request) -> Response:
        """Return the page."""
        content = await asyncio.to_thread(read_page, path)
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers | {"ETag": tag})
        return Response(content, media_type="text/html; charset=utf-8", headers=headers | {"ETag": tag})

    return router


def is_file(path: Path) -> bool:
    """Whether there is a file that this process may look at; in Python before 3.14, `Path.is_file` may raise."""
    return os.path.isfile(path)  # noqa: PTH113


def read_page(path: Path) -> bytes:
    """Read the page.

    Raises
    ------
    RequestError
        404 if there is none, 503 if it cannot be read, or is too large to be one.
    """
    if not is_file(path):
        raise RequestError(
            404,
            "there is no page of monitoring; run `skline monitor`, and set SKLINE_MONITOR_FOLDER where its results are "
            "not in reports/monitor",
            "not_found",
            loc=("path",),
        )
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RequestError(
            503, f"the page of monitoring cannot be read: {error.strerror}", "unreadable", loc=("path",)
        ) from error
    if len(content) > MAX_BYTES:
        raise RequestError(503, f"the page of monitoring has more than {MAX_BYTES} bytes", "unreadable", loc=("path",))
    return content
