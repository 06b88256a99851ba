"""Tests of exit statuses and messages of stages and commands."""

import subprocess
import sys
from pathlib import Path

import pytest

from skline.entrypoint import BROKEN_PIPE_STATUS, INTERRUPTED_STATUS
from tests.fixtures.demo import ROOT

START = """
import resource, sys
from pathlib import Path
from skline.entrypoint import run_main

def main():
    path = Path(sys.argv[1])
"""
WRITES = {
    "text": "    from skline.files import write_text; write_text(path, 'x' * 9000)",
    "table": "    import numpy, pandas; from skline.files import write_table\n"
    "    write_table(path, pandas.DataFrame({'a': numpy.random.default_rng(0).random(9000)}))",
    "wrapped": "    try: path.with_name('.t').write_bytes(bytes(9000))\n"
    "    except OSError as error: raise RuntimeError('from a library') from error\n"
    "    finally: path.with_name('.t').unlink()",
}


def run_script(body: str, path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"{START}{body}\nrun_main(main)", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", WRITES)
def test_full_disk_is_one_line_and_keeps_the_existing_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text("before")
    # The limit would cut off the bytecode of modules that are imported for the first time, for all later processes.
    limit = "    sys.dont_write_bytecode = True\n    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))"
    done = run_script(f"{limit}\n{WRITES[kind]}", path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the disk is full, or a quota is used up (")
    assert done.stderr.count("\n") == 1
    assert [file.read_text() for file in tmp_path.iterdir()] == ["before"]


def test_full_database_is_reported_as_a_full_disk(tmp_path: Path) -> None:
    body = """
    import sqlite3
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA max_page_count = 3")
        connection.execute("CREATE TABLE t (a)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 900,)] * 99)
"""
    assert "error: the disk is full" in run_script(body, tmp_path / "t.db").stderr


def test_an_interrupt_is_one_line_and_leaves_no_half_written_file(tmp_path: Path) -> None:
    body = "    from skline.files import atomic_write\n    with atomic_write(path): raise KeyboardInterrupt"
    done = run_script(body, tmp_path / "t")
    assert (done.returncode, done.stdout) == (INTERRUPTED_STATUS, "")
    assert done.stderr.startswith("interrupted; ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_other_exception_keeps_its_traceback(tmp_path: Path) -> None:
    done = run_script("    raise OSError(13, 'not allowed')", tmp_path / "t")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("options", [[], ["-u"]])
def test_closed_pipe_ends_the_process_quietly(options: list[str]) -> None:
    code = "from skline.entrypoint import run_main; run_main(lambda: [print('x' * 1000) for _ in range(1000)] and None)"
    with subprocess.Popen(
        [sys.executable, *options, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == BROKEN_PIPE_STATUS


def test_closed_pipe_other_than_stdout_keeps_its_traceback(tmp_path: Path) -> None:
    done = run_script("    raise BrokenPipeError('elsewhere')", tmp_path / "t")
    assert "BrokenPipeError: elsewhere" in done.stderr


def test_all_output_is_written_before_the_process_exits(tmp_path: Path) -> None:
    done = run_script("    print('x' * 100_000)", tmp_path / "t")
    assert (done.returncode, len(done.stdout)) == (0, 100_001)


def test_division_by_zero_keeps_its_traceback(tmp_path: Path) -> None:
    done = run_script("    1 / 0", tmp_path / "t")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_missing_library_is_one_line_with_the_extras(tmp_path: Path) -> None:
    done = run_script("    import a_library_that_is_not_installed.part", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the module 'a_library_that_is_not_installed' is not installed")
    assert "skline[serving]" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("module", ["river", "river.drift", "duckdb"])
def test_missing_library_of_monitoring_is_one_line_with_its_extra(module: str, tmp_path: Path) -> None:
    done = run_script(f"    sys.modules[{module!r}] = None; import {module}", tmp_path)
    assert done.returncode == 1
    assert "uv add --group train 'skline[monitor]'" in done.stderr
    assert "skline[serving]" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_missing_module_of_the_project_keeps_its_traceback(tmp_path: Path) -> None:
    done = run_script("    import skline.no_such_module", tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_project_in_the_current_folder_is_imported_before_any_other(tmp_path: Path) -> None:
    for name in ("src/model", "serving"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "src/model/__init__.py").write_text("OWNER = 'this project'")
    (tmp_path / "serving/app.py").write_text("OWNER = 'this service'")
    code = f"{START}    import model, serving.app\n    print(model.OWNER, serving.app.OWNER)\nrun_main(main)"
    done = subprocess.run(
        [sys.executable, "-c", code, "x"], cwd=tmp_path, env={}, capture_output=True, text=True, check=False
    )
    assert done.stdout == "this project this service\n", done.stderr
