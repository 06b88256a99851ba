"""Released artifacts in releases/artifacts, by digest: fetched once, verified, and kept for every rollback."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from skline.artifact import Artifact, InvalidArtifact
from skline.errors import SklineError
from skline.files import fsync
from skline.locks import file_lock, is_locked
from skline.release.journal import exclusive_lock

#: Prefix of the folders into which artifacts are fetched, and the file in them that is locked meanwhile.
FETCHING, LOCK = ".fetching.", "lock"
#: Time limit for loading an artifact and scoring its golden rows.
VERIFY_TIMEOUT_SECONDS = 120


def ensure_artifact(folder: Path, digest: str, fetch: Callable[[Path], Path]) -> Artifact:
    """Return the artifact with this digest, fetched into `folder` if it is not there, and verified in a new process.

    Parameters
    ----------
    folder : Path
        Directory of the released artifacts.
    digest : str
        Sha256 of the artifact's manifest.
    fetch : callable
        Called with an empty directory if the artifact is missing; writes it inside that directory and returns its path.

    Raises
    ------
    SklineError
        If its bytes do not match the digest, or a new process cannot load it or predicts its golden rows differently.
        A partly fetched artifact is never left in `folder`: what a killed process has left is removed by the next call.
    """
    target = folder / digest
    remove_interrupted_fetches(folder)
    if not target.exists():
        with folder_to_fetch_into(folder) as temporary:
            fetched = fetch(temporary)
            Artifact.open(fetched, digest)
            move_fetched(fetched, target)
    try:
        artifact = Artifact.open(target, digest)
    except InvalidArtifact as error:
        raise InvalidArtifact(f"{error}; delete {target} to fetch it again") from None
    verify_in_new_process(target, digest)
    return artifact


def interrupted_fetches(folder: Path) -> list[Path]:
    """Return the folders that processes which were killed while they fetched an artifact have left."""
    return [path for path in sorted(folder.glob(f"{FETCHING}*")) if not is_locked(path / LOCK)]


def remove_interrupted_fetches(folder: Path) -> None:
    """Remove what killed processes have left in a folder of artifacts, and nothing that another process still fetches.

    Raises
    ------
    SklineError
        If another process holds the lock of the releases for too long.
    """
    if interrupted_fetches(folder):
        with exclusive_lock(folder.parent):
            for leftover in interrupted_fetches(folder):
                shutil.rmtree(leftover, ignore_errors=True)  # of another user; `skline doctor` names what is left


@contextmanager
def folder_to_fetch_into(folder: Path) -> Iterator[Path]:
    """Yield an empty folder; the lock next to it, which the kernel frees, tells whether this process still fetches."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        with exclusive_lock(folder.parent):  # no process takes a folder for interrupted before it is locked
            temporary = Path(held.enter_context(tempfile.TemporaryDirectory(dir=folder, prefix=FETCHING)))
            held.enter_context(file_lock(temporary / LOCK, f"{temporary} is locked by another process"))
        empty = temporary / "artifact"
        empty.mkdir()
        yield empty


def move_fetched(fetched: Path, target: Path) -> None:
    """Move an artifact that was fetched and verified to its place, durably; another process may have been faster."""
    for path in fetched.iterdir():
        path.chmod(0o644)
        fsync(path)
    fetched.chmod(0o755)
    fsync(fetched)
    try:
        fetched.rename(target)
    except OSError:
        if not target.exists():
            raise
    fsync(target.parent)


def verify_in_new_process(path: Path, digest: str) -> None:
    """Load the artifact as a new server would, and check its predictions of the golden rows.

    Raises
    ------
    SklineError
        If that fails, or takes longer than VERIFY_TIMEOUT_SECONDS.
    """
    command = [sys.executable, "-m", "skline.scoring.golden_verification", str(path), digest]
    try:
        process = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=False, timeout=VERIFY_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise SklineError(f"{path} did not predict its golden rows within {VERIFY_TIMEOUT_SECONDS} s") from None
    if process.returncode:
        lines = [line for line in process.stderr.splitlines() if line.strip()]
        reason = lines[-1].strip().removeprefix("error: ") if lines else "the process ended without a message"
        raise InvalidArtifact(f"{path} cannot be served: {reason}")
