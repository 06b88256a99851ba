"""Keyed hashes of entities: rows of one entity can be joined, and the entity cannot be read from them."""

import contextlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

from skline.errors import SklineError
from skline.logs.settings import LogSettings

#: Bytes of the shortest key that is accepted.
MIN_KEY_BYTES = 32


class EntityHasher:
    """HMAC-SHA256 of an entity's text. The key file is read, or created, at the first use."""

    def __init__(self, settings: LogSettings) -> None:
        key = settings.entity_key
        self._hmac = None if key is None else _new_hmac(key.get_secret_value().encode())
        self._key_file = settings.key_file

    def __call__(self, entity: object) -> str:
        """Return 64 hexadecimal digits; 12 and "12" are the same entity.

        Raises
        ------
        OSError
            If the key file can be neither read nor created.
        SklineError
            If the file holds no key.
        """
        if self._hmac is None:
            self._hmac = _new_hmac(read_or_create_key(self._key_file))
        hashed = self._hmac.copy()
        hashed.update(str(entity).encode("utf-8", "surrogatepass"))
        return hashed.hexdigest()


def hasher_of_log(settings: LogSettings) -> EntityHasher | None:
    """Return the hasher with the key that is here; None if there is none, with which no logged row could be found."""
    return EntityHasher(settings) if settings.entity_key is not None or settings.key_file.exists() else None


def _new_hmac(key: bytes) -> hmac.HMAC:
    """Start a hash; copying it for each entity avoids processing the key again."""
    return hmac.new(key, digestmod="sha256")


def read_or_create_key(path: Path) -> bytes:
    """Read a key, or create one that only its owner can read. Processes that race for it get the same key."""
    try:
        return _read_key(path)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # with mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link fails if another process was faster; a rename would replace that process's key.
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
    return _read_key(path)


def _read_key(path: Path) -> bytes:
    """Read a key; SklineError if it is too short to be secret."""
    key = path.read_bytes().strip()
    if len(key) < MIN_KEY_BYTES:
        raise SklineError(
            f"{path} holds {len(key)} bytes, but an entity key has {MIN_KEY_BYTES} or more; restore it from a backup "
            "(with another key, old rows no longer match their entities)"
        )
    return key
