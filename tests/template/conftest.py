"""Fixtures: a repository with the current template, and a project that Copier rendered from it."""

import shutil
from pathlib import Path

import pytest

from tests.fixtures.registry import copy_empty_registry
from tests.template.rendering import commit, copier, copy_files, template_files


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that Copier reads, in a repository with the tag v1.0.0; tests must not change it."""
    folder = copy_files(tmp_path_factory.mktemp("template") / "template", template_files())
    commit(folder, "start", "v1.0.0")
    return folder


@pytest.fixture(scope="session")
def rendered(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was rendered without answering any question; tests must not change it."""
    folder = tmp_path_factory.mktemp("rendered")
    copier(folder, "copy", str(template), "churn")
    return folder / "churn"


@pytest.fixture
def project(rendered: Path, tmp_path: Path) -> Path:
    """A project of the test's own, as rendered: without a git repository, and with an empty registry."""
    shutil.copytree(rendered, tmp_path / "project")
    copy_empty_registry(tmp_path / "project")
    return tmp_path / "project"
