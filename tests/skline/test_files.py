"""Tests of atomic writes, and of errors about missing and invalid files."""

import fcntl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from skline.errors import SklineError
from skline.files import (
    JsonLines,
    append_line,
    atomic_folder,
    atomic_write,
    read_json,
    read_json_lines,
    read_table,
    remove_leftovers,
    sha256,
    write_json,
)
from tests.fixtures.disk import fill_disk, small_disk


class Note(BaseModel):
    text: str


def test_failed_write_keeps_the_existing_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    write_json(path, {"a": 1})
    assert path.stat().st_mode & 0o777 == 0o644
    path.chmod(0o640)
    write_json(path, {"a": 2})
    assert path.stat().st_mode & 0o777 == 0o640


def test_folder_is_replaced_as_a_whole_or_stays(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    for content in ("first", "second"):
        with atomic_folder(folder) as new:
            (new / content).write_text(content)
        assert [path.name for path in folder.iterdir()] == [content]
    with pytest.raises(RuntimeError), atomic_folder(folder) as new:
        (new / "third").write_text("half")
        raise RuntimeError
    assert [path.name for path in folder.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [folder]


def test_rejects_nan_in_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "f.json", {"a": float("nan")})
    assert not (tmp_path / "f.json").exists()


def test_error_for_a_missing_or_invalid_file_names_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(SklineError, match="run `dvc repro` to create it"):
        read_json(tmp_path / "absent.json")
    with pytest.raises(SklineError, match="run `dvc repro` to create it"):
        read_table(tmp_path / "absent.parquet")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(SklineError, match="not valid JSON"):
        read_json(tmp_path / "broken.json")


def test_sha256_matches_the_standard_s_example(tmp_path: Path) -> None:
    (tmp_path / "abc").write_text("abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(texts=st.lists(st.text(), min_size=1, max_size=4), cut=st.integers(min_value=1, max_value=40))
def test_lines_after_one_that_a_crash_has_cut_off_are_read(
    texts: list[str], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("lines") / "notes.jsonl"
    notes = tuple(Note(text=text) for text in texts)
    for note in notes:
        append_line(path, note.model_dump_json().encode())
    last = notes[-1].model_dump_json().encode() + b"\n"
    kept = max(len(last) - cut, 0)
    path.write_bytes(path.read_bytes()[: -len(last)] + last[:kept])
    append_line(path, Note(text="later").model_dump_json().encode())
    read = read_json_lines(path, Note)
    complete = notes if cut == 1 else notes[:-1]  # the last byte is the line break
    assert read.values == (*complete, Note(text="later"))
    assert read.damaged_lines == ((len(notes),) if cut > 1 and kept else ())


def test_line_that_does_not_fit_on_the_disk_leaves_the_file_unchanged(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k"):
        path = tmp_path / "disk" / "notes.jsonl"
        append_line(path, Note(text="first").model_dump_json().encode())
        before, disk = path.read_bytes(), fill_disk(tmp_path / "disk")
        next(disk)
        with pytest.raises(SklineError, match="No space left on device.*unchanged"):
            append_line(path, Note(text="x" * 8192).model_dump_json().encode())
        assert path.read_bytes() == before
        list(disk)
        append_line(path, Note(text="later").model_dump_json().encode())
        read = read_json_lines(path, Note)
    assert read.values == (Note(text="first"), Note(text="later"))
    assert read.damaged_lines == ()


def test_appending_waits_for_another_process_that_appends(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_bytes(b"half a line of ano")
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with ThreadPoolExecutor(1) as pool:
            appended = pool.submit(append_line, path, Note(text="mine").model_dump_json().encode())
            with pytest.raises(TimeoutError):
                appended.result(0.2)
            other.write(b"ther process\n")
            other.flush()
            fcntl.flock(other, fcntl.LOCK_UN)
            appended.result(10)
    assert path.read_bytes() == b'half a line of another process\n{"text":"mine"}\n'


def test_missing_file_has_no_lines_and_an_unreadable_one_is_reported(tmp_path: Path) -> None:
    assert read_json_lines(tmp_path / "absent.jsonl", Note) == JsonLines()
    with pytest.raises(SklineError, match="cannot be read: Is a directory"):
        read_json_lines(tmp_path, Note)


def test_leftovers_of_killed_processes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "table.parquet").write_bytes(b"1")
    (tmp_path / ".table.parquet.x1y2").write_bytes(b"half")
    (tmp_path / ".parsed.z3").mkdir()
    (tmp_path / ".parsed.z3/0.arrow").write_bytes(b"half")
    remove_leftovers(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["table.parquet"]
