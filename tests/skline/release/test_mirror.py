"""The copy of a release in object storage is the last good one, whatever is wrong in the store."""

import json
import shutil
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.exceptions import GenericError
from obstore.store import MemoryStore

from skline.artifact import MANIFEST, PIPELINE, Artifact
from skline.errors import SklineError
from skline.release.artifacts import folder_to_fetch_into
from skline.release.manifest import read_manifest
from skline.release.mirror import RETRY_SECONDS, ReleaseMirror
from skline.release.object_storage import StoreUnavailable, open_store, push_release
from tests.fixtures import demo
from tests.fixtures.releases import ServedReleases

ADDRESS = "s3://bucket/flights/release.json"
NAME = "release.json"


class Setup:
    """A store, a project whose releases are uploaded to it, and a mirror of it with a clock of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.store, self.now = MemoryStore(), 0.0
        self.releases, self.folder = ServedReleases(folder / "project"), folder / "cache"
        self.mirror = self.restarted()

    def restarted(self, store: Any = None) -> ReleaseMirror:
        return ReleaseMirror(ADDRESS, self.folder, (store or self.store, store or self.store), lambda: self.now)

    def push(self, packaged: demo.Packaged) -> int:
        number = self.releases.promote(packaged)
        release = self.releases.store.current()
        assert release is not None
        push_release(self.store, NAME, release, self.releases.store.folder)
        return number

    def put(self, key: str, content: bytes) -> None:
        obstore.put(self.store, key, content)

    def copied(self) -> int | None:
        """Return the number of the release that is here, whose artifact is whole."""
        release = read_manifest(self.mirror.manifest)
        if release is None:
            return None
        Artifact.open(self.folder / release.champion.artifact, release.champion.sha256)
        return release.number


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes every request fail."""

    def fail(*_: Any, **__: Any) -> None:
        raise GenericError("Generic S3 error: connection refused\n\nDebug source: …")

    return lambda: monkeypatch.setattr(obstore, "get", fail)


def test_release_and_its_artifact_are_copied_once(
    setup: Setup, packaged: demo.Packaged, other_packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.mirror.update()
    assert setup.copied() is None, "nothing has been promoted"
    first = setup.push(packaged)
    setup.mirror.update()
    assert setup.copied() == first
    requests: list[str] = []
    get = obstore.get
    monkeypatch.setattr(obstore, "get", lambda store, key, **kw: (requests.append(key), get(store, key, **kw))[1])
    setup.mirror.update()
    assert requests == [NAME], "an unchanged manifest costs one conditional request"
    second = setup.push(other_packaged)
    requests.clear()
    setup.mirror.update()
    assert setup.copied() == second
    assert f"artifacts/{other_packaged.digest}/{PIPELINE}" in requests
    requests.clear()
    third = setup.push(packaged)
    setup.mirror.update()
    assert setup.copied() == third
    assert requests[-1] == NAME, "the artifact of a rollback is still here"
    setup.push(packaged)
    setup.mirror.update()
    assert {path.name for path in (setup.folder / "artifacts").iterdir()} == {packaged.digest}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (PIPELINE, lambda content: content[:-100], "does not have the sha256 of the manifest"),
        (PIPELINE, lambda content: content + b"!", "does not have the sha256 of the manifest"),
        (MANIFEST, lambda content: content.replace(b"demo", b"dema"), "has sha256"),
        (MANIFEST, None, "is missing below s3://bucket/flights/release.json; push the release again"),
        (PIPELINE, None, "is missing below"),
    ],
)
def test_artifact_that_is_not_the_one_named_is_never_copied(
    setup: Setup, packaged: demo.Packaged, other_packaged: demo.Packaged, name: str, change: Any, message: str
) -> None:
    first = setup.push(packaged)
    setup.mirror.update()
    second = setup.push(other_packaged)
    key = f"artifacts/{other_packaged.digest}/{name}"
    content = bytes(obstore.get(setup.store, key).bytes())
    if change is None:
        obstore.delete(setup.store, key)
    else:
        setup.put(key, change(content))
    with pytest.raises(SklineError, match=message):
        setup.mirror.update()
    assert setup.copied() == first
    assert not [path for path in (setup.folder / "artifacts").iterdir() if path.name != packaged.digest]
    setup.put(key, content)
    with pytest.raises(SklineError, match=message):
        setup.mirror.update()  # it is not read again at once
    setup.now += RETRY_SECONDS
    setup.mirror.update()
    assert setup.copied() == second


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda text: text[:-20], "is not a valid release manifest"),
        (lambda _: b"", "is not a valid release manifest"),
        (lambda text: text.replace(b'"artifacts/', b'"../artifacts/'), "the artifact of champion has to be artifacts/"),
    ],
)
def test_manifest_that_is_not_valid_leaves_the_copy(
    setup: Setup, packaged: demo.Packaged, content: Any, message: str
) -> None:
    first = setup.push(packaged)
    setup.mirror.update()
    valid = bytes(obstore.get(setup.store, NAME).bytes())
    setup.put(NAME, content(valid))
    with pytest.raises(SklineError, match=message):
        setup.mirror.update()
    assert setup.copied() == first
    setup.put(NAME, valid)
    setup.mirror.update()
    obstore.delete(setup.store, NAME)
    with pytest.raises(SklineError, match=r"is gone; put it back"):
        setup.mirror.update()
    assert setup.copied() == first


