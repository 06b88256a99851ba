"""Start and stop of servers: a server is stopped with all of its descendants."""

import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest

from benchmarks.load.processes import ServerFailed, running, send_signal, wait_until

# A server whose worker is in another process group and ignores SIGTERM.
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


def is_alive(pid: int) -> bool:
    try:
        return state_of(pid) != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, ServerFailed])
def test_stops_server_and_workers_after_any_exception(tmp_path: Path, end: type[BaseException]) -> None:
    pid_file = tmp_path / "worker.pid"
    with pytest.raises(end), running([sys.executable, "-c", SERVER], {}, tmp_path, tmp_path / "log") as process:
        wait_until(
            lambda: pid_file.is_file() and pid_file.read_text() != "",
            process,
            time.perf_counter(),
            30,
            tmp_path / "log",
        )
        worker = int(pid_file.read_text())
        assert is_alive(worker)
        raise end("stop")
    assert process.poll() is not None
    deadline = time.monotonic() + 10
    while is_alive(worker) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(worker)


def test_error_of_server_that_exits_has_the_end_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such model: /opt/models/flights')"]
    log = tmp_path / "log"
    with (
        running(command, {}, tmp_path, log) as process,
        pytest.raises(ServerFailed, match="status 1 before its first response: no such model: …$"),
    ):
        wait_until(lambda: False, process, time.perf_counter(), 30, log)


def test_stops_paused_server(tmp_path: Path) -> None:
    with running([sys.executable, "-c", "import time; time.sleep(600)"], {}, tmp_path, tmp_path / "log") as process:
        send_signal(process.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 10
        while (state := state_of(process.pid)) != "T" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert state == "T"
    assert process.poll() is not None
