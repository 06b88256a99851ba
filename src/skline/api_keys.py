"""The file of API keys: create, list and revoke keys. The service verifies keys against it.

A key is `skl_`, twelve hexadecimal digits (its public id), and 256 random bits. Only its SHA-256 is stored. A slow hash
such as bcrypt protects passwords, which can be guessed; 256 random bits cannot, so that a slow hash would add
milliseconds to every request and no security.
"""

import datetime as dt
import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from skline.errors import SklineError
from skline.files import atomic_write
from skline.locks import folder_lock

#: Permissions of a key: request predictions; submit labels and reviews; everything else.
Scope = Literal["predict", "label", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "skl_"
ID_DIGITS = 12
SECRET_BITS = 256
KEY_LENGTH = len(PREFIX) + ID_DIGITS + 1 + SECRET_BITS // 4
#: Default name of the key file, for the command and for the service.
KEY_FILE = Path("keys.json")

_LIFETIME = re.compile(r"([1-9][0-9]{0,4})d", re.ASCII)


class UnreadableKeyFile(SklineError):
    """The key file cannot be read now: its content may be valid."""


class Key(BaseModel):
    """A key as the file stores it: its hash and metadata, not the key itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{ID_DIGITS}}}$")]
    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created: AwareDatetime
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None

    def state(self, now: dt.datetime) -> Literal["valid", "expired", "revoked"]:
        """Return whether the key is valid, expired or revoked at `now`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "valid"


def _call_python(value: Any) -> Any:
    """Return the value: parsers written in C and Rust call this for each key, and other threads can run then."""
    return value


class KeyFile(BaseModel):
    """The content of a key file, or of the setting SKLINE_SECURITY__API_KEYS."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    keys: tuple[Annotated[Key, BeforeValidator(_call_python)], ...] = ()

    @field_validator("keys")
    @classmethod
    def _check_ids_are_unique(cls, keys: tuple[Key, ...]) -> tuple[Key, ...]:
        if len({key.id for key in keys}) < len(keys):
            raise ValueError("two keys have the same id")
        return keys


def parse(content: str | bytes, source: str) -> KeyFile:
    """Parse the JSON of a key file; `source` is its name in error messages.

    Other threads run meanwhile, so that a service can read a file of 100,000 keys in a thread while it serves requests.

    Raises
    ------
    SklineError
        If it is not valid. The message names fields and rules, but contains no values.
    """
    try:
        return KeyFile.model_validate(json.loads(content, object_hook=_call_python))
    except ValidationError as error:
        message = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}"
            for each in error.errors(include_url=False, include_context=False, include_input=False)[:3]
        )
    except json.JSONDecodeError as error:
        message = f"no JSON: {error.msg} at line {error.lineno} column {error.colno}"
    except (UnicodeDecodeError, RecursionError) as error:
        message = f"no JSON: {type(error).__name__}"
    raise SklineError(f"{source} is not a valid key file ({message}); create one with `skline key new`")


def read(path: Path) -> KeyFile:
    """Read a key file.

    Raises
    ------
    UnreadableKeyFile
        If it is missing, or cannot be read.
    SklineError
        If it is not valid, or a pipe: reading one would wait for a writer, and stop a service that follows the file.
    """
    if path.exists() and not path.is_file():
        raise SklineError(f"{path} is no regular file; create one with `skline key new`")
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror}); create one with `skline key new`"
        raise UnreadableKeyFile(message) from None
    return parse(content, str(path))


def add(path: Path, name: str, scopes: Sequence[str], expires: dt.datetime | None = None) -> tuple[Key, str]:
    """Create a key and add its hash to the file at `path`, which is created if it does not exist.

    Returns
    -------
    The entry of the file, and the key itself, which is not stored anywhere.

    Raises
    ------
    SklineError
        If the name, a scope or the expiry is not valid, or the file is not.
    """
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    if expires is not None and expires <= now:
        raise SklineError(f"the expiry {expires.isoformat()} is in the past; choose a later time")
    with _locked_edit(path) as (before, save):
        existing_ids = {key.id for key in before.keys}
        key_id = secrets.token_hex(ID_DIGITS // 2)
        while key_id in existing_ids:
            key_id = secrets.token_hex(ID_DIGITS // 2)
        token = f"{PREFIX}{key_id}_{secrets.token_hex(SECRET_BITS // 8)}"
        values = {
            "id": key_id,
            "name": name,
            "scopes": tuple(dict.fromkeys(scopes)),
            "sha256": hashlib.sha256(token.encode()).hexdigest(),
            "created": now,
            "expires": expires,
        }
        try:
            key = Key.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            field = str(first["loc"][0])
            raise SklineError(f"{field} of the new key: {first['msg']}; scopes are {', '.join(SCOPES)}") from None
        save(KeyFile(keys=(*before.keys, key)))
    return key, token


def revoke(path: Path, key_id: str) -> Key:
    """Revoke a key permanently; a key that is revoked already stays as it is.

    Raises
    ------
    SklineError
        If there is no such key.
    """
    read(path)  # a missing file is an error here
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    with _locked_edit(path) as (before, save):
        revoked = next((key for key in before.keys if key.id == key_id), None)
        if revoked is None:
            ids = ", ".join(f"{key.id} ({key.name})" for key in before.keys) or "none"
            raise SklineError(f"{path} has no key with the id {key_id!r}; it has {ids}")
        if revoked.revoked is None:
            revoked = revoked.model_copy(update={"revoked": now})
            save(KeyFile(keys=tuple(revoked if key.id == key_id else key for key in before.keys)))
    return revoked


def parse_expiry(text: str) -> dt.datetime:
    """Parse a date, a datetime (UTC if it has no zone), or a lifetime such as 90d.

    Raises
    ------
    SklineError
        If it is none of these.
    """
    lifetime = _LIFETIME.fullmatch(text)
    if lifetime is not None:
        return dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=int(lifetime[1]))
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        raise SklineError(f"{text!r} is not a time; write 2027-01-31, 2027-01-31T12:00:00Z, or 90d") from None
    return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time


@contextmanager
def _locked_edit(path: Path) -> Iterator[tuple[KeyFile, Callable[[KeyFile], None]]]:
    """Yield the file's content and a function that replaces it, while other processes that edit it wait.

    The lock is on the folder, because the file itself is replaced. Without it one of two concurrent changes would be
    lost, and a revoked key might become valid again.
    """

    def save(file: KeyFile) -> None:
        with atomic_write(path, 0o600) as temporary:  # readable by its owner only
            temporary.write_text(file.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")

    path.parent.mkdir(parents=True, exist_ok=True)
    with folder_lock(path.parent):
        yield (read(path) if path.exists() else KeyFile()), save
