"""API keys: made here, kept as hashes in a file, checked by the service.

A key is `skl_`, twelve hexadecimal digits that are its public id, and 256 random bits. Only its SHA-256 is
stored. A slow hash is for passwords, which can be guessed; nobody guesses 256 random bits, so bcrypt and
its kind would add milliseconds to every request and no safety.
"""

import datetime as dt
import hashlib
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from skline.errors import SklineError
from skline.files import replacing

#: What a key may be allowed: ask for predictions, tell labels and reviews, see and do everything else.
Scope = Literal["predict", "label", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "skl_"
ID_DIGITS = 12
SECRET_BITS = 256
KEY_LENGTH = len(PREFIX) + ID_DIGITS + 1 + SECRET_BITS // 4
#: The default name of the key file, for the command and for the service.
KEY_FILE = Path("keys.json")

_LIFETIME = re.compile(r"([1-9][0-9]{0,4})d", re.ASCII)


class Key(BaseModel):
    """One key, as the file keeps it: everything but the key itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{ID_DIGITS}}}$")]
    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created: AwareDatetime
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None

    def state(self, now: dt.datetime) -> Literal["valid", "expired", "revoked"]:
        """Say whether the key opens anything."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "valid"


class KeyFile(BaseModel):
    """What stands in a key file, or in the setting SKLINE_SECURITY__API_KEYS."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    keys: tuple[Key, ...] = ()

    @field_validator("keys")
    @classmethod
    def _ids_differ(cls, keys: tuple[Key, ...]) -> tuple[Key, ...]:
        if len({key.id for key in keys}) < len(keys):
            raise ValueError("two keys have the same id")
        return keys


def parse(content: str | bytes, where: str) -> KeyFile:
    """Read the JSON of a key file.

    Raises
    ------
    SklineError
        If it is something else. The message names places and rules, and quotes nothing.
    """
    try:
        return KeyFile.model_validate_json(content)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_context=False, include_input=False)[:3]
        )
        raise SklineError(f"{where} is no key file ({faults}); make one with `skline key new`") from None


def read(path: Path) -> KeyFile:
    """Read a key file; SklineError if it is missing or broken."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SklineError(f"{path} cannot be read ({error.strerror}); make one with `skline key new`") from None
    return parse(content, str(path))


def add(path: Path, name: str, scopes: Sequence[str], expires: dt.datetime | None = None) -> tuple[Key, str]:
    """Make a key and put its hash into the file at `path`, which is made if there is none.

    Returns
    -------
    What the file now says about it, and the key itself, which nobody can read again.

    Raises
    ------
    SklineError
        If the name, a scope or the expiry is not acceptable, or the file is broken.
    """
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    if expires is not None and expires <= now:
        raise SklineError(f"the key would have expired at {expires.isoformat()}; choose a later time")
    with _changing(path) as (before, save):
        taken = {key.id for key in before.keys}
        public = next(i for i in iter(lambda: secrets.token_hex(ID_DIGITS // 2), "") if i not in taken)
        token = f"{PREFIX}{public}_{secrets.token_hex(SECRET_BITS // 8)}"
        facts = {
            "id": public,
            "name": name,
            "scopes": tuple(dict.fromkeys(scopes)),
            "sha256": hashlib.sha256(token.encode()).hexdigest(),
            "created": now,
            "expires": expires,
        }
        try:
            key = Key.model_validate(facts)
        except ValidationError as error:
            fault = error.errors()[0]
            field = str(fault["loc"][0])
            raise SklineError(f"{field} of the new key: {fault['msg']}; scopes are {', '.join(SCOPES)}") from None
        save(KeyFile(keys=(*before.keys, key)))
    return key, token


def revoke(path: Path, public: str) -> Key:
    """Revoke the key with this id, for good. Doing it twice is no mistake.

    Raises
    ------
    SklineError
        If there is no such key.
    """
    read(path)  # a missing file is no empty one here
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    with _changing(path) as (before, save):
        found = next((key for key in before.keys if key.id == public), None)
        if found is None:
            known = ", ".join(f"{key.id} ({key.name})" for key in before.keys) or "none"
            raise SklineError(f"{path} has no key with the id {public!r}; it has {known}")
        if found.revoked is None:
            found = found.model_copy(update={"revoked": now})
            save(KeyFile(keys=tuple(found if key.id == public else key for key in before.keys)))
    return found


def read_expiry(text: str) -> dt.datetime:
    """Read a date, a datetime (UTC unless it says otherwise), or a lifetime such as 90d.

    Raises
    ------
    SklineError
        If it is none of these.
    """
    lifetime = _LIFETIME.fullmatch(text)
    if lifetime is not None:
        return dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=int(lifetime[1]))
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise SklineError(f"{text!r} is no time; write 2027-01-31, 2027-01-31T12:00:00Z, or 90d") from None
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment


class _Save:
    """Writes the changed file, readable for its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, file: KeyFile) -> None:
        with replacing(self.path, 0o600) as temporary:
            temporary.write_text(file.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")


@contextmanager
def _changing(path: Path) -> Iterator[tuple[KeyFile, _Save]]:
    """Yield what the file says and a function that replaces it; others who change it wait meanwhile.

    The lock is on the folder, as the file itself is replaced. Without it two changes at once would lose
    one, and a revoked key might come back.
    """
    import fcntl
    import os

    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield (read(path) if path.exists() else KeyFile()), _Save(path)
    finally:
        os.close(folder)
