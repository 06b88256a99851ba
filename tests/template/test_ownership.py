"""Tests that copier.yml, the README of a project and docs/template.md agree on who owns each file."""

import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from tests.template.rendering import ROOT, files, tracked_files

COPIER: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text())
PAGES = ("README.md.jinja", "docs/template.md")


def excluded(operation: str) -> set[str]:
    """Return the patterns that copier.yml excludes in an operation."""
    environment = jinja2.Environment(autoescape=True)
    return {environment.from_string(pattern).render(_copier_operation=operation) for pattern in COPIER["_exclude"]} - {
        ""
    }


def owners(page: str) -> dict[str, set[str]]:
    """Return the file patterns of a page's table of owners, by owner."""
    rows = re.findall(r"^\| (yours|copied once) \| (.*?) \|", (ROOT / page).read_text(), re.M)
    return {owner: set(re.findall(r"`(.*?)`", cells)) for owner, cells in rows}


@pytest.mark.parametrize("page", PAGES)
def test_pages_say_which_files_an_update_leaves_alone(page: str) -> None:
    once = excluded("update") - excluded("copy")
    assert owners(page) == {"yours": set(COPIER["_skip_if_exists"]), "copied once": once}
    assert excluded("copy") <= excluded("update")


def test_every_pattern_of_an_owner_matches_a_file_of_a_project(rendered: Path) -> None:
    for pattern in set().union(*owners("README.md.jinja").values()) - {"/uv.lock"}:
        assert any(f"/{name}/".startswith(f"{pattern}/") for name in files(rendered)), pattern


def test_every_copied_file_exists() -> None:
    names = {pattern.removeprefix("!/") for pattern in excluded("copy") if pattern.startswith("!/")}
    tracked = {name.removesuffix(".jinja") for name in tracked_files()}
    assert [name for name in names if not any(f"{file}/".startswith(f"{name}/") for file in tracked)] == []


def test_template_needs_no_trust_and_asks_nothing() -> None:
    assert not {"_tasks", "_migrations", "_jinja_extensions", "_subdirectory"} & COPIER.keys()
    questions = {key: value for key, value in COPIER.items() if not key.startswith("_")}
    assert [key for key, value in questions.items() if value.get("ask", True) and value.get("when", True)] == []
