"""What a manifest says of the code that a pipeline was fitted by."""

import subprocess
from pathlib import Path

from skline.origin import git_state


def test_results_of_the_line_make_no_tree_dirty_and_everything_else_does(tmp_path: Path) -> None:
    assert git_state(tmp_path) == (None, None)
    for name in ("dvc.lock", "artifact.sha256", "reports/lineage.json", "params.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("first")
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "First"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    commit, dirty = git_state(tmp_path)
    assert commit is not None
    assert not dirty
    for name in ("dvc.lock", "artifact.sha256", "reports/lineage.json"):
        (tmp_path / name).write_text("second")
    assert git_state(tmp_path) == (commit, False)
    (tmp_path / "params.yaml").write_text("second")
    assert git_state(tmp_path) == (commit, True)
