"""An artifact of format 1, which named time and commit of its fit, is read as it is; an unknown format is not."""

import hashlib
import json
from pathlib import Path

import pytest

from skline.artifact import MANIFEST, Artifact, InvalidArtifact
from skline.stages.evaluate import verify_golden_rows
from tests.fixtures import demo


def rewrite_manifest(folder: Path, **changes: object) -> str:
    """Change keys of a manifest, and return the digest."""
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_artifact_of_format_1_is_served(tmp_path: Path) -> None:
    packaged = demo.package(tmp_path / "artifact")
    run = {"created_at": "2026-01-01T00:00:00+00:00", "git_commit": "aa35de4", "git_dirty": False}
    opened = Artifact.open(packaged.folder, rewrite_manifest(packaged.folder, format=1, **run))
    assert opened.manifest.format == 1
    verify_golden_rows(opened.load_pipeline(), opened.contract, opened.golden)


def test_another_format_is_rejected_with_the_next_step(tmp_path: Path) -> None:
    packaged = demo.package(tmp_path / "artifact")
    digest = rewrite_manifest(packaged.folder, format=3)
    with pytest.raises(InvalidArtifact, match="has format 3, this version reads .*; package .* again with `dvc repro`"):
        Artifact.open(packaged.folder, digest)
