"""Projects made from the template with Copier, and taken through its updates."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.template.rendering import ROOT, commit, copier, copy_root, files, git, owned, run

RENDERED = {"README.md", ".copier-answers.yml"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as it is, tagged v1.0.0."""
    return copy_root(tmp_path_factory.mktemp("copier") / "template")


@pytest.fixture(scope="module")
def rendered(template: Path) -> Path:
    """A project made by the one command of the README; nobody is there to answer a question."""
    copier(template.parent, "copy", str(template), "churn")
    return template.parent / "churn"


def test_a_project_is_the_root_byte_for_byte(rendered: Path) -> None:
    copied = files(rendered) - RENDERED
    assert len(copied) > 200
    for name in copied:
        assert (rendered / name).read_bytes() == (ROOT / name).read_bytes(), name
        assert os.access(rendered / name, os.X_OK) == os.access(ROOT / name, os.X_OK), name
    left_out = re.compile(
        r"copier\.yml|README\.md|.*\.jinja|dvc\.lock|artifact\.sha256|(reports|benchmarks|tests/template|"
        r"tests/benchmarks|docs/benchmarks|docs/decisions)/.*"
    )
    assert {name for name in owned() if not left_out.fullmatch(name)} == copied
    answers = yaml.safe_load((rendered / ".copier-answers.yml").read_text())
    assert answers["_commit"] == "v1.0.0"


def test_links_of_a_project_lead_somewhere(rendered: Path) -> None:
    pages = [rendered / "README.md", *(rendered / "docs").rglob("*.md")]
    assert len(pages) > 4
    for page in pages:
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            assert "://" in link or (page.parent / link).exists(), f"{page.relative_to(rendered)} links to {link}"


def test_what_git_ignores_is_not_copied_out_of_a_plain_folder(tmp_path: Path) -> None:
    copy_root(tmp_path / "template")
    shutil.rmtree(tmp_path / "template/.git")
    junk = (
        "data/raw/table.parquet", "data/contract.json", "models/pipeline.joblib", "artifact/manifest.json",
        ".venv/bin/x", ".venv-3.12/x", "mlflow.db", "mlflow.db-wal", "mlruns/0/meta.yaml", "logs/predictions.db",
        "keys.json", ".env", "uv.lock", "src/skline/__pycache__/cli.pyc", ".dvc/cache/files/x",
        ".dvc/tmp/lock", ".dvc/config.local",
        ".dvc/plots/page.html", "reports/plots/roc.csv", "dvc_plots/index.html", ".pytest_cache/x", "dist/x.whl",
    )  # fmt: skip
    for name in junk:
        (tmp_path / "template" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "template" / name).write_text("junk")
    copier(tmp_path, "copy", str(tmp_path / "template"), "churn")
    project = tmp_path / "churn"
    assert not files(project) & set(junk)
    assert {path.name for path in project.iterdir() if path.is_dir()} <= {Path(name).parts[0] for name in owned()}
    assert not [path for path in project.rglob("*") if path.is_dir() and not any(path.iterdir())]


