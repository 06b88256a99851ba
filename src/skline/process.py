"""How a stage or a command starts and ends: quickly, and with errors for people."""

import errno
import gc
import os
import select
import sys
from collections.abc import Callable
from typing import Any, NoReturn, cast

from skline.errors import SklineError

#: Every file is written under another name first, and takes its place when it is whole (`skline.files`).
AFTERWARDS = "free some space and run it again. No file was left half-written: each is whole, or as it was before"


def run(main: Callable[[], int | None], without: tuple[str, ...] = ()) -> NoReturn:
    """Run `main` as the whole life of this process; what it returns is the exit status, None being 0.

    `without` names packages that libraries import if they are installed, and that `main` has no use for: here they
    count as not installed, which saves the time of importing them.

    The garbage collector is off and the interpreter is not taken down object by object: a stage reads,
    calls and writes, and for five stages that saved 14 % of the time. Not so under a coverage
    measurement, which writes its file at exit. A SklineError becomes one line on stderr and status 1, and so does a
    full disk. A reader that has read enough (`| head`) ends it quietly, with the status that the shell gives to
    SIGPIPE.
    """
    for name in without:
        sys.modules.setdefault(name, cast("Any", None))
    measured = "coverage" in sys.modules
    if not measured:
        gc.disable()
    try:
        status = main() or 0
        sys.stdout.flush()
    except SklineError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    except Exception as error:
        if not out_of_space(error):
            raise
        print(f"error: the disk is full, or a quota is used up ({told(error)}); {AFTERWARDS}", file=sys.stderr)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    if measured:
        sys.exit(status)
    os._exit(status)


def out_of_space(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is that no more could be written."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        if getattr(error, "sqlite_errorname", None) == "SQLITE_FULL":
            return True
        error = error.__cause__ or error.__context__
    return False


def told(error: BaseException) -> str:
    """Write an error in one line."""
    return " ".join(str(error).split())[:300]


def _reader_is_gone() -> bool:
    """Whether nobody reads standard output any more: a broken pipe may also be another one."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
