"""Several files as one table: a folder or a pattern, also in folders such as `month=1`, which are columns then."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

import pyarrow as pa

from skline.errors import SklineError
from skline.files import sha256
from skline.paths import FEEDBACK, SNAPSHOTS
from skline.settings.source import Source
from skline.settings.source_kinds import kind_of
from skline.sources.formats import file_format
from skline.sources.locate import missing_file
from skline.sources.source import Snapshot, Stream
from skline.sources.tables import Say, header, open_rows, translated_errors
from skline.sources.untyped_rows import fitted, merged_schema

WILDCARDS = frozenset("*?[")
#: As Hive writes a missing value into the name of a folder.
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
#: Beginnings and ends of names of files that are no tables.
NO_TABLE_BEGINS, NO_TABLE_ENDS = (".", "_"), (".dvc",)


class Part(NamedTuple):
    """One of several files.

    Attributes
    ----------
    name : str
        Its path below the folder of all, with `/`.
    path : Path
        Where it is on this machine.
    """

    name: str
    path: Path

    @property
    def partition(self) -> dict[str, str | None]:
        """The columns that folders such as `month=1` stand for, as text."""
        pairs = [folder.partition("=") for folder in PurePosixPath(self.name).parts[:-1] if "=" in folder]
        return {key: None if value == HIVE_NULL else unquote(value) for key, _, value in pairs}


def is_pattern(uri: str) -> bool:
    """Whether an address has a wildcard: `*`, `?` or `[…]`."""
    return not WILDCARDS.isdisjoint(uri)


def split_pattern(pattern: str) -> tuple[str, str]:
    """Return the folder above the first wildcard of a path, and the rest; the path itself and "" if it has none."""
    parts = pattern.split("/")
    fixed = next((index for index, part in enumerate(parts) if is_pattern(part)), len(parts))
    return "/".join(parts[:fixed]) or ("/" if pattern.startswith("/") else "."), "/".join(parts[fixed:])


def is_table_name(name: str) -> bool:
    """Whether a file below the folder can be a part: neither it nor a folder above it is hidden, or begins with `_`."""
    return not name.endswith(NO_TABLE_ENDS) and not any(
        part.startswith(NO_TABLE_BEGINS) for part in PurePosixPath(name).parts
    )


def find_parts(uri: str) -> list[Part]:
    """Return the files of a folder or a pattern, in the order of their names.

    Raises
    ------
    SklineError
        If there are none.
    """
    parts = list_parts(uri)
    if not parts:
        raise missing_file(uri)
    return parts


def list_parts(uri: str) -> list[Part]:
    """Return the files of a folder or a pattern, in the order of their names; there may be none."""
    base, rest = split_pattern(uri)
    folder = Path(base).expanduser()
    paths = folder.glob(rest) if rest else folder.rglob("*")
    parts = [Part(path.relative_to(folder).as_posix(), path) for path in paths if path.is_file()]
    others = {each.resolve() for each in (FEEDBACK, SNAPSHOTS)}
    return sorted(part for part in parts if is_table_name(part.name) and part.path.parent.resolve() not in others)


def new_parts(parts: Sequence[Part], since: Snapshot | None) -> list[Part]:
    """Return the files that an earlier snapshot does not have.

    Raises
    ------
    SklineError
        If a file of the earlier snapshot was changed or is gone: its rows cannot be taken back.
    """
    earlier = {} if since is None else since.get("files", {})
    names = {part.name: part for part in parts}
    for name, digest in earlier.items():
        if name not in names or sha256(names[name].path) != digest:
            what = "was changed" if name in names else "is gone"
            raise SklineError(
                f"{name} {what} since it was read, and source.mode is append; restore it, or delete the snapshots to "
                "read all files again"
            )
    return [part for part in parts if part.name not in earlier]


def parts_snapshot(parts: Sequence[Part]) -> Snapshot:
    """Return the digest of each file, by its name."""
    return {"files": {part.name: sha256(part.path) for part in parts}}


def parts_stream(parts: Sequence[Part], source: Source, say: Say) -> Stream:
    """Return the rows of all parts, one file after the other.

    A column is in every file, of types that one type holds without loss: whole numbers and fractions, for example. The
    snapshots of a kind that is sparse (`SourceKind.is_sparse`) may lack columns, which are missing there, and values
    without a common type are text.

    Raises
    ------
    SklineError
        If a file cannot be read, or its columns are not those of the first one; it is named.
    """
    schema = common_schema(parts, source)
    files = [{"name": part.name, "bytes": part.path.stat().st_size, "sha256": sha256(part.path)} for part in parts]
    digests = {str(file["name"]): file["sha256"] for file in files}
    lineage: dict[str, object] = {
        "bytes": sum(part.path.stat().st_size for part in parts),
        "sha256": hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest(),
        "files": files,
    }
    return Stream(schema, _batches(parts, schema, source, say), lineage, {"files": digests})


def common_schema(parts: Sequence[Part], source: Source) -> pa.Schema:
    """Return the columns of all parts; SklineError if they differ."""
    if kind_of(source.uri).is_sparse:
        return merged_schema([part_schema(part, source) for part in parts])
    first, whole = parts[0], part_schema(parts[0], source)
    for part in parts[1:]:
        schema = part_schema(part, source)
        missing = [name for name in whole.names if name not in schema.names]
        added = [name for name in schema.names if name not in whole.names]
        if missing or added:
            differences = [f"lacks {missing}"] * bool(missing) + [f"has {added} in addition"] * bool(added)
            raise SklineError(
                f"{part.name} {' and '.join(differences)}, compared with {first.name}: all files of a source have the "
                "same columns"
            )
        for name in whole.names:
            try:
                merged = pa.unify_schemas(
                    [pa.schema([whole.field(name)]), pa.schema([schema.field(name)])], promote_options="permissive"
                )
            except (pa.ArrowTypeError, pa.ArrowInvalid):
                raise SklineError(
                    f"{part.name} has the column {name!r} as {schema.field(name).type}, and {first.name} as "
                    f"{whole.field(name).type}: write all files of a source with the same types"
                ) from None
            whole = whole.set(whole.get_field_index(name), merged.field(0))
    return whole.remove_metadata()


def part_schema(part: Part, source: Source) -> pa.Schema:
    """Return the columns of one file: text is text, Parquet has types, and folders are text."""
    with _named(part):
        names = header(part.path, source)  # rejects two columns of the same name
        if file_format(part.path, source) == "parquet":
            import pyarrow.parquet as pq

            schema = pq.read_schema(part.path)
        else:
            schema = pa.schema([(name, pa.string()) for name in names])
    for name in part.partition:
        if name in names:
            raise SklineError(f"{part.name} has the column {name!r}, and is in a folder {name}=…: rename one of them")
        schema = schema.append(pa.field(name, pa.string()))
    return schema


def _batches(parts: Sequence[Part], schema: pa.Schema, source: Source, say: Say) -> Iterator[pa.RecordBatch]:
    """Yield the rows of all parts."""
    for part in parts:
        with _named(part), open_rows(part.path, source, None, _say_of(part, say)) as rows:
            for batch in rows.batches:
                yield fitted(batch, schema) if kind_of(source.uri).is_sparse else _conformed(batch, schema, part)


def _conformed(batch: pa.RecordBatch, schema: pa.Schema, part: Part) -> pa.RecordBatch:
    """Add the columns that folders stand for, and cast to the types of all files."""
    for name, value in part.partition.items():
        batch = batch.append_column(name, pa.array([value] * batch.num_rows, pa.string()))
    try:
        return batch.select(schema.names).cast(schema)
    except pa.ArrowInvalid as error:
        raise SklineError(
            f"{part.name} has values that do not fit the types of the other files: {' '.join(str(error).split())}"
        ) from error


def _say_of(part: Part, say: Say) -> Say:
    """Return a function that says remarks about a file with its name."""
    return lambda remark: say(f"{part.name}: {remark}")


@contextmanager
def _named(part: Part) -> Iterator[None]:
    """Name the file in errors, which say the last part of its path only."""
    try:
        with translated_errors(part.path):
            yield
    except SklineError as error:
        raise SklineError(str(error) if part.name == part.path.name else f"{part.name}: {error}") from error
