"""`skline compare URL`: compare a running service's predictions with the packaged pipeline's, bit by bit."""

import argparse
import os
from typing import TYPE_CHECKING, Any

from skline.commands import Subparsers
from skline.commands._model import require_model_in_service

if TYPE_CHECKING:
    from skline.comparison import Post

#: The environment variable with the API key.
KEY_VARIABLE = "SKLINE_KEY"
TIMEOUT_SECONDS = 60


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "compare",
        help="compare a running service's predictions with the packaged pipeline's, bit by bit",
        description="Send rows of the live part, or of the test part if that is empty, and golden rows to a service, "
        "and compare its predictions with those of the packaged pipeline, bit by bit. The service logs them, and "
        "`skline monitor` leaves them out. Exit status: 0 if all are equal, "
        f"1 otherwise. {KEY_VARIABLE} is the API key, if the service requires one.",
    )
    command.add_argument("url", help="address of the service, such as http://127.0.0.1:8000")
    command.add_argument("--rows", type=int, default=10_000, help="number of rows (default: %(default)s)")
    command.add_argument("--one-by-one", action="store_true", help="send each row to /predict, not to /predict/batch")
    command.set_defaults(run=compare)


def compare(arguments: argparse.Namespace) -> int:
    """Compare, and print how many predictions differ."""
    from skline.errors import SklineError

    if arguments.rows < 1:
        raise SklineError(f"--rows is {arguments.rows}; it must be at least 1")
    if not arguments.url.startswith(("http://", "https://")):
        raise SklineError(f"{arguments.url} is no address of a service; write it as http://127.0.0.1:8000")
    from skline import comparison
    from skline.counting import counted
    from skline.loading import load

    require_model_in_service()
    model = load()
    rows = comparison.sample_rows(model, arguments.rows)
    post = _poster(arguments.url.rstrip("/"), os.environ.get(KEY_VARIABLE, ""))
    result = comparison.compare(post, model, rows, one_by_one=arguments.one_by_one)
    verb = "prediction differs" if result.different == 1 else "predictions differ"
    print(f"{model.version}: {counted(result.rows, 'row')}, {result.different:,} {verb}")
    if result.first is not None:
        print(result.first)
    return 1 if result.different else 0


def _poster(url: str, key: str) -> "Post":
    """Return a function that posts JSON to a path of the service, past any proxy, and returns the response's JSON."""
    import json
    import secrets
    import urllib.error
    import urllib.request

    from skline.errors import SklineError
    from skline.logs.records import COMPARE_REQUEST_ID

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    headers = {"Content-Type": "application/json", "X-Request-ID": f"{COMPARE_REQUEST_ID}{secrets.token_hex(8)}"}
    headers |= {"X-API-Key": key} if key else {}

    def post(path: str, body: Any) -> Any:
        request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)  # noqa: S310
        try:
            with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                detail = error.read(500).decode(errors="replace")
            hint = f"; set {KEY_VARIABLE} to an API key of the service" if error.code in (401, 403) else ""
            raise SklineError(f"POST {url}{path} returns {error.code}: {detail}{hint}") from None
        except (OSError, ValueError) as error:
            raise SklineError(f"POST {url}{path} fails: {error}") from None

    return post
