"""Entities are stored as a keyed hash: rows of one entity belong together, and nobody reads whose they are."""

import contextlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

from skline.errors import SklineError
from skline.logs.settings import LogSettings


class EntityHasher:
    """HMAC-SHA256 of an entity's text. The key is read, or made, when it is first needed."""

    def __init__(self, settings: LogSettings) -> None:
        given = settings.entity_key
        self._start = None if given is None else _start(given.get_secret_value().encode())
        self._file = settings.key_file

    def __call__(self, entity: object) -> str:
        """Return 64 hexadecimal digits; 12 and "12" are the same entity.

        Raises
        ------
        OSError
            If the key's file can be neither read nor made.
        SklineError
            If it holds no key.
        """
        if self._start is None:
            self._start = _start(read_or_make(self._file))
        hashed = self._start.copy()
        hashed.update(str(entity).encode("utf-8", "surrogatepass"))
        return hashed.hexdigest()


def _start(key: bytes) -> hmac.HMAC:
    """Begin a hash; copies of it save reading the key again for every entity."""
    return hmac.new(key, digestmod="sha256")


def read_or_make(path: Path) -> bytes:
    """Read a key, or make one that only its owner can read; whoever comes second takes the first one's."""
    try:
        return _checked(path)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # It fails if another process has made one by now; a rename would replace that one.
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
    return _checked(path)


def _checked(path: Path) -> bytes:
    """Read a key and refuse one that is no secret."""
    key = path.read_bytes().strip()
    if len(key) < 32:
        raise SklineError(
            f"{path} holds {len(key)} bytes, and a key of entities has 32 or more; restore it from a backup "
            "(with another key, old rows no longer match their entities)"
        )
    return key
