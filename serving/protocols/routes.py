"""What the routes of both protocols share."""

from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from serving.errors import RequestRefused
from serving.protocols.service import Answered, Service

#: Refusals by status, as OpenAPI describes them.
WORDS = {
    413: "The body or the batch is too large",
    415: "The content type or encoding is not spoken",
    422: "The body breaks the protocol or the contract; each fault names its place and rule",
    503: "The model is not loaded yet, or the service is busy",
}


async def answer(service: Service, request: Request, parse: Callable[[bytes], Any]) -> tuple[Any, Answered]:
    """Read, validate and score a request.

    `parse` turns the body into a list of rows, or into an object that has one as `rows`; it and the validation
    run beside the event loop, as a body may be large.

    Returns
    -------
    What `parse` gave, and the scores.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise RequestRefused(415, f"bodies are not read in the encoding {encoding[:40]!r}; send them plain", "encoding")
    body = await service.read_body(request)

    def read() -> tuple[Any, list[Any]]:
        asked = parse(body)
        return asked, service.rows_from_values(getattr(asked, "rows", asked))

    asked, rows = await run_in_threadpool(read)
    if not rows:
        raise RequestRefused(422, "there are no rows to predict", "empty")
    return asked, await service.score(request, rows)
