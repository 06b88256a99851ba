"""Bounded requests by HTTP: repeated after failures, within limits of time and size; credentials stay at their host."""

import datetime as dt
import email.utils
import itertools
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import httpx

from skline.errors import SklineError
from skline.settings.source_http import Credential, HttpSettings
from skline.sources.tables import Say, say_nothing

#: Statuses after which a request is repeated: too many requests, timeouts, and errors of the server or its proxy.
REPEATED = frozenset({408, 425, 429, 500, 502, 503, 504})
#: Seconds before the first repetition; each further one waits twice as long.
PAUSE = 1.0
REDIRECTS = 5
LOOPBACK = ("localhost", "127.0.0.1", "::1")
#: What the status of a response says about what to do.
ADVICE = {
    401: "check the credentials in {section}.headers",
    403: "check the credentials in {section}.headers, and what they allow",
    404: "correct source.uri",
    410: "correct source.uri",
}


class Response(NamedTuple):
    """A response with status 2xx.

    Attributes
    ----------
    url : httpx.URL
        Where it came from, after redirects, without credentials.
    headers : httpx.Headers
    body : bytes
        Decompressed.
    next_link : str or None
        The address with `rel="next"` in the header Link.
    """

    url: httpx.URL
    headers: httpx.Headers
    body: bytes
    next_link: str | None


class Failure(NamedTuple):
    """Why an attempt failed and can be repeated: what happened, and the pause in seconds that the server requests."""

    reason: str
    pause: float | None


