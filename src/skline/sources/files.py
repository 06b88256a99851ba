"""A file as a source, or several as one table: on disk, at an fsspec URL, or inside an installed package."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from skline.settings.source import Source
from skline.sources.locate import is_remote, local_file
from skline.sources.many_files import Part, find_parts, is_pattern, new_parts, part_schema, parts_snapshot, parts_stream
from skline.sources.source import LocalTable, Snapshot, Stream, StreamedSource, file_lineage


class FileSource(StreamedSource):
    """A file of text, a workbook or Parquet; or a folder or a pattern of such files, which have the same columns.

    docs/tables.md describes how a file is read.
    """

    no_rows = "no file of source.uri has rows"

    @contextmanager
    def local(self, since: Snapshot | None = None) -> Iterator[LocalTable]:
        """Yield the file itself; a remote one is a temporary copy, and so are several files."""
        if has_several_files(self.source.uri):
            with super().local(since) as table:
                yield table
            return
        with local_file(self.source.uri) as path:
            lineage = file_lineage(path)
            yield LocalTable(path, lineage, {"sha256": lineage["sha256"]})

    @property
    def incremental(self) -> bool:
        """Whether there are several files: new ones can be read alone."""
        return has_several_files(self.source.uri)

    @contextmanager
    def stream(self, since: Snapshot | None = None) -> Iterator[Stream]:
        """Read one file after the other, in the order of their names."""
        parts = find_parts(self.source.uri)
        stream = parts_stream(new_parts(parts, since), self.source, self.say)
        yield dataclasses.replace(stream, snapshot=parts_snapshot(parts))

    @contextmanager
    def first_of_several(self) -> Iterator[Path | None]:
        """Yield the first file, if there are several."""
        yield find_parts(self.source.uri)[0].path if has_several_files(self.source.uri) else None

    def snapshot(self) -> Snapshot:
        """Return the digest of the file, or of each file by its name."""
        if has_several_files(self.source.uri):
            return parts_snapshot(find_parts(self.source.uri))
        with self.local() as table:
            return {"sha256": table.lineage["sha256"]}


def has_several_files(uri: str) -> bool:
    """Whether an address is a folder or a pattern; a file that is there under this very name is neither."""
    if is_remote(uri):
        return False
    path = Path(uri).expanduser()
    return path.is_dir() or (is_pattern(uri) and not path.is_file())


def schema_of_first(source: Source) -> pa.Schema:
    """Return the columns of the file, or of the first of several, without reading rows.

    Raises
    ------
    SklineError
        If it cannot be read.
    """
    if has_several_files(source.uri):
        return part_schema(find_parts(source.uri)[0], source)
    with local_file(source.uri) as path:
        return part_schema(Part(path.name, path), source)
