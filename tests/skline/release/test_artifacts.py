"""An artifact is fetched completely or not at all, and what a killed command has left of it is removed."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from skline.errors import SklineError
from skline.release.artifacts import ensure_artifact, interrupted_fetches
from tests.fixtures import demo

KILLED = """
import os, signal, sys
from pathlib import Path
from skline.release.artifacts import ensure_artifact

def fetch_and_die(folder):
    (folder / "manifest.json").write_text("{")
    os.kill(os.getpid(), signal.SIGKILL)

ensure_artifact(Path(sys.argv[1]), "a" * 64, fetch_and_die)
"""


def test_what_a_killed_command_has_fetched_is_removed_by_the_next_one_and_what_another_fetches_stays(
    tmp_path: Path, packaged: demo.Packaged
) -> None:
    folder = tmp_path / "releases" / "artifacts"
    killed = subprocess.run([sys.executable, "-c", KILLED, folder], check=False)
    assert killed.returncode == -signal.SIGKILL
    [leftover] = interrupted_fetches(folder)
    assert list(leftover.rglob("manifest.json"))

    def fail(_: Path) -> Path:
        raise SklineError("the registry is down")

    def fetch(target: Path) -> Path:
        assert not leftover.exists()
        with pytest.raises(SklineError, match="registry is down"):
            ensure_artifact(folder, "b" * 64, fail)  # another command, while this one fetches
        return shutil.copytree(packaged.folder, target / "model")

    assert ensure_artifact(folder, packaged.digest, fetch).digest == packaged.digest
    assert [path.name for path in folder.iterdir()] == [packaged.digest]


def test_leftovers_are_removed_although_nothing_has_to_be_fetched(tmp_path: Path, packaged: demo.Packaged) -> None:
    folder = tmp_path / "releases" / "artifacts"
    shutil.copytree(packaged.folder, folder / packaged.digest)
    (folder / ".fetching.x").mkdir()  # of an earlier version of skline, without a lock
    (folder / packaged.digest / "contract.json").write_text("{}")
    with pytest.raises(SklineError, match="delete .* to fetch it again"):
        ensure_artifact(folder, packaged.digest, shutil.copytree)
    assert [path.name for path in folder.iterdir()] == [packaged.digest]