class HttpReader:
    """Requests to the host of a source, in one session.

    Parameters
    ----------
    address : str
        The address of the source, https:// or http://.
    settings : HttpSettings
    section : str
        The key of the settings in params.yaml, for messages.
    say : function of a text, optional
        Gets remarks, such as about a pause.
    secret_query : mapping, optional
        Query parameters with credentials, by their name.

    Raises
    ------
    SklineError
        If the address is invalid, or a credential is not there.
    """

    def __init__(
        self,
        address: str,
        settings: HttpSettings,
        section: str,
        say: Say = say_nothing,
        secret_query: Mapping[str, Credential] | None = None,
    ) -> None:
        self.url, self.settings, self.section, self.say = parse_url(address), settings, section, say
        self._headers = {name: read_credential(each, name) for name, each in settings.headers.items()}
        self._query = {name: read_credential(each, name) for name, each in (secret_query or {}).items()}
        self._next_start = time.monotonic()
        self._end = self._next_start + settings.max_seconds
        self.n_requests = self.n_bytes = 0
        if (self._headers or self._query) and self.url.scheme == "http" and self.url.host not in LOOPBACK:
            say(f"{self.url.host} gets credentials over http, which is not encrypted; use https if it has it")
        self._client = httpx.Client(
            timeout=settings.timeout, headers={"User-Agent": settings.user_agent or default_user_agent()}
        )

    def __enter__(self) -> "HttpReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, url: httpx.URL, *, accept: str = "*/*", with_body: bool = True) -> Response:
        """Request an address.

        Parameters
        ----------
        url : httpx.URL
            On the host of the source, or on one of `other_hosts`.
        accept : str
            The header Accept.
        with_body : bool
            Whether the body is read; otherwise it is empty.

        Raises
        ------
        SklineError
            If there is no response with status 2xx within the bounds.
        """
        for _ in range(REDIRECTS + 1):
            self._check_host(url)
            result = self._repeated(url, accept, with_body=with_body)
            if isinstance(result, Response):
                return result
            url = result
        raise self.error(url, f"more than {REDIRECTS} redirects; correct source.uri")

    def error(self, url: httpx.URL, reason: str) -> SklineError:
        """Return an error with the address, without its query, and the reason, without credentials."""
        return SklineError(self._message(url, reason))

    def redacted(self, text: str) -> str:
        """Return a text without the credentials."""
        for secret in (*self._headers.values(), *self._query.values()):
            text = text.replace(secret, "***") if secret else text
        return text

    def _message(self, url: httpx.URL, reason: str) -> str:
        return self.redacted(f"{plain_address(url)}: {reason}")

    def _check_host(self, url: httpx.URL) -> None:
        """Raise SklineError if an address is of another host, or of another scheme or port of the same one."""
        if not self._is_own(url) and url.host not in self.settings.other_hosts:
            origin = str(url.copy_with(path="/", query=None, fragment=None))
            raise self.error(
                self.url,
                f"a redirect or a next page leads to {origin}, another host; correct source.uri, or add {url.host} to "
                f"{self.section}.other_hosts, which gets no credentials",
            )

    def _is_own(self, url: httpx.URL) -> bool:
        """Whether an address has the scheme, the host and the port of the source."""
        return (url.scheme, url.host, url.port) == (self.url.scheme, self.url.host, self.url.port)

    def _repeated(self, url: httpx.URL, accept: str, *, with_body: bool) -> "Response | httpx.URL":
        """Return the response, or the address of a redirect; a request that fails is repeated, with growing pauses."""
        for attempt in itertools.count():
            self._keep_rate(url)
            result = self._attempt(url, accept, with_body=with_body)
            if not isinstance(result, Failure):
                return result
            if attempt == self.settings.retries:
                raise self.error(url, f"{result.reason}, in {attempt + 1} attempts; run it again later")
            self._wait(url, result, PAUSE * 2**attempt)
        raise AssertionError("unreachable")

    def _attempt(self, url: httpx.URL, accept: str, *, with_body: bool) -> "Response | httpx.URL | Failure":
        """Request an address once."""
        headers, full = {"Accept": accept}, url
        if self._is_own(url):
            headers |= self._headers
            full = url.copy_merge_params(self._query) if self._query else url
        self.n_requests += 1
        try:
            with self._client.stream("GET", full, headers=headers) as response:
                if response.status_code in REPEATED:
                    pause = retry_after(response.headers, dt.datetime.now(dt.UTC))
                    return Failure(f"status {_described_status(response)}", pause)
                if response.has_redirect_location:
                    return url.join(response.headers["Location"])
                if not response.is_success:
                    advice = ADVICE.get(response.status_code, "correct source.uri and the settings")
                    reason = f"status {_described_status(response)}; {advice.format(section=self.section)}"
                    raise StatusError(self._message(url, reason), response.status_code)
                body = self._read(url, response) if with_body else b""
                return Response(url, response.headers, body, response.links.get("next", {}).get("url"))
        except httpx.TransportError as error:
            return Failure(_described_error(error), None)
        except (httpx.DecodingError, httpx.InvalidURL) as error:
            raise self.error(url, f"the response cannot be read ({_described_error(error)})") from error

    def _read(self, url: httpx.URL, response: httpx.Response) -> bytes:
        """Read a body within the bounds."""
        parts = []
        for part in response.iter_bytes():
            self.n_bytes += len(part)
            if self.n_bytes > self.settings.max_bytes:
                raise self.error(
                    url,
                    f"the responses have more than {self.settings.max_bytes:,} bytes; raise {self.section}.max_bytes",
                )
            self._check_time(url)
            parts.append(part)
        return b"".join(parts)

    def _wait(self, url: httpx.URL, failure: Failure, pause: float) -> None:
        """Wait before a repetition: as long as the server requests, within the bounds."""
        if failure.pause is not None and failure.pause > self.settings.max_wait:
            raise self.error(
                url,
                f"{failure.reason}, to be repeated after {failure.pause:,.0f} s; {self.section}.max_wait is "
                f"{self.settings.max_wait:g}: run it again later, or raise it",
            )
        pause = min(pause, self.settings.max_wait) if failure.pause is None else failure.pause
        self._check_time(url, pause)
        self.say(self._message(url, f"{failure.reason}; repeated after {pause:.0f} s"))
        time.sleep(pause)

    def _keep_rate(self, url: httpx.URL) -> None:
        """Wait until the next request may start."""
        if self.settings.per_second is None:
            self._check_time(url)
            return
        pause = max(0.0, self._next_start - time.monotonic())
        self._check_time(url, pause)
        if pause:
            time.sleep(pause)
        self._next_start = time.monotonic() + 1 / self.settings.per_second

    def _check_time(self, url: httpx.URL, pause: float = 0) -> None:
        if time.monotonic() + pause > self._end:
            raise self.error(
                url,
                f"the requests take more than {self.settings.max_seconds:g} s together; raise "
                f"{self.section}.max_seconds",
            )


class StatusError(SklineError):
    """A response with another status than 2xx, which is not repeated."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def parse_url(address: str) -> httpx.URL:
    """Return an address as a URL; SklineError if it is none."""
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise SklineError(f"source.uri is not valid: {error}") from None
    if not url.host:
        raise SklineError(f"source.uri {address!r} names no host; write https://HOST/PATH after the plus sign")
    return url


def plain_address(url: httpx.URL) -> str:
    """Return an address for messages, without its query, which may hold a credential."""
    return str(url.copy_with(query=None, fragment=None, userinfo=b""))


def default_user_agent() -> str:
    """Return what requests are made as."""
    from skline.engine import version

    return f"skline/{version()}"


def read_credential(credential: Credential, name: str) -> str:
    """Return the value of a credential.

    Raises
    ------
    SklineError
        If the variable or the file is not there, or its text is no value of a header; it does not show the value.
    """
    if credential.variable is not None:
        place = f"the environment variable {credential.variable}"
        if credential.variable not in os.environ:
            raise SklineError(f"{name}: {place} is not set; set it")
        value = os.environ[credential.variable]
    else:
        place = f"the file {credential.file}"
        try:
            value = Path(str(credential.file)).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SklineError(f"{name}: {place} cannot be read ({type(error).__name__}); create it") from None
    if not value or not value.isascii() or not value.isprintable():
        raise SklineError(f"{name}: {place} is empty or has characters that no header can have, such as line ends")
    return credential.prefix + value


def retry_after(headers: Mapping[str, str], now: dt.datetime) -> float | None:
    """Return the seconds that the header Retry-After gives, a number or a date; None without one that is valid."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return max(0.0, (moment - now).total_seconds())


def _described_status(response: httpx.Response) -> str:
    return f"{response.status_code} {response.reason_phrase}".strip()


def _described_error(error: Exception) -> str:
    """Return an error of the connection as one line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
