"""Whatever is started is stopped, and nothing else."""

import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest

from benchmarks.load.processes import ServerFailed, running, tell, until

# A server whose worker has left its group and is deaf to SIGTERM.
SERVER = textwrap.dedent("""
    import pathlib, signal, subprocess, sys, time
    worker = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", worker], start_new_session=True, stdout=subprocess.PIPE)
    child.stdout.readline()
    pathlib.Path("worker.pid").write_text(str(child.pid))
    time.sleep(600)
""")


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def alive(pid: int) -> bool:
    try:
        return state_of(pid) != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, ServerFailed])
def test_a_server_is_stopped_with_its_workers_however_the_visit_ends(tmp_path: Path, end: type[BaseException]) -> None:
    pid_file = tmp_path / "worker.pid"
    with pytest.raises(end), running([sys.executable, "-c", SERVER], {}, tmp_path, tmp_path / "log") as process:
        until(
            lambda: pid_file.is_file() and pid_file.read_text() != "",
            process,
            time.perf_counter(),
            30,
            tmp_path / "log",
        )
        worker = int(pid_file.read_text())
        assert alive(worker)
        raise end("enough")
    assert process.poll() is not None
    deadline = time.monotonic() + 10
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(worker)


def test_a_server_that_ends_is_told_by_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such model: /opt/models/flights')"]
    log = tmp_path / "log"
    with (
        running(command, {}, tmp_path, log) as process,
        pytest.raises(ServerFailed, match="status 1 before it answered: no such model: …$"),
    ):
        until(lambda: False, process, time.perf_counter(), 30, log)


def test_a_server_that_is_held_still_is_stopped_all_the_same(tmp_path: Path) -> None:
    with running([sys.executable, "-c", "import time; time.sleep(600)"], {}, tmp_path, tmp_path / "log") as process:
        tell(process.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 10
        while (state := state_of(process.pid)) != "T" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert state == "T"
    assert process.poll() is not None
