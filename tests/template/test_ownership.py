"""The README says whose each file is; copier.yml obeys it, and doctor names what belongs to the template alone."""

import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from skline.doctor.leftovers import TEMPLATE_ONLY
from tests.template.rendering import ROOT, owned

COPIER: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text())
#: Copier's own list, which a list of one's own replaces, but for copier.yml itself.
COPIERS_OWN = {"~*", "*.py[co]", "__pycache__", ".git", ".DS_Store", ".svn"}
DVCS_OWN = {f"/.dvc/{name.strip('/')}" for name in (ROOT / ".dvc/.gitignore").read_text().split()}


def excluded(operation: str) -> set[str]:
    """Patterns that copier.yml excludes in an operation, without what git ignores."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(ROOT), autoescape=True)
    lines = [
        line
        for pattern in COPIER["_exclude"]
        for line in environment.from_string(pattern).render(_copier_operation=operation).splitlines()
    ]
    ignored = {line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    assert ignored <= set(lines)
    return {line for line in lines if line} - (ignored - {"__pycache__"})


def told(readme: str) -> dict[str, set[str]]:
    """The table of a README: whose, and the patterns."""
    rows = re.findall(r"^\| (yours|copied once|never copied) \| (.*?) \|", (ROOT / readme).read_text(), re.M)
    return {whose: set(re.findall(r"`(.*?)`", cells)) for whose, cells in rows}


def test_copier_leaves_alone_what_the_readme_calls_yours() -> None:
    assert set(COPIER["_skip_if_exists"]) == told("README.md")["yours"]


def test_copier_never_copies_what_the_readme_says() -> None:
    assert excluded("copy") - COPIERS_OWN - DVCS_OWN == told("README.md")["never copied"]
    assert excluded("copy") >= COPIERS_OWN | DVCS_OWN


def test_copier_copies_once_what_the_readme_says() -> None:
    assert excluded("update") - excluded("copy") == told("README.md")["copied once"]
    assert excluded("copy") <= excluded("update")


def test_a_projects_own_readme_says_the_same() -> None:
    never = {"never copied": told("README.md")["never copied"]}
    assert told("README.md.jinja") | never == told("README.md")


@pytest.mark.parametrize("pattern", sorted(set().union(*told("README.md").values()) - {"/uv.lock"}))
def test_every_pattern_is_of_a_file_or_folder_there_is(pattern: str) -> None:
    later = {"/src/model/placeholders.json"}  # made by `skline init`
    assert pattern in later or any(f"/{name}/".startswith(f"{pattern}/") for name in owned()), pattern


def test_doctor_knows_what_belongs_to_the_template_alone() -> None:
    results = {"/dvc.lock", "/artifact.sha256", "/reports"}
    twins = {name for name in owned() if name.endswith(".jinja")}
    never = {pattern.strip("/") for pattern in told("README.md")["never copied"] - results}
    assert set(TEMPLATE_ONLY) == never | twins
    removed = re.search(r"git rm -rq --ignore-unmatch (.*?)\n\n", (ROOT / "docs/template.md").read_text(), re.S)
    assert removed
    assert set(removed[1].replace("\\", "").split()) == set(TEMPLATE_ONLY)


def test_the_template_needs_no_trust_and_has_two_twins() -> None:
    assert not {"_tasks", "_migrations", "_jinja_extensions", "_subdirectory"} & COPIER.keys()
    assert not [key for key in COPIER if not key.startswith("_")], "a question would be asked"
    twins = {name for name in owned() if name.endswith(".jinja")}
    assert twins == {"README.md.jinja", ".copier-answers.yml.jinja"}
    assert not any("{{" in part or "{%" in part for name in owned() for part in Path(name).parts)
