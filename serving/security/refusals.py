"""Refusals of this package."""

from collections.abc import Mapping

from serving.errors import RequestRefused


class Refused(RequestRefused):
    """A request that the guard did not admit; `serving.errors.answer_to` writes the answer."""

    def __init__(
        self, status: int, message: str, kind: str, loc: tuple[str, ...], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, message, kind, headers, loc)


KEY_PLACE = ("header", "authorization")


def unauthorized() -> Refused:
    """401 for a key that is missing, unknown, wrong, expired or revoked: always the same words."""
    return Refused(
        401,
        "a valid API key is needed; send it as `Authorization: Bearer KEY` or as `X-API-Key: KEY`",
        "unauthorized",
        KEY_PLACE,
        {"www-authenticate": 'Bearer realm="skline"'},
    )


def forbidden(scope: str) -> Refused:
    """403 for a valid key without the scope that is asked for."""
    challenge = f'Bearer realm="skline", error="insufficient_scope", scope="{scope}"'
    message = f"this API key may not do this; a key with the scope `{scope}` may"
    return Refused(403, message, "forbidden", KEY_PLACE, {"www-authenticate": challenge})


def not_local() -> Refused:
    """403 for a request from outside while no key is asked for."""
    message = "without API keys this service answers its own machine only; start it with keys, or with --no-auth"
    return Refused(403, message, "forbidden", KEY_PLACE)


def too_often(rate: str, seconds: int) -> Refused:
    """429: the caller's rate is used up for the next `seconds`."""
    message = f"more than {rate} from one caller; ask again in {seconds} s, or send rows together to /predict/batch"
    return Refused(429, message, "too_many_requests", ("header",), _retry(seconds))


def busy(why: str, kind: str = "busy", seconds: int = 1) -> Refused:
    """503: not now, but soon."""
    return Refused(503, why, kind, ("body",), _retry(seconds))


def no_room(why: str) -> Refused:
    """503 for a body that is not read any further, so that its connection cannot go on."""
    return Refused(503, why, "no_room", ("body",), {**_retry(1), "connection": "close"})


def _retry(seconds: int) -> Mapping[str, str]:
    return {"retry-after": str(seconds)}
