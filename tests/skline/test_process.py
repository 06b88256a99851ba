"""How a stage or a command ends: a mistake is one line, and so is a full disk; a defect keeps its trace."""

import subprocess
import sys
from pathlib import Path

import pytest

START = """
import resource, sys
from pathlib import Path
from skline.process import run

def main():
    path = Path(sys.argv[1])
"""
LONG = {
    "text": "    from skline.files import write_text; write_text(path, 'x' * 9000)",
    "table": "    import numpy, pandas; from skline.files import write_table\n"
    "    write_table(path, pandas.DataFrame({'a': numpy.random.default_rng(0).random(9000)}))",
    "wrapped": "    try: path.with_name('.t').write_bytes(bytes(9000))\n"
    "    except OSError as error: raise RuntimeError('from a library') from error\n"
    "    finally: path.with_name('.t').unlink()",
}


def carried_out(body: str, path: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", f"{START}{body}\nrun(main)", str(path)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", LONG)
def test_a_full_disk_is_one_line_and_leaves_what_was_there(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text("before")
    done = carried_out(f"    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n{LONG[kind]}", path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the disk is full, or a quota is used up (")
    assert done.stderr.count("\n") == 1
    assert [file.read_text() for file in tmp_path.iterdir()] == ["before"]


def test_a_full_database_is_a_full_disk(tmp_path: Path) -> None:
    body = """
    import sqlite3
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA max_page_count = 3")
        connection.execute("CREATE TABLE t (a)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 900,)] * 99)
"""
    assert "error: the disk is full" in carried_out(body, tmp_path / "t.db").stderr


def test_a_defect_keeps_its_trace(tmp_path: Path) -> None:
    done = carried_out("    raise OSError(13, 'not allowed')", tmp_path / "t")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
