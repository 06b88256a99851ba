"""Files are whole or not there."""

from pathlib import Path

import pytest

from skline.errors import SklineError
from skline.files import read_json, read_table, replacing, sha256, write_json


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_json_holds_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "f.json", {"a": float("nan")})
    assert not (tmp_path / "f.json").exists()


def test_missing_and_broken_files_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SklineError, match="run `dvc repro` to make it"):
        read_json(tmp_path / "absent.json")
    with pytest.raises(SklineError, match="run `dvc repro` to make it"):
        read_table(tmp_path / "absent.parquet")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(SklineError, match="not readable as JSON"):
        read_json(tmp_path / "broken.json")


def test_sha256_is_the_standards(tmp_path: Path) -> None:
    (tmp_path / "abc").write_text("abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
