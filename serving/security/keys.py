"""Check API keys in constant time, and follow changes of the key file while running."""

import hashlib
import logging
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import compare_digest

from serving.security import refusals
from skline import keys
from skline.errors import SklineError

log = logging.getLogger("skline.security")

LOOK_EVERY = 1.0
_ID = slice(len(keys.PREFIX), len(keys.PREFIX) + keys.ID_DIGITS)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the id and name of the key, and what it may do."""

    id: str
    name: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Known:
    """A key as it is looked up; `until` is when it stops to count, in seconds since 1970."""

    digest: bytes
    until: float
    caller: Caller


#: Everybody, where no key is asked for.
ANYBODY = Caller("anybody", "anybody", frozenset(keys.SCOPES))
#: What an unknown id is compared with, so that it takes the same path as a known one.
_NOBODY = _Known(bytes(32), 0.0, Caller("", "", frozenset()))


class KeyRing:
    """The keys of a file and of a setting.

    Parameters
    ----------
    file : Path or None
        The key file; it need not be there. Looked at again at most every second.
    inline : bytes or None
        The content of another key file, which does not change.
    no_auth : bool
        Ask for no key at all.

    Attributes
    ----------
    open : bool
        Whether everybody is let in: told so, or there is neither a key file nor a setting.
    refused : Counter of str
        Refusals by kind: unauthorized, forbidden.
    reloads, reload_failures : int
        How often a changed file was taken over, or could not be.

    Raises
    ------
    SklineError
        If the file or the setting is broken when the service starts. Later the last good one goes on.
    """

    def __init__(
        self,
        file: Path | None,
        inline: bytes | None = None,
        *,
        no_auth: bool = False,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.file, self.no_auth = file, no_auth
        self.refused: Counter[str] = Counter()
        self.reloads = self.reload_failures = 0
        self._clock, self._ticks = clock, ticks
        self._inline = () if inline is None else keys.parse(inline, "SKLINE_SECURITY__API_KEYS").keys
        self._closed = inline is not None
        self._known: dict[bytes, _Known] = {}
        self._seen = self._signature()
        self._next_look = ticks() + LOOK_EVERY
        self._take(keys.read(file).keys if file is not None and self._seen is not None else None)

    @property
    def open(self) -> bool:
        """Whether nobody is asked for a key."""
        return self.no_auth or not self._closed

    @property
    def usable(self) -> int:
        """How many keys are valid now."""
        now = self._clock()
        return sum(now < known.until for known in self._known.values())

    def check(self, authorization: bytes, api_key: bytes, scope: str) -> Caller:
        """Return the caller whose key this is.

        Parameters
        ----------
        authorization, api_key : bytes
            Values of the headers Authorization and X-API-Key, empty if not sent; the latter goes first.
        scope : str
            What the key must be good for.

        Raises
        ------
        Refused
            401 in the same words whatever is wrong with the key, 403 if it lacks the scope.
        """
        if self._ticks() >= self._next_look:
            self._look()
        if self.no_auth or not self._closed:
            return ANYBODY
        token = api_key or (authorization[7:].strip() if authorization[:7].lower() == b"bearer " else b"")
        if len(token) != keys.KEY_LENGTH:
            token = b""
        # One path for every key: known or not, right or wrong, it is hashed, compared and dated.
        known = self._known.get(token[_ID], _NOBODY)
        right = compare_digest(hashlib.sha256(token).digest(), known.digest)
        if not (right & (self._clock() < known.until)):
            self.refused["unauthorized"] += 1
            raise refusals.unauthorized()
        if scope not in known.caller.scopes:
            self.refused["forbidden"] += 1
            raise refusals.forbidden(scope)
        return known.caller

    def _look(self) -> None:
        """Take over the file if it has changed; a broken or missing one leaves the last good keys in force."""
        self._next_look = self._ticks() + LOOK_EVERY
        seen = self._signature()
        if seen == self._seen or self.file is None:
            return
        self._seen = seen
        try:
            self._take(keys.read(self.file).keys)
        except SklineError as error:
            self.reload_failures += 1
            log.error("the changed key file is not used, the keys known before stay in force: %s", error)  # noqa: TRY400
        else:
            self.reloads += 1
            log.info("the key file has changed: %d keys are valid", self.usable)

    def _take(self, filed: tuple[keys.Key, ...] | None) -> None:
        """Make these keys, and those of the setting, the ones in force; None if there is no file."""
        self._closed = self._closed or filed is not None
        self._known = {key.id.encode(): _known(key) for key in (*self._inline, *(filed or ()))}

    def _signature(self) -> tuple[int, int, int] | None:
        """What tells one state of the file from another; None if it is not there."""
        try:
            facts = self.file.stat() if self.file is not None else None
        except OSError:
            return None
        return facts and (facts.st_mtime_ns, facts.st_size, facts.st_ino)


def _known(key: keys.Key) -> _Known:
    """Turn a key of the file into what is compared."""
    until = math.inf if key.expires is None else key.expires.timestamp()
    caller = Caller(key.id, key.name, frozenset(key.scopes))
    return _Known(bytes.fromhex(key.sha256), 0.0 if key.revoked is not None else until, caller)
