"""The check of the engine: what runs, what pyproject.toml requires, and what engine.json and the template record."""

import json
import subprocess
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import pytest

from skline import engine
from skline.doctor import engine as check
from skline.doctor.findings import Finding
from skline.doctor.origin import Origin, installed_origin, mismatch
from tests.fixtures import demo
from tests.skline.doctor.conftest import edit, git, write

COMMIT = "d71ad6e7351d559c7ee2cce903b509d0527a6f2b"
GIT = "https://example.invalid/skline.git"


def problems() -> list[Finding]:
    running, *others = check.check()
    assert running.level == "ok"
    return others


def installed_from(monkeypatch: pytest.MonkeyPatch, commit: str, revision: str) -> None:
    """Pretend that the engine is installed from a commit, which has the tag v1.2.0."""
    origin = Origin(GIT, "git", commit, revision, engine.location().parent)
    monkeypatch.setattr(check, "installed_origin", lambda _: origin)
    monkeypatch.setattr(engine, "version", lambda: "1.2.0")


def require(source: str) -> None:
    text = Path("pyproject.toml").read_text()
    write("pyproject.toml", text[: text.index("skline = {")] + f"skline = {source}\n")


def test_says_which_engine_runs_and_where_it_is_installed(project: Path) -> None:
    [finding] = check.check()
    assert finding.level == "ok"
    assert f"skline {engine.version()} runs in {engine.location()}" in finding.message
    assert finding.message.endswith(f"from {demo.ROOT}, which is editable")


@pytest.mark.parametrize("content", [None, "<<<<<<< ours\n{}", '{"version": "1", "stages": {}, "settings": []}'])
def test_missing_invalid_and_other_engine_json_is_broken_until_sync(project: Path, content: str | None) -> None:
    Path("engine.json").unlink() if content is None else write("engine.json", content)
    [finding] = problems()
    assert finding.level == "broken"
    assert "engine.json" in finding.message
    assert finding.remedy.startswith("uv run skline sync")
    engine.sync()
    assert problems() == []


def test_other_version_with_the_same_code_is_no_problem(project: Path) -> None:
    edit("engine.json", engine.version(), "0.0.1")
    assert problems() == []


@pytest.mark.parametrize(
    ("source", "required"),
    [
        (f'{{ git = "{GIT}", rev = "{COMMIT}" }}', f"requires https://example.invalid/skline at {COMMIT[:12]}"),
        ('{ path = "../skline", editable = true }', "/skline, editable"),
        ('{ path = "../skline-1.2-py3-none-any.whl" }', "/skline-1.2-py3-none-any.whl"),
        ('{ url = "https://ann:secret@example.invalid/skline-1.2.whl" }', "https://example.invalid/skline-1.2.whl"),
        ('{ index = "inner" }', "the index inner"),
    ],
)
def test_reports_engine_that_is_installed_from_elsewhere(project: Path, source: str, required: str) -> None:
    require(source)
    [finding] = [finding for finding in problems() if "installed from" in finding.message]
    assert (finding.level, finding.remedy) == ("warning", "uv sync")
    assert required in finding.message
    assert str(demo.ROOT) in finding.message
    assert "secret" not in finding.message


def test_names_the_lock_if_it_pins_the_commit_that_is_installed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed_from(monkeypatch, COMMIT, COMMIT)
    write("uv.lock", f'[[package]]\nname = "skline"\nsource = {{ git = "{GIT}?rev={COMMIT}#{COMMIT}" }}\n')
    require(f'{{ git = "{GIT}", rev = "aaaaaaa" }}')
    [finding] = [finding for finding in problems() if "installed from" in finding.message]
    assert finding.message.startswith("uv.lock is older than pyproject.toml: skline is installed from")
    assert finding.remedy == "uv lock, then uv sync"


def test_reports_engine_from_a_folder_where_an_index_is_required(project: Path) -> None:
    edit("pyproject.toml", "[tool.uv.sources]", "[tool.other]")
    edit("pyproject.toml", '"skline[train]"', '"skline[train]>=99"')
    origin, version = problems()
    assert origin.message.endswith("requires a package index")
    assert version.level == "broken"
    assert version.message.endswith("requires >=99")


def test_reports_pyproject_without_the_engine(project: Path) -> None:
    edit("pyproject.toml", '"skline[train]"', "")
    edit("pyproject.toml", '"skline[serving]"', "")
    edit("pyproject.toml", "[tool.uv.sources]", "[tool.other]")
    [finding] = problems()
    assert finding.message == "pyproject.toml does not require skline"


def test_clone_runs_its_own_engine(project: Path) -> None:
    edit("pyproject.toml", '"prices"', '"skline"')
    [finding] = problems()
    assert f"requires {project}, editable" in finding.message


