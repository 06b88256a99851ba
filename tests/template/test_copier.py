"""Tests of the project that Copier renders: its files, and the engine that it requires."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from tests.template.rendering import (
    ROOT,
    answers,
    append,
    commit,
    copier,
    copy_files,
    files,
    git,
    requirement,
    run,
    tracked_files,
)  # fmt: skip

COPIER = yaml.safe_load((ROOT / "copier.yml").read_text())
#: The files of a project that differ from the repository's.
TWINS = {".gitignore", "README.md", ".copier-answers.yml", "justfile", "pyproject.toml"}


def described_files(readme: str) -> list[str]:
    """Return the files and folders in the first column of the README's table of files."""
    table = readme.split("## The files")[1].split("\n## ", maxsplit=1)[0]
    return [name for cell in re.findall(r"^\| (.*?) \|", table, re.M) for name in re.findall(r"`(.*?)`", cell)]


def test_project_has_at_most_thirty_files_and_six_hundred_lines_of_python(rendered: Path) -> None:
    copied = files(rendered)
    assert len(copied) <= 30
    assert sum(len((rendered / name).read_text().splitlines()) for name in copied if name.endswith(".py")) <= 600


def test_readme_of_a_project_describes_each_of_its_files(rendered: Path) -> None:
    described = described_files((rendered / "README.md").read_text())
    copied = files(rendered) - {"README.md"}
    unknown = {
        name for name in copied if not any(name == d or (d.endswith("/") and name.startswith(d)) for d in described)
    }
    assert unknown == set(), "add them to the table in README.md.jinja"
    assert [d for d in described if not any(name == d or name.startswith(d) for name in copied)] == []


def test_files_without_a_jinja_version_are_copied_byte_for_byte(rendered: Path) -> None:
    for name in files(rendered) - TWINS:
        assert (rendered / name).read_bytes() == (ROOT / name).read_bytes(), name
        assert os.access(rendered / name, os.X_OK) == os.access(ROOT / name, os.X_OK), name


def test_style_of_a_new_project_is_right(rendered: Path) -> None:
    recipe = (rendered / "justfile").read_text().split("\ncheck:\n")[1].split("\n\n", maxsplit=1)[0]
    commands = re.findall(r"uv run (ruff .*)", recipe)
    assert len(commands) == 2
    for command in commands:
        run(rendered, sys.executable, "-m", *command.split(), "--no-cache")


