"""Locate the file at an address: on disk, inside an installed package, or a temporary copy of a remote one."""

import glob
import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skline.errors import SklineError
from skline.project import has_remote

PACKAGE = "package:"


@contextmanager
def local_file(uri: str) -> Iterator[Path]:
    """Yield a local path to the file at `uri`; a remote file is a temporary copy, deleted afterwards.

    Parameters
    ----------
    uri : str
        A path, `package:NAME/FILE`, or an fsspec URL such as s3://bucket/table.parquet.

    Raises
    ------
    SklineError
        If the file does not exist or cannot be downloaded.
    """
    if uri.startswith(PACKAGE):
        yield package_file(uri)
    elif is_remote(uri):
        with tempfile.TemporaryDirectory(prefix="skline-") as folder:
            yield _download(uri, Path(folder))
    else:
        path = Path(uri).expanduser()
        if not path.is_file():
            raise missing_file(str(path))
        yield path


def missing_file(uri: str, advice: str = "; correct source.uri in params.yaml") -> SklineError:
    """Return the error for a missing file, folder or pattern of files; `advice` is for one that DVC does not have."""
    if record := dvc_record(uri):
        advice = f", but {record} records it; run `dvc {'pull' if has_remote() else 'checkout'} {record}`"
    return SklineError(f"source.uri: there is no file {uri!r}{advice}")


def dvc_record(uri: str) -> str | None:
    """Return the .dvc file that records a file, a folder or the first file of a pattern; None without one."""
    return min(glob.glob(f"{uri.rstrip('/')}.dvc"), default=None)  # noqa: PTH207 - a pattern may be absolute


def is_remote(uri: str) -> bool:
    """Whether an address is not that of a file on this machine, or inside a package."""
    return not uri.startswith(PACKAGE) and ("://" in uri or "::" in uri)


def package_file(uri: str) -> Path:
    """Return the path of a file inside an installed package, without importing the package.

    Raises
    ------
    SklineError
        If the package is not installed or has no such file.
    """
    name, _, inside = uri.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SklineError(
            f"source.uri: the package {name!r} is not installed; add it to the group `train` in pyproject.toml"
        )
    path = Path(spec.submodule_search_locations[0]) / inside
    if not path.is_file():
        raise SklineError(f"source.uri: the package {name!r} has no file {inside!r}")
    return path


def _download(uri: str, folder: Path) -> Path:
    """Download the file at an fsspec URL to `folder` under its own name, whose suffix is the format."""
    import fsspec

    path = folder / Path(uri.split("::", maxsplit=1)[0]).name
    try:
        with fsspec.open(uri, "rb") as remote, path.open("wb") as copy:
            while chunk := remote.read(1 << 20):
                copy.write(chunk)
    except Exception as error:
        raise SklineError(f"source.uri: cannot read {uri!r}: {type(error).__name__}: {error}") from error
    return path
