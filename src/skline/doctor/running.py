"""Whether DVC runs a stage: until it ends, outputs are missing or half of them new, which is no fault."""

import json
from pathlib import Path

from skline.doctor.findings import Finding

#: The paths that stages read and write at present, and the processes of DVC that run them.
RWLOCK = Path(".dvc/tmp/rwlock")
#: Checks that compare outputs of the pipeline.
OUTPUT_CHECKS = ("contract", "dvc", "remote", "artifact", "image")


def running_process() -> int | None:
    """Return the id of a process of DVC that runs a stage of the project in the current folder; None without one.

    A process that was killed leaves its id in the file, as DVC itself assumes: it does not count.
    """
    import psutil

    try:
        locks = json.loads(RWLOCK.read_text(encoding="utf-8"))
        pids = {int(writer["pid"]) for writer in locks.get("write", {}).values()}
    except (OSError, ValueError, AttributeError, KeyError, TypeError):  # none, or written right now
        return None
    return next((pid for pid in sorted(pids) if psutil.pid_exists(pid)), None)


def report_running(pid: int) -> Finding:
    """Return the finding in place of the checks of outputs."""
    message = f"the pipeline is running (process {pid}), so its outputs change: {', '.join(OUTPUT_CHECKS)} not checked"
    return Finding("warning", message, "uv run skline doctor, when it has ended")