def test_style_of_the_example_in_the_application_of_a_project_is_right(rendered: Path) -> None:
    docstring = ast.get_docstring(ast.parse((rendered / "serving/app.py").read_text()), clean=False)
    example = (docstring or "").partition("for example\n\n")[2]
    assert example
    for command in ("check", "format --check"):
        ruff = [sys.executable, "-m", "ruff", *command.split(), "--stdin-filename", "serving/app.py", "-"]
        done = subprocess.run(ruff, cwd=rendered, input=example, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_links_in_the_readme_of_a_project_resolve(rendered: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", (rendered / "README.md").read_text()):
        assert "://" in link or (rendered / link).exists(), link


def test_workflow_of_a_project_calls_steps_of_both_justfiles(rendered: Path) -> None:
    called = set(re.findall(r"uv run just ([\w-]+)", (ROOT / ".github/workflows/ci.yml").read_text()))
    assert called >= {"check", "repro", "test", "image"}
    for folder in (ROOT, rendered):
        assert called <= set(re.findall(r"^([\w-]+)\b.*:", (folder / "justfile").read_text(), re.M))


def test_project_requires_the_engine_of_its_revision_and_records_the_version(template: Path, rendered: Path) -> None:
    assert answers(rendered) == {"_commit": "v1.0.0", "_src_path": str(template), "engine": ""}
    head = git(template, "rev-parse", "HEAD").strip()
    assert requirement(rendered) == {"git": f"file://{template}", "rev": head}


def test_path_of_the_template_may_be_relative_and_contain_spaces(template: Path, tmp_path: Path) -> None:
    shutil.copytree(template, tmp_path / "my template")
    (tmp_path / "projects").mkdir()
    output = copier(tmp_path / "projects", "copy", "../my template", "my churn")
    assert "cd 'my churn'" in output
    project = tmp_path / "projects/my churn"
    assert answers(project)["_src_path"] == str(tmp_path / "my template")
    assert requirement(project)["git"] == f"file://{tmp_path}/my%20template"
    assert str(tmp_path / "my template") in (project / "README.md").read_text()


@pytest.mark.slow
def test_project_from_uncommitted_changes_starts_from_the_last_commit(template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "template"
    shutil.copytree(template, folder)
    append(folder, "Dockerfile", "# draft\n")
    output = copier(tmp_path, "copy", "--vcs-ref", "HEAD", str(folder), "churn")
    head = git(folder, "rev-parse", "HEAD").strip()
    assert "The template has uncommitted changes" in output
    assert f"the last commit, {head[:7]}" in output
    assert "# draft" in (tmp_path / "churn/Dockerfile").read_text()
    assert answers(tmp_path / "churn")["_commit"] == head
    assert requirement(tmp_path / "churn")["rev"] == head

    commit(tmp_path / "churn", "start")
    commit(folder, "draft", "v1.1.0")
    copier(tmp_path / "churn", "update")
    assert (tmp_path / "churn/Dockerfile").read_text().count("# draft") == 1
    assert requirement(tmp_path / "churn")["rev"] == git(folder, "rev-parse", "HEAD").strip()


def test_folder_without_git_is_copied_without_results_and_caches_and_its_engine_is_required(tmp_path: Path) -> None:
    folder = copy_files(tmp_path / "template", tracked_files())
    ignored = (
        "data/raw/table.parquet", "data/contract.json", "models/pipeline.joblib", ".venv/bin/x", "mlflow.db",
        "keys.json", ".env", "uv.lock", "src/model/__pycache__/a.pyc", "tests/model/__pycache__/a.pyc",
        ".dvc/cache/files/x", ".dvc/tmp/lock", ".dvc/config.local", "serving/.DS_Store", "dist/x.whl",
        "releases/champion.json",
    )  # fmt: skip
    for name in ignored:
        append(folder, name, "ignored")
    output = copier(tmp_path, "copy", str(folder), "churn")
    assert "is not a git repository" in output
    project = tmp_path / "churn"
    assert not files(project) & set(ignored)
    assert not [path for path in project.rglob("*") if path.is_dir() and not any(path.iterdir())]
    assert requirement(project) == {"path": str(folder), "editable": True}
    assert_nothing_but_the_project(project)


def assert_nothing_but_the_project(project: Path) -> None:
    """Assert that a project contains nothing of the engine, of the template, or of the results of its demo."""
    assert {path.name for path in (project / "src").iterdir()} == {"model"}
    assert {path.name for path in (project / "tests").iterdir()} == {"model"}
    assert {path.name for path in (project / ".github/workflows").iterdir()} == {"ci.yml"}
    others = {"benchmarks", "docs", "reports", ".ci", "dvc.lock", "artifact.sha256", "copier.yml", "CHANGELOG.md"}
    assert not others & {path.name for path in project.iterdir()}
    assert not [name for name in files(project) if name.endswith(".jinja")]


def render_requirement(**values: str) -> tuple[Any, list[str]]:
    """Render pyproject.toml; returns where the engine comes from, and the group `serving`."""
    text = environment().get_template("pyproject.toml.jinja").render({"engine": "", "commit": "abc", **values})
    pyproject: Mapping[str, Any] = tomllib.loads(text)
    return pyproject["tool"]["uv"].get("sources", {}).get("skline"), pyproject["dependency-groups"]["serving"]


def environment() -> Any:
    """Return a Jinja environment with the filters that Copier has without `--trust`."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT),
        extensions=["jinja2_ansible_filters.AnsibleCoreFiltersExtension"],
        autoescape=jinja2.select_autoescape(enabled_extensions=(), default_for_string=False),
    )


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("gh:owner/name", "https://github.com/owner/name"),
        ("gl:owner/name.git", "https://gitlab.com/owner/name.git"),
        ("git@example.com:owner/name.git", "ssh://git@example.com/owner/name.git"),
        ("ssh://git@example.com:2222/name.git", "ssh://git@example.com:2222/name.git"),
        ("https://example.com/name.git", "https://example.com/name.git"),
        ("git+https://example.com/name", "https://example.com/name"),
        ("/srv/the template", "file:///srv/the%20template"),
    ],
)
def test_every_address_that_copier_accepts_becomes_a_requirement(template: str, url: str) -> None:
    stored = environment().from_string(COPIER["address"]["default"]).render(_copier_answers={"_src_path": template})
    assert stored.strip() == template, "stored as given"
    assert render_requirement(address=stored.strip())[0] == {"git": url, "rev": "abc"}


@pytest.mark.parametrize(
    ("engine", "source"),
    [
        ("==1.2", None),
        (">=1.2,<2", None),
        ("-e ../skline", {"path": "../skline", "editable": True}),
        ("../skline-1.2-py3-none-any.whl", {"path": "../skline-1.2-py3-none-any.whl"}),
        ("https://example.com/skline-1.2-py3-none-any.whl", {"url": "https://example.com/skline-1.2-py3-none-any.whl"}),
        ("git+https://example.com/name", {"git": "https://example.com/name"}),
        ("git+https://example.com/name.git@v1", {"git": "https://example.com/name.git", "rev": "v1"}),
        ("git+ssh://git@example.com/name@a/branch", {"git": "ssh://git@example.com/name", "rev": "a/branch"}),
        ("git+file:///srv/name@abc#egg=skline", {"git": "file:///srv/name", "rev": "abc"}),
    ],
)
def test_engine_may_be_named_in_place_of_the_revision(engine: str, source: Any) -> None:
    version = engine if source is None else ""
    assert render_requirement(address="/srv/template", engine=engine) == (source, [f"skline[serving]{version}"])
    assert engine_error(engine) == ""


@pytest.mark.parametrize("engine", ["1.2", "skline", "../skline", "https://example.com/name"])
def test_engine_of_an_unknown_form_has_an_error_message(engine: str) -> None:
    assert engine_error(engine).endswith(f"not {engine}")


def engine_error(engine: str) -> str:
    """Return what the validator in copier.yml says about an engine; an empty string if it is accepted."""
    return str(environment().from_string(COPIER["engine"]["validator"]).render(engine=engine)).strip()


@pytest.mark.slow
def test_named_engine_is_kept_by_updates_until_another_is_named(template: Path, tmp_path: Path) -> None:
    copier(tmp_path, "copy", "--data", "engine=-e ../skline", str(template), "churn")
    project = tmp_path / "churn"
    commit(project, "start")
    copier(project, "update")
    assert answers(project)["engine"] == "-e ../skline"
    assert requirement(project) == {"path": "../skline", "editable": True}
    copier(project, "update", "--data", "engine=")
    assert requirement(project)["rev"] == git(template, "rev-parse", "HEAD").strip()


def test_engine_of_an_unknown_form_is_rejected(template: Path, tmp_path: Path) -> None:
    output = copier(tmp_path, "copy", "--data", "engine=1.2", str(template), "churn", status=1)
    assert "name a version (==1.2), a wheel" in output
    assert "not 1.2" in output
    assert not (tmp_path / "churn").exists()


def test_no_file_of_the_template_has_a_name_that_copier_renders() -> None:
    assert not any("{{" in part or "{%" in part for name in tracked_files() for part in Path(name).parts)
    twins = {name.removesuffix(".jinja") for name in tracked_files() if name.endswith(".jinja")}
    assert twins == TWINS
    done = subprocess.run(["git", "check-ignore", *sorted(TWINS)], cwd=ROOT, capture_output=True, check=False)
    assert done.stdout == b""
