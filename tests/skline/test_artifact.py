"""An artifact is loaded whole and unchanged, or not at all."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import joblib
import pytest

from skline import artifact
from skline.artifact import Artifact, ArtifactRefused, read_digest
from skline.scoring.golden import prove
from tests import demo


@pytest.fixture
def copy(packaged: demo.Packaged, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packaged.folder, tmp_path / "artifact"))


def test_an_untouched_artifact_opens_and_answers_its_golden_rows(packaged: demo.Packaged) -> None:
    opened = Artifact.open(packaged.folder, packaged.digest)
    prove(opened, opened.load_pipeline())
    assert opened.version == f"demo@{packaged.digest[:12]}"
    assert opened.contract == demo.contract()


def test_golden_rows_hold_an_unseen_category_and_a_missing_value(packaged: demo.Packaged) -> None:
    rows = Artifact.open(packaged.folder, packaged.digest).golden.rows
    known = set(demo.parts()["train"]["dest"])
    assert any(row["dest"] not in known for row in rows)
    assert any(row["distance"] is None for row in rows)


def test_a_new_process_proves_it(packaged: demo.Packaged) -> None:
    command = [sys.executable, "-m", "skline.scoring.golden", str(packaged.folder), packaged.digest]
    done = subprocess.run(command, capture_output=True, text=True, cwd=demo.ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "golden rows equal" in done.stdout


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda f: flip(f / artifact.PIPELINE), "does not have the sha256"),
        (lambda f: flip(f / artifact.CONTRACT), "does not have the sha256"),
        (lambda f: (f / artifact.GOLDEN).unlink(), "cannot be read"),
        (lambda f: (f / artifact.MANIFEST).write_text("{}"), "was changed, or is another artifact's"),
        (lambda f: (f / "sitecustomize.py").write_text("x"), "does not list"),
        (shutil.rmtree, "cannot be read"),
    ],
)
def test_a_changed_artifact_is_refused(
    copy: Path, packaged: demo.Packaged, harm: Callable[[Path], object], message: str
) -> None:
    harm(copy)
    with pytest.raises(ArtifactRefused, match=message):
        Artifact.open(copy, packaged.digest)


def test_another_pipeline_in_place_of_the_packaged_one_fails_its_golden_rows(packaged: demo.Packaged) -> None:
    opened = Artifact.open(packaged.folder, packaged.digest)
    other = opened.load_pipeline()
    other[-1]._baseline_prediction += 1e-9
    with pytest.raises(ArtifactRefused, match="golden row 0 gets"):
        prove(opened, other)


class Harm:
    """A pickle that would touch a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, (f"open({str(self.path)!r}, 'w')",))


def test_no_byte_is_deserialised_before_the_digest_is_right(
    copy: Path, packaged: demo.Packaged, tmp_path: Path
) -> None:
    joblib.dump(Harm(tmp_path / "harm"), copy / artifact.PIPELINE)
    manifest = json.loads((copy / artifact.MANIFEST).read_text())
    manifest["files"][artifact.PIPELINE] = (
        __import__("hashlib").sha256((copy / artifact.PIPELINE).read_bytes()).hexdigest()
    )
    (copy / artifact.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ArtifactRefused):
        Artifact.open(copy, packaged.digest).load_pipeline()
    assert not (tmp_path / "harm").exists()


def test_an_unreadable_pipeline_names_the_libraries_it_was_made_with(packaged: demo.Packaged) -> None:
    opened = Artifact.open(packaged.folder, packaged.digest)
    broken = Artifact(**{**opened.__dict__, "content": {**opened.content, artifact.PIPELINE: b"no pickle"}})
    with pytest.raises(ArtifactRefused, match="scikit-learn"):
        broken.load_pipeline()


def test_a_failed_write_leaves_the_artifact_that_was_there(packaged: demo.Packaged, copy: Path) -> None:
    def fail(_: Path) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        artifact.write(copy, {"a": b"1", "b": fail}, {})
    assert Artifact.open(copy, packaged.digest).digest == packaged.digest
    assert [path.name for path in copy.parent.iterdir()] == ["artifact"]


@pytest.mark.parametrize("content", [None, "", "abc", "Z" * 64])
def test_a_digest_file_without_a_digest_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "artifact.sha256"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ArtifactRefused, match="holds no sha256"):
        read_digest(path)
