"""Let one process of this machine at a time do something: a lock on a file, which the kernel frees if it is killed."""

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skline.errors import SklineError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

POLL_SECONDS = 0.05
#: Windows locks a range of bytes, which no other process can read or write then: this one is beyond the end of files.
LOCKED_BYTE = 2**30


@contextmanager
def file_lock(path: Path, message: str, timeout: float = 0.0) -> Iterator[int]:
    """Hold the lock of a file, which is created if it is missing.

    It yields the file's descriptor: a child process that inherits it keeps the lock if this process is killed (not on
    Windows).

    Parameters
    ----------
    path : Path
    message : str
        Of the error.
    timeout : float
        How long to wait for another process, in seconds.

    Raises
    ------
    SklineError
        If another process holds the lock for longer than `timeout`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout
    with path.open("w") as file:
        while not try_lock(file.fileno()):
            if time.monotonic() >= deadline:
                raise SklineError(message)
            time.sleep(POLL_SECONDS)
        yield file.fileno()


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which must exist, and wait for it if another process holds it.

    Windows cannot lock a folder: there it is a file of the temporary folder, named by the folder's path.
    """
    if sys.platform == "win32":
        name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"skline-{name}.lock"
        handle = os.open(folder, os.O_RDWR | os.O_CREAT)
    else:
        handle = os.open(folder, os.O_RDONLY)
    try:
        lock(handle)
        yield
    finally:
        os.close(handle)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file; true if the file cannot be opened."""
    try:
        with path.open() as file:
            return not try_lock(file.fileno(), shared=True)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def lock(descriptor: int) -> None:
    """Lock an open file, and wait for another process that holds the lock; closing the file frees it."""
    if sys.platform == "win32":
        while not try_lock(descriptor):
            time.sleep(POLL_SECONDS)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file unless another process holds the lock, and return whether that succeeded.

    Parameters
    ----------
    descriptor : int
    shared : bool
        Several processes may hold such a lock at a time; Windows has only the other kind.
    """
    if sys.platform == "win32":
        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(descriptor, position, os.SEEK_SET)
    else:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
