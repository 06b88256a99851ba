"""Tests of the state of the working tree that a run records."""

import subprocess
from pathlib import Path

from skline.registry.working_tree import committed_text, describe_uncommitted, git_state, uncommitted_diff


def test_tree_is_dirty_only_if_files_other_than_results_differ(tmp_path: Path) -> None:
    assert git_state(tmp_path) == (None, None)
    assert describe_uncommitted(tmp_path) is None
    for name in ("dvc.lock", "artifact.sha256", "reports/lineage.json", "releases/registered.jsonl", "params.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("first")
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for arguments in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "First"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    assert describe_uncommitted(tmp_path) is None
    commit, dirty = git_state(tmp_path)
    assert commit is not None
    assert not dirty
    for name in ("dvc.lock", "artifact.sha256", "reports/lineage.json", "releases/registered.jsonl"):
        (tmp_path / name).write_text("second")
    assert git_state(tmp_path) == (commit, False)
    assert (
        describe_uncommitted(tmp_path)
        == "to commit: git add dvc.lock artifact.sha256 reports releases/registered.jsonl"
    )
    (tmp_path / "params.yaml").write_text("second")
    assert git_state(tmp_path) == (commit, True)
    assert describe_uncommitted(tmp_path, ["artifact.sha256", "params.yaml"]).endswith(
        " git add artifact.sha256 params.yaml"
    )

    assert committed_text(tmp_path, "params.yaml") == "first"
    assert committed_text(tmp_path, "missing.yaml") is None
    diff = uncommitted_diff(tmp_path)
    assert "params.yaml" in diff
    assert "dvc.lock" not in diff
