"""What tests of models and experiments serve in place of, or together with, the packaged artifact."""

from pathlib import Path

import pytest

from tests.fixtures import demo
from tests.fixtures.releases import ServedReleases


@pytest.fixture
def releases(tmp_path: Path, packaged: demo.Packaged) -> ServedReleases:
    """Releases of which the first has the packaged artifact alone."""
    releases = ServedReleases(tmp_path)
    releases.promote(packaged)
    return releases
