"""End a process when the one that started it is gone, even if that was killed."""

import os
import signal
import threading
import time

POLL_SECONDS = 0.2


def end_with_parent() -> None:
    """Terminate this process as SIGTERM does, shortly after its parent has ended.

    A stage that outlives a killed `dvc repro` would write its results into the next run, after DVC has recorded those
    of the same stage there.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
