"""Tests of the git state and the versions that a manifest records."""

import subprocess
from pathlib import Path

from skline import engine
from skline.artifact.provenance import git_state, library_versions


def test_tree_is_dirty_only_if_files_other_than_results_differ(tmp_path: Path) -> None:
    assert git_state(tmp_path) == (None, None)
    for name in ("dvc.lock", "artifact.sha256", "reports/lineage.json", "params.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("first")
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for arguments in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "First"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    commit, dirty = git_state(tmp_path)
    assert commit is not None
    assert not dirty
    for name in ("dvc.lock", "artifact.sha256", "reports/lineage.json"):
        (tmp_path / name).write_text("second")
    assert git_state(tmp_path) == (commit, False)
    (tmp_path / "params.yaml").write_text("second")
    assert git_state(tmp_path) == (commit, True)


def test_versions_contain_the_engine() -> None:
    versions = library_versions()
    assert list(versions)[:2] == ["python", "skline"]
    assert versions["skline"] == engine.version()