def test_reports_code_that_is_not_that_of_the_installed_package(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    origin = Origin("", "index", "", "", tmp_path / "site-packages")
    monkeypatch.setattr(check, "installed_origin", lambda _: origin)
    assert any("but" in finding.message and "PYTHONPATH" in finding.remedy for finding in problems())


@pytest.mark.parametrize(
    ("commit", "revision"),
    [
        ("d71ad6e", COMMIT), ("v1.1.0-3-gd71ad6e", COMMIT), ("v1.2.0", COMMIT), ("v1.2.0", "v1.2.0"),
        (COMMIT, "d71ad6e"), ("d71ad6e", "main"),
    ],
)  # fmt: skip
def test_template_and_engine_of_one_revision_are_no_problem(
    project: Path, monkeypatch: pytest.MonkeyPatch, commit: str, revision: str
) -> None:
    installed_from(monkeypatch, COMMIT, revision)
    require(f'{{ git = "{GIT}", rev = "{revision}" }}')
    write(".copier-answers.yml", f"_commit: {commit}\n_src_path: {GIT}\nengine: ''\n")
    assert problems() == []


@pytest.mark.parametrize("commit", ["aaaaaaa", "v1.2.0-3-gaaaaaaa", "v1.3.0"])
def test_reports_template_and_engine_of_different_revisions(
    project: Path, monkeypatch: pytest.MonkeyPatch, commit: str
) -> None:
    installed_from(monkeypatch, COMMIT, COMMIT)
    require(f'{{ git = "{GIT}", rev = "{COMMIT}" }}')
    write(".copier-answers.yml", f"_commit: {commit}\n_src_path: {GIT}\nengine: ''\n")
    [finding] = problems()
    assert finding.level == "warning"
    assert commit in finding.message
    assert COMMIT[:12] in finding.message
    assert f'rev = "{commit.removeprefix("v1.2.0-3-g")}"' in finding.remedy
    write(".copier-answers.yml", f"_commit: {commit}\n_src_path: {GIT}\nengine: git+{GIT}@{COMMIT}\n")
    assert problems() == [], "the project asked for this engine"


def test_tag_of_a_template_on_this_machine_is_resolved_there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("tag", "release-7")
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    write(".copier-answers.yml", "_commit: release-7\n_src_path: .\n")
    for commit, number in ((head, 0), (COMMIT, 1)):
        installed_from(monkeypatch, commit, commit)
        require(f'{{ git = "{GIT}", rev = "{commit}" }}')
        assert len(problems()) == number


def write_distribution(folder: Path, direct_url: dict[str, Any] | None) -> PathDistribution:
    info = folder / "skline-1.2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: skline\nVersion: 1.2.0\n")
    if direct_url is not None:
        (info / "direct_url.json").write_text(json.dumps(direct_url))
    return PathDistribution(info)


VCS = {
    "url": "https://example.invalid/skline",
    "vcs_info": {"vcs": "git", "commit_id": COMMIT, "requested_revision": "v1"},
}


@pytest.mark.parametrize(
    ("direct_url", "source", "matches"),
    [
        (VCS, {"git": GIT, "rev": COMMIT}, True),
        (VCS, {"git": "https://ann:secret@example.invalid/skline.git", "rev": "d71ad6e"}, True),
        (VCS, {"git": GIT, "tag": "v1"}, True),
        (VCS, {"git": GIT}, True),
        (VCS, {"git": GIT, "branch": "main"}, False),
        (VCS, {"git": "https://example.invalid/fork", "rev": COMMIT}, False),
        (VCS, None, False),
        (None, None, True),
        (None, {"index": "inner"}, True),
        (None, {"git": GIT, "rev": COMMIT}, False),
        (
            {"url": "file:///a%20b/skline", "dir_info": {"editable": True}},
            {"path": "/a b/skline", "editable": True},
            True,
        ),
        ({"url": "file:///a/skline", "dir_info": {"editable": False}}, {"path": "/a/skline", "editable": True}, False),
        ({"url": "file:///a/skline", "dir_info": {}}, {"path": "/a/skline"}, True),
        ({"url": "file:///a/skline", "dir_info": {}}, {"git": "file:///a/skline", "rev": COMMIT}, False),
        (
            {"url": "file:///a/skline", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
            {"git": "file:///a/skline", "rev": COMMIT},
            True,
        ),
        ({"url": "file:///a/s.whl", "archive_info": {}}, {"path": "/a/s.whl"}, True),
        ({"url": "https://a.invalid/s.whl", "archive_info": {}}, {"url": "https://a.invalid/s.whl"}, True),
        ({"url": "https://a.invalid/s.whl", "archive_info": {}}, {"url": "https://a.invalid/t.whl"}, False),
    ],
)
def test_recorded_origin_is_compared_with_the_source(
    tmp_path: Path, direct_url: dict[str, Any] | None, source: dict[str, Any] | None, matches: bool
) -> None:
    origin = installed_origin(write_distribution(tmp_path, direct_url))
    assert (mismatch(origin, source) == "") == matches, (str(origin), mismatch(origin, source))
    assert "secret" not in mismatch(origin, source)
