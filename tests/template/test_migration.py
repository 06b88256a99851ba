"""Tests that docs/template.md brings over a project into which the engine was copied, as older templates did."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import blocks_of
from tests.template.rendering import (
    ROOT,
    answers,
    append,
    commit,
    copier,
    copy_files,
    edit,
    files,
    git,
    requirement,
    run,
    template_files,
)

pytestmark = pytest.mark.slow

#: copier.yml of the last version that copied the engine, without what git ignores.
OLD_CONFIG = """\
_min_copier_version: "9.19"
_answers_file: .copier-answers.yml
_exclude:
  - .git
  - /copier.yml
  - /tests/template
  - /benchmarks
  - /dvc.lock
  - /artifact.sha256
  - "{% if _copier_operation == 'update' %}/data/source{% endif %}"
_skip_if_exists: [/src/model, /serving, /params.yaml, /README.md, /.dvc/config, /uv.lock]
"""
#: Other files of the old layout: a few that stand for many, each in a folder of its own.
OLD_FILES = {
    "copier.yml": OLD_CONFIG,
    ".copier-answers.yml.jinja": "# Written by Copier.\n{{ _copier_answers|to_nice_yaml -}}\n",
    "README.md.jinja": "# skline\n",
    "pyproject.toml": '[project]\nname = "skline"\ndependencies = ["pandas>=3"]\n\n[tool.ruff]\nline-length = 120\n',
    "dvc.yaml": "stages:\n  ingest: {cmd: python -m skline.stages ingest, deps: [src/skline/stages/ingest.py]}\n",
    "src/skline/__init__.py": '"""The engine."""\n',
    "tests/__init__.py": "",
    "tests/model/__init__.py": "",
    "tests/model/test_contract.py": "# old\n",
    "tests/skline/test_features.py": "# old\n",
    "tests/template/test_copier.py": "# old\n",
    "tests/test_project.py": "# old\n",
    "docs/scoring.md": "# Scoring\n",
    "requirements/compile": "uv pip compile\n",
}
#: Files of today's layout that the old one did not have.
NEW_FILES = {
    "engine.json", "justfile", "justfile.jinja", "pyproject.toml.jinja", ".python-version", "CHANGELOG.md",
    "CONTRIBUTING.md", ".github/workflows/docs.yml", ".github/workflows/engine.yml", ".github/workflows/template.yml",
    ".editorconfig", ".gitattributes", ".github/dependabot.yml", ".gitignore.jinja", ".pre-commit-config.yaml",
    "LICENSE", "SECURITY.md", "mkdocs.yml", "releases/registered.jsonl", "schemas/params.schema.json",
    "requirements/audit-ignored.txt", "requirements/plan.txt",
}  # fmt: skip
NEW_FOLDERS = ("deploy/", "scripts/")


@pytest.fixture
def changed_template(tmp_path: Path) -> Path:
    """A template that copies the engine in v1.0.0, and is today's in v2.0.0."""
    old = [name for name in sorted(template_files()) if name not in NEW_FILES and not name.startswith(NEW_FOLDERS)]
    folder = copy_files(tmp_path / "template", old)
    for name in [name for name in files(folder) if name.startswith("tests/")]:
        (folder / name).unlink()
    for name, text in OLD_FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    commit(folder, "start", "v1.0.0")
    git(folder, "rm", "-rqf", ".")
    copy_files(folder, template_files())
    commit(folder, "the engine is a package", "v2.0.0")
    return folder


def make_edits(project: Path) -> None:
    edit(project, "params.yaml", "name: flights", "name: churn")
    edit(project, "src/model/contract.py", "Distance between", "How far apart are")
    append(project, "serving/app.py", "# ours\n")
    append(project, "src/skline/features/time.py", "OURS = 1\n")
    append(project, "src/skline/ours.py", "# ours\n")
    append(project, "tests/test_ours.py", "# ours\n")
    append(project, "Dockerfile", "# ours\n")
    edit(project, "pyproject.toml", '"pandas>=3"', '"pandas>=3", "tabulate>=0.9"')
    commit(project, "ours")


def documented_steps() -> list[list[str]]:
    """Return the commands of each step of the page, in order."""
    page = (ROOT / "docs/template.md").read_text()
    section = page.split("## A project that contains the engine")[1].split("\n## ", maxsplit=1)[0]
    steps = re.split(r"^\d\. ", section, flags=re.M)[1:]
    lines = [block.text.replace("\\\n", "").splitlines() for step in steps for block in blocks_of(step)]
    assert [bool(commands) for commands in lines] == [True] * 5
    return lines


def follow(project: Path, commands: list[str], **names: str) -> None:
    """Run commands of the page with this environment's Copier; words in capitals are replaced by `names`."""
    for command in commands:
        text = command.replace("uvx copier", f"{shlex.quote(sys.executable)} -m copier")
        for name, value in names.items():
            text = re.sub(rf"\b{name}\b", value, text)
        run(project, "bash", "-euc", text)


@pytest.mark.parametrize("is_clone", [False, True])
def test_project_with_a_copied_engine_is_brought_over(changed_template: Path, tmp_path: Path, is_clone: bool) -> None:
    template, project = str(changed_template), tmp_path / "churn"
    record, fork, remove, update, _ = documented_steps()
    if is_clone:
        git(tmp_path, "clone", "-q", "--branch", "v1.0.0", template, "churn")
        make_edits(project)
        follow(project, record, TEMPLATE=template)
        assert git(project, "show", "--name-only", "--format=").split() == [".copier-answers.yml"]
    else:
        copier(tmp_path, "copy", "--vcs-ref", "v1.0.0", template, "churn")
        make_edits(project)
    follow(project, fork, TEMPLATE=template, COMMIT=str(answers(project)["_commit"]))
    follow(project, remove)
    assert update[0] == "uvx copier update"
    follow(project, [f'{update[0]} --data "engine=-e ../skline"'])
    assert git(project, "diff", "--name-only", "--diff-filter=U").split() == ["pyproject.toml"]
    follow(project, update[1:2])

    assert requirement(project) == {"path": "../skline", "editable": True}
    copier(tmp_path, "copy", "--data", "engine=-e ../skline", template, "fresh")
    others = {"tests/test_ours.py", "artifact.sha256", "dvc.lock"}
    assert files(project) - others == files(tmp_path / "fresh")
    ours = {"params.yaml", "src/model/contract.py", "serving/app.py", "Dockerfile", "README.md"}
    for name in files(tmp_path / "fresh") - ours:
        assert (project / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes(), name
    assert "name: churn" in (project / "params.yaml").read_text()
    assert "How far apart are" in (project / "src/model/contract.py").read_text()
    for name in ("serving/app.py", "Dockerfile"):
        assert (project / name).read_text().endswith("# ours\n"), name


def test_edits_of_a_copied_engine_become_a_branch_that_is_merged(changed_template: Path, tmp_path: Path) -> None:
    copier(tmp_path, "copy", "--vcs-ref", "v1.0.0", str(changed_template), "churn")
    project, engine = tmp_path / "churn", tmp_path / "skline"
    append(project, "src/skline/ours.py", "# ours\n")
    commit(project, "ours")
    fork = documented_steps()[1]
    follow(project, fork, TEMPLATE=str(changed_template), COMMIT="v1.0.0")
    assert (engine / "src/skline/ours.py").read_text() == "# ours\n"
    assert (engine / "pyproject.toml.jinja").is_file(), "the new version is merged"
    assert git(engine, "diff", "--name-only", "v2.0.0").split() == ["src/skline/ours.py"]
