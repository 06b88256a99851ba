"""Objects in a store as a source: S3 and what speaks its protocol, Google Cloud Storage, Azure; one object or several.

Credentials are found as the store's own tools find them. Objects are copied to a temporary folder, and their versions
(ETag, generation) are the snapshot.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from skline.errors import SklineError
from skline.settings.source import Source
from skline.settings.source_kinds import kind_of
from skline.sources.many_files import Part, is_pattern, is_table_name, parts_stream, split_pattern
from skline.sources.source import LocalTable, Snapshot, Stream, StreamedSource, file_lineage
from skline.sources.store_errors import StoreErrors, translated_store_errors
from skline.sources.tables import Say, say_nothing

#: Name of a kind → options of its file system: every request is repeated a few times, and ends.
OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {
        "use_listings_cache": False,
        "config_kwargs": {
            "retries": {"mode": "standard", "max_attempts": 4},
            "connect_timeout": 10,
            "read_timeout": 60,
        },
    },
    "gs": {"use_listings_cache": False, "requests_timeout": 60},
    "az": {"use_listings_cache": False, "connection_timeout": 10, "read_timeout": 60},
}
#: Name of a kind → where its credentials are found.
CREDENTIALS = {
    "s3": "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or `gcloud auth application-default login`",
    "az": "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or "
    "AZURE_STORAGE_SAS_TOKEN",
}
ERRORS = {
    kind: StoreErrors(
        absent=(FileNotFoundError,),
        absent_text="{uri}: no such bucket, folder or object",
        advice=f"credentials are found in {credentials}",
    )
    for kind, credentials in CREDENTIALS.items()
}


class RemoteObject(NamedTuple):
    """An object: its name below the folder of all, its path in the store, and its ETag or generation."""

    name: str
    path: str
    version: str


class ObjectSource(StreamedSource):
    """An object, a folder or a pattern: `s3://BUCKET/PATH`, `gs://…`, `az://CONTAINER/PATH`."""

    no_rows = "no object of source.uri has rows"

    def __init__(self, source: Source, say: Say = say_nothing) -> None:
        super().__init__(source, say)
        self.kind = kind_of(source.uri).name

    @contextmanager
    def local(self, since: Snapshot | None = None) -> Iterator[LocalTable]:
        """Yield a temporary copy of the object, or of the rows of several."""
        objects = self.objects()
        if self._are_several(objects):
            with super().local(since) as table:
                yield table
            return
        with self._copied(objects) as [part]:
            yield LocalTable(part.path, file_lineage(part.path) | {"objects": _versions(objects)}, _snapshot(objects))

    @property
    def incremental(self) -> bool:
        """Whether new objects can be read alone: the address is a folder or a pattern."""
        return self._are_several(self.objects())

    @contextmanager
    def stream(self, since: Snapshot | None = None) -> Iterator[Stream]:
        """Copy the objects, and read one after the other, in the order of their names."""
        objects = self.objects()
        with self._copied(_new_objects(objects, since)) as parts:
            files = parts_stream(parts, self.source, self.say)
            lineage = {name: value for name, value in files.lineage.items() if name != "files"}
            yield Stream(files.schema, files.batches, lineage | {"objects": _versions(objects)}, _snapshot(objects))

    @contextmanager
    def first_of_several(self) -> Iterator[Path | None]:
        """Copy the first object, if there are several."""
        objects = self.objects()
        if not self._are_several(objects):
            yield None
            return
        with self._copied(objects[:1]) as [part]:
            yield part.path

    def snapshot(self) -> Snapshot:
        """Return the version of each object."""
        return _snapshot(self.objects())

    def objects(self) -> list[RemoteObject]:
        """List the objects, in the order of their names.

        Raises
        ------
        SklineError
            If the store cannot be reached, denies access, or has none.
        """
        with translated_store_errors(self.source.uri, ERRORS[self.kind]):
            fs, path = self._connect()
            if is_pattern(path):
                base, infos = split_pattern(path)[0], list(fs.glob(path, detail=True).values())
            else:
                info = fs.info(path)
                is_folder = info["type"] == "directory"
                base = path.rstrip("/") if is_folder else str(PurePosixPath(path).parent)
                infos = list(fs.find(path, detail=True).values()) if is_folder else [info]
            objects = sorted(
                RemoteObject(info["name"].removeprefix(f"{base}/"), info["name"], _version(info))
                for info in infos
                if info["type"] == "file"
            )
            objects = [each for each in objects if is_table_name(each.name)]
            if not objects:
                raise FileNotFoundError(path)
            return objects

    def _are_several(self, objects: Sequence[RemoteObject]) -> bool:
        """Whether the address is a folder or a pattern, even if there is one object only."""
        return len(objects) > 1 or not self.source.uri.endswith(f"/{objects[0].path.rpartition('/')[2]}")

    @contextmanager
    def _copied(self, objects: Sequence[RemoteObject]) -> Iterator[list[Part]]:
        """Yield temporary copies of objects; SklineError if one is changed meanwhile."""
        with tempfile.TemporaryDirectory(prefix="skline-") as folder:
            with translated_store_errors(self.source.uri, ERRORS[self.kind]):
                fs, _ = self._connect()
                for each in objects:
                    copy = Path(folder) / each.name
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    fs.get_file(each.path, str(copy))
                    if _version(fs.info(each.path)) != each.version:
                        raise SklineError(f"source.uri: {each.path} was changed while it was read; run it again")
            yield [Part(each.name, Path(folder) / each.name) for each in objects]

    def _connect(self) -> tuple[Any, str]:
        """Return the file system, with connections of its own, and the path in it."""
        import fsspec

        fs, path = fsspec.core.url_to_fs(self.source.uri, skip_instance_cache=True, **OPTIONS[self.kind])
        return fs, str(path)


def _version(info: dict[str, Any]) -> str:
    """Return what changes with every change of an object: the generation or the ETag."""
    for name in ("generation", "ETag", "etag"):
        if info.get(name):
            return str(info[name]).strip('"')
    raise SklineError(f"source.uri: the store says neither the generation nor the ETag of {info['name']}")


def _new_objects(objects: Sequence[RemoteObject], since: Snapshot | None) -> list[RemoteObject]:
    """Return the objects that an earlier snapshot does not have; SklineError if one of its objects is another now."""
    earlier = {} if since is None else since.get("objects", {})
    versions = {each.path: each.version for each in objects}
    for path, version in earlier.items():
        if versions.get(path) != version:
            what = "was changed" if path in versions else "is gone"
            raise SklineError(
                f"{path} {what} since it was read, and source.mode is append; restore it, or delete the snapshots to "
                "read all objects again"
            )
    return [each for each in objects if each.path not in earlier]


def _versions(objects: Sequence[RemoteObject]) -> list[dict[str, str]]:
    return [{"name": each.path, "version": each.version} for each in objects]


def _snapshot(objects: Sequence[RemoteObject]) -> Snapshot:
    return {"objects": {each.path: each.version for each in objects}}
