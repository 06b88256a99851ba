"""Verify API keys in constant time, and follow changes of the key file while the service runs."""

import hashlib
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import compare_digest

from skline import api_keys
from skline.errors import SklineError
from skline.serving import errors
from skline.throttled_logger import Throttle, ThrottledLogger

log = logging.getLogger("skline.security")

RELOAD_SECONDS = 1.0
_ID = slice(len(api_keys.PREFIX), len(api_keys.PREFIX) + api_keys.ID_DIGITS)


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request: id, name and scopes of its API key."""

    id: str
    name: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class _StoredKey:
    """A key of the file or the setting; it expires at `valid_until`, in seconds since 1970."""

    digest: bytes
    valid_until: float
    caller: Caller


#: Every caller, where no key is required. Its id appears in logs.
ANONYMOUS = Caller("anybody", "anybody", frozenset(api_keys.SCOPES))
#: An unknown id is compared with this key, so that it takes the same code path as a known id.
_UNKNOWN_KEY = _StoredKey(bytes(32), 0.0, Caller("", "", frozenset()))


class KeyStore:
    """The API keys of a file and of a setting.

    Parameters
    ----------
    file : Path or None
        The key file, which need not exist. `start` follows its changes.
    inline : bytes or None
        The content of another key file, which does not change.
    no_auth : bool
        Require no key.
    wall_clock : callable
        Returns seconds since 1970.

    Attributes
    ----------
    auth_disabled : bool
        Whether every caller is admitted: because of `no_auth`, or because there is neither a key file nor a setting.
    rejected : Counter of str
        Rejected requests by kind: unauthorized, forbidden.
    reloads, reload_failures : int
        How often a changed file was loaded, or could not be.

    Raises
    ------
    SklineError
        If the file or the setting is broken when the service starts. Later the last valid file stays in force.
    """

    def __init__(
        self,
        file: Path | None,
        inline: bytes | None = None,
        *,
        no_auth: bool = False,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.file, self.no_auth = file, no_auth
        self.rejected: Counter[str] = Counter()
        self.reloads = self.reload_failures = 0
        self._wall_clock = wall_clock
        self._inline = () if inline is None else api_keys.parse(inline, "SKLINE_SECURITY__API_KEYS").keys
        self._key_required = inline is not None
        self._logger, self._throttle = ThrottledLogger(log), Throttle()
        self._keys: dict[bytes, _StoredKey] = {}
        self._signature = self._file_signature()
        self._install(api_keys.read(file).keys if file is not None and self._signature is not None else None)
        self._closed = threading.Event()
        self._follower: threading.Thread | None = None

    def start(self) -> None:
        """Start to look for changes of the file once a second, in a thread: to parse 10,000 keys takes 0.1 s."""
        if self.file is not None and self._follower is None:
            self._closed.clear()
            self._follower = threading.Thread(target=self._follow, name="api keys", daemon=True)
            self._follower.start()

    def close(self) -> None:
        """Stop looking for changes."""
        self._closed.set()
        if self._follower is not None:
            self._follower.join()
            self._follower = None

    @property
    def auth_disabled(self) -> bool:
        """Whether no caller needs a key."""
        return self.no_auth or not self._key_required

    @property
    def valid_keys(self) -> int:
        """Number of keys that are valid now."""
        now = self._wall_clock()
        return sum(now < key.valid_until for key in self._keys.values())

    def authorize(self, authorization: bytes, api_key: bytes, required_scope: str) -> Caller:
        """Return the caller that a request's key belongs to.

        Parameters
        ----------
        authorization, api_key : bytes
            Values of the headers Authorization and X-API-Key, empty if not sent; the latter takes precedence.
        required_scope : str
            The scope that the key must have.

        Raises
        ------
        RequestError
            401 if the key is not valid, with one message for all reasons; 403 if it lacks the scope.
        """
        if self.no_auth or not self._key_required:
            return ANONYMOUS
        token = api_key or (authorization[7:].strip() if authorization[:7].lower() == b"bearer " else b"")
        if len(token) != api_keys.KEY_LENGTH:
            token = b""
        # One code path for every key: known or not, right or wrong, it is hashed, compared and checked for expiry.
        key = self._keys.get(token[_ID], _UNKNOWN_KEY)
        digest_matches = compare_digest(hashlib.sha256(token).digest(), key.digest)
        if not (digest_matches & (self._wall_clock() < key.valid_until)):
            self.rejected["unauthorized"] += 1
            raise errors.unauthorized()
        if required_scope not in key.caller.scopes:
            self.rejected["forbidden"] += 1
            raise errors.forbidden(required_scope)
        return key.caller

    def reload_if_changed(self) -> None:
        """Load the file if it has changed; a broken or missing file leaves the last valid keys in force.

        Until it is loaded, the previous keys are in force. A file that could not be read is read again at the next
        call: it may say that a key is revoked.
        """
        signature = self._file_signature()
        if signature == self._signature or self.file is None:
            return
        try:
            self._install(api_keys.read(self.file).keys)
        except SklineError as error:
            self.reload_failures += 1
            message = f"the changed key file is not used, the previous keys stay in force: {error}"
            self._logger.log(logging.ERROR, message)
            if isinstance(error, api_keys.UnreadableKeyFile) and signature is not None:
                return
        else:
            self.reloads += 1
            log.info("the key file has changed: %d keys are valid", self.valid_keys)
        self._signature = signature

    def _follow(self) -> None:
        while not self._closed.wait(RELOAD_SECONDS):
            try:
                self.reload_if_changed()
            except Exception:
                if self._throttle.admit("failure") is not None:
                    log.exception("the key file could not be checked for changes; the previous keys stay in force")

    def _install(self, file_keys: tuple[api_keys.Key, ...] | None) -> None:
        """Put the keys of the file (None if there is no file) and of the setting in force."""
        keys = {key.id.encode(): _stored_key(key) for key in (*self._inline, *(file_keys or ()))}
        # Requests read these in the event loop while this runs in a thread: a required key is known first.
        self._keys = keys
        self._key_required = self._key_required or file_keys is not None

    def _file_signature(self) -> tuple[int, ...] | None:
        """Return what changes with the file's content; None if there is no file."""
        try:
            stat = self.file.stat() if self.file is not None else None
        except OSError:
            return None
        return stat and (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)


def _stored_key(key: api_keys.Key) -> _StoredKey:
    """Return a key of the file in the form in which it is compared."""
    expires = math.inf if key.expires is None else key.expires.timestamp()
    caller = Caller(key.id, key.name, frozenset(key.scopes))
    return _StoredKey(bytes.fromhex(key.sha256), 0.0 if key.revoked is not None else expires, caller)
