"""Releases in object storage: open a store by the address of a manifest in it, and publish a release there.

Next to the manifest, `artifacts/SHA256/` are the artifacts. They are uploaded before the manifest that names them, so
that a reader of the manifest finds its artifacts.
"""

import datetime as dt
import hashlib
import os
from pathlib import Path
from typing import Any

from skline.artifact import MANIFEST, Artifact
from skline.errors import SklineError
from skline.release.manifest import Arm, Release, parse_manifest

SCHEMES = ("s3", "gs", "az")
CONNECT_SECONDS, MAX_RETRIES = 3, 2


class StoreUnavailable(SklineError):
    """The object storage does not respond, or rejects the credentials."""


def open_store(address: str, seconds: float) -> tuple[Any, str]:
    """Return the store of the folder in which a manifest is, and the manifest's name in it.

    Credentials and region come from the environment, as AWS_…, GOOGLE_… or AZURE_…, or from the machine's role.

    Parameters
    ----------
    address : str
        As s3://BUCKET/PREFIX/release.json.
    seconds : float
        Time limit of one request.

    Raises
    ------
    SklineError
        If the address is not valid, or the client is not installed.
    """
    folder, _, name = address.rpartition("/")
    if address.partition("://")[0] not in SCHEMES or not name.endswith(".json"):
        raise SklineError(
            f"{address} is no address of a release; write s3://BUCKET/PREFIX/release.json (or gs://, az://)"
        )
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError:
        raise SklineError(
            f"{address} needs a client of object storage; install it with `uv add --group serving "
            "'skline[serving,release-store]'`"
        ) from None
    options: Any = {
        "timeout": dt.timedelta(seconds=seconds),
        "connect_timeout": dt.timedelta(seconds=CONNECT_SECONDS),
        # An address without TLS is a choice of the user who sets it.
        "allow_http": os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"),
    }
    retries: Any = {"max_retries": MAX_RETRIES, "retry_timeout": dt.timedelta(seconds=seconds)}
    try:
        return from_url(folder, client_options=options, retry_config=retries), name
    except (BaseError, ValueError) as error:
        raise SklineError(f"{address} cannot be opened: {first_line(error)}") from None


def first_line(error: BaseException) -> str:
    """Return the first line of an error of the client, whose other lines repeat it for its developers."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def push_release(store: Any, name: str, release: Release, folder: Path) -> list[str]:
    """Upload a release: its artifacts, unless the store has all of their files, and then its manifest.

    Parameters
    ----------
    store, name
        As `open_store` returns them.
    release : Release
    folder : Path
        The folder of the release's manifest.

    Returns
    -------
    The keys that were written.

    Raises
    ------
    SklineError
        If an artifact does not match its digest, the store has a later or a damaged release, or it does not respond.
    """
    import obstore
    from obstore.exceptions import BaseError

    written = []
    try:
        present = read_object(store, name)
        if present is not None and (number := _number_of(present, name)) > release.number:
            raise SklineError(
                f"{name} in the store is release {number}, later than release {release.number} here; push from the "
                "project that made it"
            )
        for arm in release.arms:
            artifact = Artifact.open(folder / arm.artifact, arm.sha256)
            if _is_uploaded(store, arm, artifact):
                continue
            for file in [*artifact.manifest.files, MANIFEST]:
                obstore.put(store, f"{arm.artifact}/{file}", artifact.content[file])
                written.append(f"{arm.artifact}/{file}")
        content = (release.model_dump_json(indent=2) + "\n").encode()
        if content != present:
            obstore.put(store, name, content)
            written.append(name)
    except BaseError as error:
        raise StoreUnavailable(f"the release was not uploaded to {name}: {first_line(error)}") from None
    return written


def _is_uploaded(store: Any, arm: Arm, artifact: Artifact) -> bool:
    """Whether the store has the artifact's manifest, which is written last, and files of the same sizes.

    Their content is not read: the services verify it.
    """
    import obstore
    from obstore.exceptions import NotFoundError

    manifest = read_object(store, f"{arm.artifact}/{MANIFEST}")
    if manifest is None or hashlib.sha256(manifest).hexdigest() != arm.sha256:
        return False
    try:
        sizes = [(obstore.head(store, f"{arm.artifact}/{name}")["size"], name) for name in artifact.manifest.files]
    except (NotFoundError, FileNotFoundError):
        return False
    return all(size == len(artifact.content[name]) for size, name in sizes)


def _number_of(manifest: bytes, name: str) -> int:
    """Return the number of the release in the store; an unreadable one may be later, so it is not replaced."""
    try:
        return parse_manifest(manifest, name).number
    except SklineError as error:
        raise SklineError(f"{error}; this is the one in the store: delete it there, and push again") from None


def read_object(store: Any, key: str) -> bytes | None:
    """Return the content of an object; None if there is none; raises the client's errors otherwise."""
    import obstore
    from obstore.exceptions import NotFoundError

    try:
        return bytes(obstore.get(store, key).bytes())
    except (NotFoundError, FileNotFoundError):
        return None
