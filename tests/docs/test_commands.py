"""Every command and every Python block of README.md and docs/ works as written, in the order of its page.

A page runs in a copy of this repository with the results of `dvc repro`. A block of commands that starts
`skline serve` has the service running for the blocks below it. `<!-- not run: reason -->` above a block excludes it.
"""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from skline.testing import needs_results
from tests.docs.blocks import LANGUAGES, PAGES, Session, blocks_of
from tests.fixtures.demo import ROOT
from tests.template.rendering import commit, copy_files, template_files, tracked_files
from tests.template.tables import TABLES

#: What a project has of this repository; the engine is the one that is installed.
LEFT_OUT = ("src/skline/", "tests/", "benchmarks/")
#: Results of the pipeline, which git ignores. MLflow's database names artifacts in this folder, which are only read.
RESULTS = (
    "artifact",
    "data/split",
    "data/raw",
    "data/validated",
    "data/contract.json",
    "models",
    "mlflow.db",
    ".dvc/cache",
)


def runnable(page: Path) -> bool:
    return any(block.language in ("sh", "python") and not block.reason for block in blocks_of(page.read_text()))


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_of_a_page_are_fenced_and_say_their_language(page: Path) -> None:
    text = page.read_text()
    blocks = blocks_of(text)
    assert text.count("```") == 2 * len(blocks), "a fence without its end"
    assert {block.language for block in blocks} <= LANGUAGES
    for block in blocks:
        if block.language == "python":
            ast.parse(block.text)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A session in a copy of this repository, with its results and a template to render projects from."""
    template = copy_files(tmp_path / "template", template_files())
    commit(template, "start", "v1.0.0")
    kept = ("tests/model/",)
    names = [name for name in tracked_files() if name.startswith(kept) or not name.startswith(LEFT_OUT)]
    project = copy_files(tmp_path / "work/skline", names)
    commit(project, "start")
    for name in RESULTS:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, project / name)
    home = tmp_path / "home"
    home.mkdir()
    TABLES["binary"]().write(home / "customers.csv")
    session = Session(project, home, {"TEMPLATE": str(template), "uvx copier": "copier"})
    yield session
    session.stop()


@needs_results()
@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=name_of)
def test_commands_of_a_page_work(page: Path, session: Session) -> None:
    for block in blocks_of(page.read_text()):
        if block.language in ("sh", "python") and block.reason is None:
            session.run(block)