def test_store_that_is_away_is_counted_and_an_earlier_copy_serves(
    setup: Setup, packaged: demo.Packaged, away: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = setup.push(packaged)
    setup.mirror.update()
    away()
    with pytest.raises(StoreUnavailable, match=f"^{ADDRESS} cannot be read: Generic S3 error: connection refused$"):
        setup.mirror.update()
    assert setup.mirror.failures == 1
    warning = setup.restarted().start()
    assert warning is not None
    assert "starting with the release that was fetched before" in warning
    assert setup.copied() == first
    shutil.rmtree(setup.folder)
    with pytest.raises(StoreUnavailable):
        setup.restarted().start()
    monkeypatch.undo()
    assert setup.restarted().start() is None
    assert setup.copied() == first


def test_damaged_copy_is_fetched_again_at_the_next_start(setup: Setup, packaged: demo.Packaged) -> None:
    first = setup.push(packaged)
    setup.mirror.update()
    (setup.folder / "artifacts" / packaged.digest / PIPELINE).write_bytes(b"damaged")
    assert setup.restarted().start() is None
    assert setup.copied() == first


def test_fetch_of_another_worker_goes_on_and_one_that_was_killed_is_removed(
    setup: Setup, packaged: demo.Packaged, other_packaged: demo.Packaged
) -> None:
    setup.push(packaged)
    setup.mirror.update()
    killed = setup.folder / "artifacts" / ".fetching.killed"
    (killed / "artifact").mkdir(parents=True)
    with folder_to_fetch_into(setup.folder / "artifacts") as other_worker:
        second = setup.push(other_packaged)
        setup.mirror.update()
        assert setup.copied() == second
        assert other_worker.exists()
        assert not killed.exists()
    assert not [path for path in (setup.folder / "artifacts").iterdir() if path.name.startswith(".fetching.")]


def test_upload_writes_the_manifest_last_and_never_over_a_later_release(
    setup: Setup, packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    put = obstore.put
    monkeypatch.setattr(obstore, "put", lambda store, key, content: (written.append(key), put(store, key, content))[1])
    setup.push(packaged)
    assert written[-2:] == [f"artifacts/{packaged.digest}/{MANIFEST}", NAME]
    release = setup.releases.store.current()
    assert release is not None
    assert push_release(setup.store, NAME, release, setup.releases.store.folder) == []
    later = json.loads(release.model_dump_json()) | {"number": release.number + 1}
    setup.put(NAME, json.dumps(later).encode())
    with pytest.raises(SklineError, match=r"release 2, later than release 1 here"):
        push_release(setup.store, NAME, release, setup.releases.store.folder)


@pytest.mark.parametrize("content", [None, b"truncated"])
def test_upload_repairs_files_that_are_missing_or_truncated(
    setup: Setup, packaged: demo.Packaged, content: bytes | None
) -> None:
    setup.push(packaged)
    key = f"artifacts/{packaged.digest}/{PIPELINE}"
    if content is None:
        obstore.delete(setup.store, key)
    else:
        setup.put(key, content)
    with pytest.raises(SklineError):
        setup.mirror.update()
    setup.now += RETRY_SECONDS
    second = setup.push(packaged)
    setup.mirror.update()
    assert setup.copied() == second


def test_upload_never_replaces_a_manifest_that_cannot_be_read(setup: Setup, packaged: demo.Packaged) -> None:
    setup.push(packaged)
    setup.put(NAME, b"{}")
    with pytest.raises(SklineError, match=r"is not a valid release manifest: .*: delete it there, and push again"):
        setup.push(packaged)
    obstore.delete(setup.store, NAME)
    setup.push(packaged)
    setup.mirror.update()
    assert setup.copied() == 3


@pytest.mark.parametrize("address", ["ftp://bucket/release.json", "s3://bucket/releases/", "s3://release"])
def test_address_that_names_no_release_is_an_error(address: str) -> None:
    with pytest.raises(SklineError, match=r"write s3://BUCKET/PREFIX/release.json"):
        open_store(address, 1)
