"""Find the file a source names, or make one of what a query gives."""

import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skline.errors import SklineError
from skline.settings_source import Source
from skline.sources import sql

PACKAGE = "package:"


@contextmanager
def local_table(source: Source) -> Iterator[Path]:
    """Yield a local path to a source's table; what a query gives is a temporary Parquet file, gone afterwards.

    Raises
    ------
    SklineError
        As `local_file`, and as `skline.sources.sql.write_result`.
    """
    if source.query is None:
        with local_file(source.uri) as path:
            yield path
        return
    with tempfile.TemporaryDirectory(prefix="skline-") as folder:
        path = Path(folder) / "query.parquet"
        sql.write_result(source.uri, source.query, path)
        yield path


@contextmanager
def local_file(uri: str) -> Iterator[Path]:
    """Yield a local path to what `uri` names; a remote file is a temporary copy, gone afterwards.

    Parameters
    ----------
    uri : str
        A path, `package:NAME/FILE`, or an fsspec URL such as s3://bucket/table.parquet.

    Raises
    ------
    SklineError
        If there is no such file, or it cannot be fetched.
    """
    if uri.startswith(PACKAGE):
        yield package_file(uri)
    elif "://" in uri or "::" in uri:
        with tempfile.TemporaryDirectory(prefix="skline-") as folder:
            yield _download(uri, Path(folder))
    else:
        path = Path(uri).expanduser()
        if not path.is_file():
            raise SklineError(f"source.uri: there is no file {str(path)!r}; correct source.uri in params.yaml")
        yield path


def package_file(uri: str) -> Path:
    """Find a file inside an installed package, without importing the package.

    Raises
    ------
    SklineError
        If the package is not installed or has no such file.
    """
    name, _, inside = uri.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SklineError(
            f"source.uri: no package {name!r} is installed; add it to the group `train` in pyproject.toml"
        )
    path = Path(spec.submodule_search_locations[0]) / inside
    if not path.is_file():
        raise SklineError(f"source.uri: the package {name!r} has no file {inside!r}")
    return path


def _download(uri: str, folder: Path) -> Path:
    """Copy what an fsspec URL names into `folder`, under its own name, which tells its format."""
    import fsspec

    path = folder / Path(uri.split("::", maxsplit=1)[0]).name
    try:
        with fsspec.open(uri, "rb") as remote, path.open("wb") as copy:
            while chunk := remote.read(1 << 20):
                copy.write(chunk)
    except Exception as error:
        raise SklineError(f"source.uri: cannot read {uri!r}: {type(error).__name__}: {error}") from error
    return path
