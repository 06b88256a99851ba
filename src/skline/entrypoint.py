"""How a stage or a command starts and ends: exit statuses, and one line on stderr for an error that has a remedy."""

import errno
import json
import os
import select
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from skline.errors import SklineError

#: Holds because every file is written under a temporary name first and renamed when it is complete (`skline.files`).
NOTHING_HALF_WRITTEN = "no file was left half-written: each is complete or unchanged"
DISK_FULL_HINT = f"free some space and run it again; {NOTHING_HALF_WRITTEN}"
NOT_INSTALLED_HINT = (
    "the service needs skline[serving], `skline monitor` skline[monitor], the pipeline and the other commands "
    "skline[train]: `uv add --group train 'skline[train,monitor]'`. A library that your model uses belongs to the "
    "dependencies: `uv add NAME`"
)
MONITOR_HINT = "`skline monitor` and `skline retrain` need it: `uv add --group train 'skline[monitor]'`"
#: Libraries of the extra `monitor`.
MONITOR_MODULES = ("duckdb", "river")
OWN_PACKAGES = ("skline", "model", "serving")
#: Status that a shell reports for a process that SIGPIPE ended: 128 + 13.
BROKEN_PIPE_STATUS = 141
#: Status that a shell reports for a process that Ctrl-C ended: 128 + 2.
INTERRUPTED_STATUS = 130


def run_main(main: Callable[[], int | None]) -> NoReturn:
    """Run `main` and exit with the status that it returns; None is 0.

    `main` can import the code of the project in the current folder (`import_project_first`).

    A SklineError becomes one line on stderr and status 1, and so do a full disk and a library that is not installed;
    Ctrl-C becomes one line and status 130.
    Any other exception keeps its traceback. A reader that closes the pipe early (`| head`) ends the process without a
    message.

    The process exits without finalising the interpreter, which takes up to 0.6 s once scikit-learn, pandas or MLflow is
    loaded; functions registered with `atexit` do not run. Under a coverage measurement, which writes its file at exit,
    the interpreter is finalised.
    """
    import_project_first()
    try:
        status = main() or 0
        sys.stdout.flush()
    except SklineError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in OWN_PACKAGES:
            raise
        hint = MONITOR_HINT if library in MONITOR_MODULES else NOT_INSTALLED_HINT
        print(f"error: the module {error.name!r} is not installed; {hint}", file=sys.stderr)
        status = 1
    except BrokenPipeError:
        if not _stdout_reader_closed():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = BROKEN_PIPE_STATUS
    except KeyboardInterrupt:
        print(f"interrupted; {NOTHING_HALF_WRITTEN}", file=sys.stderr)
        status = INTERRUPTED_STATUS
    except Exception as error:
        if not is_out_of_space(error):
            raise
        print(f"error: the disk is full, or a quota is used up ({one_line(error)}); {DISK_FULL_HINT}", file=sys.stderr)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    if "coverage" in sys.modules:
        sys.exit(status)
    os._exit(status)


def import_project_first(folder: Path | None = None) -> None:
    """Let imports find the project in a folder: its `model` before any other, its `serving` after all others.

    By default it is the current folder. That decides, not what is installed, so that each project, each git worktree,
    and each copy that `dvc exp run --temp` makes runs its own code. Processes that are spawned later get the same path.
    """
    folder = folder or Path.cwd()
    sys.path[:] = [str(folder / "src"), *(path for path in sys.path if path != str(folder / "src"))]
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def is_out_of_space(error: BaseException | None) -> bool:
    """Return whether an error, or one of its causes, is a full disk, quota or database."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        if getattr(error, "sqlite_errorname", None) == "SQLITE_FULL":
            return True
        error = error.__cause__ or error.__context__
    return False


def one_line(error: BaseException) -> str:
    """Return the message of an error in one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]


def visible(text: str) -> str:
    """Return a text with its control and formatting characters escaped as in JSON.

    Texts of the log are those of clients: a terminal must not obey them, and a line must not pass for two.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or unicodedata.category(char) == "Zs" else json.dumps(char)[1:-1] for char in text
    )


def _stdout_reader_closed() -> bool:
    """Return whether the reader of standard output closed it: the broken pipe may be another one."""
    if sys.platform == "win32":  # which cannot tell
        return True
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
