"""Tests that `copier update` merges a template's changes into an edited project. Only the files are looked at."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.template.rendering import answers, append, commit, copier, edit, git, requirement

pytestmark = pytest.mark.slow

WORKFLOW = ".github/workflows/ci.yml"


@pytest.fixture
def improved(template: Path, tmp_path: Path) -> Path:
    """A template with two more tags, each of which changes files of every owner."""
    folder = tmp_path / "template"
    shutil.copytree(template, folder)
    for version in ("v1.1.0", "v1.2.0"):
        for name in ("Dockerfile", WORKFLOW, "params.yaml", "src/model/contract.py", "tests/model/test_contract.py"):
            append(folder, name, f"# {version}\n")
        append(folder, "justfile.jinja", f"\n# {version}\n")
        append(folder, "src/skline/features/time.py", f"\n# {version}\n")
        append(folder, "data/source/README.md", f"The demo's {version}.\n")
        append(folder, "data/source/demo.csv", f"{version}\n")
        append(folder, "README.md.jinja", f"{version}\n")
        append(folder, "engine.json", f"{version}\n")
        append(folder, "dvc.lock", f"# {version}\n")
        append(folder, "src/model/placeholders.json", f"{version}\n")
        commit(folder, version, version)
    return folder


def make_edits(folder: Path) -> Path:
    """Edit files of every owner in a project, and commit the edits."""
    edit(folder, "params.yaml", "name: flights", "name: churn")
    edit(folder, "src/model/contract.py", "Distance between", "How far apart are")
    edit(folder, "serving/app.py", "app = create_app()", "app = create_app()  # ours")
    edit(folder, WORKFLOW, "timeout-minutes: 40", "timeout-minutes: 55")
    edit(folder, "pyproject.toml", "dependencies = []", 'dependencies = ["tabulate>=0.9"]')
    (folder / "README.md").write_text("# Churn\n")
    (folder / "tests/model/test_contract.py").write_text("# ours\n")
    (folder / "data/source/README.md").unlink()
    (folder / "src/model/placeholders.json").unlink()
    (folder / ".dockerignore").unlink()
    append(folder, "data/source/churn.csv", "a,b\n")
    append(folder, "dvc.lock", "ours\n")
    append(folder, "src/ours.py", "# ours\n")
    commit(folder, "ours")
    return folder


def assert_updated(folder: Path, template: Path, version: str) -> None:
    """Assert that a project edited by `make_edits` has the template's changes and all of its own edits."""
    assert answers(folder)["_commit"] == version
    assert requirement(folder)["rev"] == git(template, "rev-parse", f"{version}^{{commit}}").strip()
    for name in ("Dockerfile", WORKFLOW, "justfile"):
        assert f"# {version}\n" in (folder / name).read_text(), name
    assert "timeout-minutes: 55" in (folder / WORKFLOW).read_text()
    assert "tabulate" in (folder / "pyproject.toml").read_text()
    for name in ("params.yaml", "src/model/contract.py", "engine.json"):
        assert "v1." not in (folder / name).read_text().replace("0.1.", ""), name
    assert "name: churn" in (folder / "params.yaml").read_text()
    assert "How far apart are" in (folder / "src/model/contract.py").read_text()
    assert "# ours" in (folder / "serving/app.py").read_text()
    assert (folder / "README.md").read_text() == "# Churn\n"
    assert (folder / "tests/model/test_contract.py").read_text() == "# ours\n"
    assert (folder / "dvc.lock").read_text() == "ours\n"
    assert (folder / "src/ours.py").read_text() == "# ours\n"
    assert {path.name for path in (folder / "data/source").iterdir()} == {"churn.csv"}
    assert not (folder / "src/model/placeholders.json").exists()
    assert not (folder / ".dockerignore").exists()
    assert {path.name for path in (folder / "src").iterdir()} == {"model", "ours.py"}
    marks = subprocess.run(["git", "grep", "-lE", "^(<<<<<<< |>>>>>>> )"], cwd=folder, capture_output=True, check=False)
    assert marks.stdout == b""
    assert not list(folder.rglob("*.rej"))


def test_two_updates_keep_edits_and_merge_improvements(improved: Path, tmp_path: Path) -> None:
    copier(tmp_path, "copy", "--vcs-ref", "v1.0.0", str(improved), "churn")
    project = make_edits(tmp_path / "churn")
    copier(project, "update", "--vcs-ref", "v1.1.0")
    assert_updated(project, improved, "v1.1.0")
    commit(project, "update to v1.1.0")
    copier(project, "update")
    assert_updated(project, improved, "v1.2.0")


def test_update_may_skip_a_tag_and_shows_conflicts(improved: Path, tmp_path: Path) -> None:
    copier(tmp_path, "copy", "--vcs-ref", "v1.0.0", str(improved), "churn")
    project = make_edits(tmp_path / "churn")
    copier(project, "update")
    assert_updated(project, improved, "v1.2.0")
    commit(project, "update to v1.2.0")

    edit(improved, "Dockerfile", "# v1.2.0", "# theirs")
    commit(improved, "theirs", "v1.3.0")
    edit(project, "Dockerfile", "# v1.2.0", "# ours")
    commit(project, "our conflicting edit")
    copier(project, "update")
    text = (project / "Dockerfile").read_text()
    assert re.search(r"<<<<<<< before updating\n# ours\n=======\n# theirs\n>>>>>>> after updating", text)


def test_update_deletes_a_file_that_the_template_no_longer_has(improved: Path, tmp_path: Path) -> None:
    copier(tmp_path, "copy", "--vcs-ref", "v1.0.0", str(improved), "churn")
    commit(tmp_path / "churn", "start")
    (improved / ".python-version").unlink()
    commit(improved, "without .python-version", "v1.3.0")
    copier(tmp_path / "churn", "update")
    assert not (tmp_path / "churn/.python-version").exists()
