"""Released artifacts, by digest, in releases/artifacts: fetched once, proved, and kept for every rollback."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from skline.artifact import Artifact, ArtifactRefused
from skline.errors import SklineError
from skline.files import sync

#: Seconds that loading an artifact and answering its golden rows may take.
PROOF_SECONDS = 120


def keep(folder: Path, digest: str, fetch: Callable[[Path], Path]) -> Artifact:
    """Have an artifact in `folder`, whole and proved in a new process, or not at all.

    Parameters
    ----------
    fetch : callable
        Called with an empty directory if the artifact is not there; puts it somewhere under it and returns where.

    Raises
    ------
    SklineError
        If it is not what its digest promises, or a new process cannot load it or answers its golden rows otherwise.
    """
    place = folder / digest
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching.") as temporary:
            fetched = fetch(Path(temporary))
            Artifact.open(fetched, digest)
            for path in fetched.iterdir():
                path.chmod(0o644)
                sync(path)
            fetched.chmod(0o755)
            sync(fetched)
            try:
                fetched.rename(place)
            except OSError:
                if not place.exists():  # another command may have been faster with the same bytes
                    raise
            sync(folder)
    try:
        artifact = Artifact.open(place, digest)
    except ArtifactRefused as error:
        raise ArtifactRefused(f"{error}; delete {place}, and it is fetched anew") from None
    prove(place, digest)
    return artifact


def copy(source: Path) -> Callable[[Path], Path]:
    """Fetch from a directory of this machine."""

    def fetch(folder: Path) -> Path:
        return Path(shutil.copytree(source, folder / "artifact"))

    return fetch


def prove(place: Path, digest: str) -> None:
    """Load the artifact as a new server would, and let it answer its golden rows."""
    command = [sys.executable, "-m", "skline.scoring.golden", str(place), digest]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PROOF_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise SklineError(f"{place} did not answer its golden rows within {PROOF_SECONDS} s") from None
    if done.returncode:
        told = done.stderr.strip().splitlines()
        reason = next(
            (line.removeprefix("error: ") for line in reversed(told) if line.strip()), "it ended unexpectedly"
        )
        raise ArtifactRefused(f"{place} cannot be served: {reason}")
