"""Fixtures of the tests of sources."""

from collections.abc import Iterator

import pytest

from tests.fixtures.server import free_port


@pytest.fixture(scope="session")
def iceberg_catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Configure a catalog of Iceberg called `lake`, in SQLite; yields the port of the S3 server that it would use.

    The environment is set once, because pyiceberg reads it when it is imported.
    """
    folder, port = tmp_path_factory.mktemp("iceberg"), free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYICEBERG_CATALOG__LAKE__URI", f"sqlite:///{folder / 'catalog.db'}")
        patch.setenv("PYICEBERG_CATALOG__LAKE__WAREHOUSE", f"file://{folder}")
        patch.setenv("PYICEBERG_CATALOG__LAKE__S3__ENDPOINT", f"http://127.0.0.1:{port}")
        yield port
