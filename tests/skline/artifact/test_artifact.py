"""Tests of writing, verifying and loading artifacts."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import joblib
import pytest

from skline import artifact
from skline.artifact import Artifact, InvalidArtifact, read_digest
from skline.scoring.golden_verification import verify_golden_rows
from tests.fixtures import demo


@pytest.fixture
def artifact_copy(packaged: demo.Packaged, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packaged.folder, tmp_path / "artifact"))


def test_unchanged_artifact_opens_and_predicts_its_golden_rows(packaged: demo.Packaged) -> None:
    opened = Artifact.open(packaged.folder, packaged.digest)
    verify_golden_rows(opened, opened.load_pipeline())
    assert opened.version == f"demo@{packaged.digest[:12]}"
    assert opened.contract == demo.contract()


def test_golden_rows_contain_an_unseen_category_and_a_missing_value(packaged: demo.Packaged) -> None:
    rows = Artifact.open(packaged.folder, packaged.digest).golden.rows
    known = set(demo.parts()["train"]["dest"])
    assert any(row["dest"] not in known for row in rows)
    assert any(row["distance"] is None for row in rows)


def test_command_verifies_golden_rows_in_a_new_process(packaged: demo.Packaged) -> None:
    command = [sys.executable, "-m", "skline.scoring.golden_verification", str(packaged.folder), packaged.digest]
    done = subprocess.run(command, capture_output=True, text=True, cwd=demo.ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "golden rows equal" in done.stdout


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: flip(f / artifact.PIPELINE), "does not have the sha256"),
        (lambda f: flip(f / artifact.CONTRACT), "does not have the sha256"),
        (lambda f: (f / artifact.GOLDEN).unlink(), "cannot be read"),
        (lambda f: (f / artifact.MANIFEST).write_text("{}"), "was changed, or is another artifact's"),
        (lambda f: (f / "sitecustomize.py").write_text("x"), "does not list"),
        (lambda f: replace_by_pipe(f / artifact.GOLDEN), "is no regular file"),
        (shutil.rmtree, "cannot be read"),
    ],
)
def test_rejects_a_changed_artifact(
    artifact_copy: Path, packaged: demo.Packaged, damage: Callable[[Path], object], message: str
) -> None:
    damage(artifact_copy)
    with pytest.raises(InvalidArtifact, match=message):
        Artifact.open(artifact_copy, packaged.digest)


def test_rejects_a_pipeline_that_does_not_predict_the_golden_rows(packaged: demo.Packaged) -> None:
    opened = Artifact.open(packaged.folder, packaged.digest)
    other = opened.load_pipeline()
    other[-1]._baseline_prediction += 1e-9
    with pytest.raises(InvalidArtifact, match="golden row 0 gets"):
        verify_golden_rows(opened, other)


class FileCreator:
    """An object whose pickle creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, (f"open({str(self.path)!r}, 'w')",))


def test_deserialises_nothing_before_the_digest_is_verified(
    artifact_copy: Path, packaged: demo.Packaged, tmp_path: Path
) -> None:
    joblib.dump(FileCreator(tmp_path / "created"), artifact_copy / artifact.PIPELINE)
    manifest = json.loads((artifact_copy / artifact.MANIFEST).read_text())
    manifest["files"][artifact.PIPELINE] = (
        __import__("hashlib").sha256((artifact_copy / artifact.PIPELINE).read_bytes()).hexdigest()
    )
    (artifact_copy / artifact.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InvalidArtifact):
        Artifact.open(artifact_copy, packaged.digest).load_pipeline()
    assert not (tmp_path / "created").exists()


def test_error_for_an_unreadable_pipeline_names_its_libraries(packaged: demo.Packaged) -> None:
    opened = Artifact.open(packaged.folder, packaged.digest)
    broken = Artifact(**{**opened.__dict__, "content": {**opened.content, artifact.PIPELINE: b"no pickle"}})
    with pytest.raises(InvalidArtifact, match="scikit-learn"):
        broken.load_pipeline()


def test_failed_write_keeps_the_existing_artifact(packaged: demo.Packaged, artifact_copy: Path) -> None:
    def fail(_: Path) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        artifact.write(artifact_copy, {"a": b"1", "b": fail}, {})
    assert Artifact.open(artifact_copy, packaged.digest).digest == packaged.digest
    assert [path.name for path in artifact_copy.parent.iterdir()] == ["artifact"]


def test_a_missing_digest_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArtifact, match=r"there is no .*artifact\.sha256; run `dvc repro` in the root"):
        read_digest(tmp_path / "artifact.sha256")


@pytest.mark.parametrize("content", ["", "abc", "Z" * 64])
def test_rejects_a_digest_file_without_a_digest(tmp_path: Path, content: str) -> None:
    path = tmp_path / "artifact.sha256"
    path.write_text(content)
    with pytest.raises(InvalidArtifact, match="holds no sha256"):
        read_digest(path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"../other.txt": b"other"}, "'../other.txt' is not the name of a file"),
        ({artifact.CONTRACT: None}, "does not list contract.json"),
        ({artifact.CONTRACT: b"[]"}, "cannot read"),
        ({artifact.GOLDEN: b"{}"}, "cannot read"),
        ({artifact.CARD: b"\xff"}, "cannot read"),
    ],
)
def test_rejects_an_artifact_that_its_writer_made_unusable(
    artifact_copy: Path, files: dict[str, bytes | None], message: str
) -> None:
    manifest = json.loads((artifact_copy / artifact.MANIFEST).read_text())
    for name, content in files.items():
        if content is None:
            (artifact_copy / name).unlink()
            del manifest["files"][name]
        else:
            (artifact_copy / name).write_bytes(content)
            manifest["files"][name] = hashlib.sha256(content).hexdigest()
    text = json.dumps(manifest).encode()
    (artifact_copy / artifact.MANIFEST).write_bytes(text)
    with pytest.raises(InvalidArtifact, match=message):
        Artifact.open(artifact_copy, hashlib.sha256(text).hexdigest())
