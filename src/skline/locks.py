"""Let one process of this machine at a time do something: a lock on a file, which the kernel frees if it is killed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skline.errors import SklineError

POLL_SECONDS = 0.05


@contextmanager
def file_lock(path: Path, message: str, timeout: float = 0.0) -> Iterator[int]:
    """Hold the lock of a file, which is created if it is missing.

    It yields the file's descriptor: a child process that inherits it keeps the lock if this process is killed.

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
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise SklineError(message) from None
                time.sleep(POLL_SECONDS)
            else:
                break
        yield file.fileno()


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file; true if the file cannot be opened."""
    import fcntl

    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