def edit(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text()
    assert old in text, f"{name} has no {old!r}"
    (folder / name).write_text(text.replace(old, new, 1))


def append(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a") as file:
        file.write(text)


@pytest.fixture
def improved(template: Path, tmp_path: Path) -> Path:
    """The template with two more tags, each of which improves files of every kind."""
    folder = tmp_path / "template"
    shutil.copytree(template, folder)
    for version in ("v1.1.0", "v1.2.0"):
        append(folder, "src/skline/features.py", f"\n# improved in {version}\n")
        append(folder, f"src/skline/{version.replace('.', '_')}.py", '"""New."""\n')
        append(folder, "params.yaml", f"# the demo's {version}\n")
        append(folder, "src/model/contract.py", f"# the demo's {version}\n")
        append(folder, "data/source/README.md", f"The demo's {version}.\n")
        append(folder, "data/source/demo.csv", f"{version}\n")
        append(folder, "tests/demo.py", f"# {version}\n")
        append(folder, "README.md.jinja", f"{version}\n")
        append(folder, "dvc.lock", f"# {version}\n")
        append(folder, "src/model/placeholders.json", f"{version}\n")
        commit(folder, version, version)
    return folder


def begun(folder: Path) -> Path:
    """Give a project edits of every kind, and commit them."""
    edit(folder, "params.yaml", "name: flights", "name: churn")
    edit(folder, "src/model/contract.py", "Distance between", "How far apart are")
    edit(folder, "src/skline/features.py", '"""', '"""Edited here. ')
    (folder / "README.md").write_text("# Churn\n")
    (folder / "data/source/README.md").unlink()
    (folder / "src/model/placeholders.json").unlink(missing_ok=True)
    (folder / "tests/demo.py").unlink()
    append(folder, "data/source/churn.csv", "a,b\n")
    append(folder, "dvc.lock", "ours\n")
    append(folder, "reports/metrics.json", "{}\n")
    if not (folder / ".git").exists():
        git(folder, "init", "-qb", "main")
    commit(folder, "ours")
    return folder


def updated(folder: Path, version: str) -> None:
    """Assert that a project with the edits of `begun` has the template's improvements, and all of its edits."""
    assert yaml.safe_load((folder / ".copier-answers.yml").read_text())["_commit"] == version
    features = (folder / "src/skline/features.py").read_text()
    assert features.startswith('"""Edited here. ')
    assert f"# improved in {version}\n" in features
    assert (folder / f"src/skline/{version.replace('.', '_')}.py").is_file()
    for name in ("params.yaml", "src/model/contract.py"):
        assert "the demo's v1" not in (folder / name).read_text()
    assert "name: churn" in (folder / "params.yaml").read_text()
    assert "How far apart are" in (folder / "src/model/contract.py").read_text()
    assert (folder / "README.md").read_text() == "# Churn\n"
    assert (folder / "dvc.lock").read_text().endswith("ours\n")
    assert {path.name for path in (folder / "data/source").iterdir()} == {"churn.csv"}
    assert not (folder / "src/model/placeholders.json").exists()
    assert not (folder / "tests/demo.py").exists()
    marks = subprocess.run(["git", "grep", "-lE", "^(<<<<<<< |>>>>>>> )"], cwd=folder, capture_output=True, check=False)
    assert marks.stdout == b""
    assert not list(folder.rglob("*.rej"))


@pytest.mark.slow
def test_an_update_across_two_tags_keeps_edits_and_merges_improvements(improved: Path, tmp_path: Path) -> None:
    copier(tmp_path, "copy", "--vcs-ref", "v1.0.0", str(improved), "churn")
    project = begun(tmp_path / "churn")
    copier(project, "update", "--vcs-ref", "v1.1.0")
    updated(project, "v1.1.0")
    commit(project, "one further")
    copier(project, "update")
    updated(project, "v1.2.0")


@pytest.mark.slow
def test_an_update_may_leave_out_a_tag_and_shows_conflicts(improved: Path, tmp_path: Path) -> None:
    copier(tmp_path, "copy", "--vcs-ref", "v1.0.0", str(improved), "churn")
    project = begun(tmp_path / "churn")
    copier(project, "update")
    updated(project, "v1.2.0")
    commit(project, "two further")

    edit(improved, "src/skline/features.py", "# improved in v1.2.0", "# theirs")
    commit(improved, "theirs", "v1.3.0")
    edit(project, "src/skline/features.py", "# improved in v1.2.0", "# ours")
    commit(project, "ours, too")
    copier(project, "update")
    text = (project / "src/skline/features.py").read_text()
    assert re.search(r"<<<<<<< before updating\n# ours\n=======\n# theirs\n>>>>>>> after updating", text)


@pytest.mark.slow
def test_a_clone_that_was_never_rendered_joins_the_updates_as_documented(improved: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs/template.md").read_text()
    git(tmp_path, "clone", "-q", "--branch", "v1.0.0", str(improved), "churn")
    project = begun(tmp_path / "churn")
    [removing] = re.findall(r"^    git (rm .*?)\n\n", page, re.M | re.S)
    git(project, *removing.replace("\\\n", "").split())
    [joining] = re.findall(r"^    uvx copier (copy --vcs-ref v1\.0\.0 .*) TEMPLATE \.$", page, re.M)
    copier(project, *joining.replace("'", "").split(), str(improved), ".")
    assert git(project, "status", "--porcelain", "-uall", "--", ".copier-answers.yml").startswith("??")
    assert "D  copier.yml" in git(project, "status", "--porcelain")
    assert not [line for line in git(project, "status", "--porcelain").splitlines() if line.startswith((" M", "M"))]
    commit(project, "joined")
    copier(project, "update")
    updated(project, "v1.2.0")
    assert not (project / "copier.yml").exists()
    assert not (project / "benchmarks").exists()


@pytest.mark.slow
def test_a_new_project_runs_its_demo_at_once(template: Path, tmp_path: Path) -> None:
    copier(tmp_path, "copy", str(template), "churn")
    project = tmp_path / "churn"
    git(project, "init", "-qb", "main")
    commit(project, "start")
    code = os.pathsep.join(str(path) for path in (project / "src", project))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", code)
        patch.setenv("PATH", path)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        run(project, sys.executable, "-m", "dvc", "repro")
        commit(project, "first model")
        said = run(project, sys.executable, "-m", "skline.cli", "doctor")
    assert "dvc.lock is up to date" in said
    assert re.search(r"artifact flights@\w{12} is whole", said)
    assert "this is still the template's demo" in said
