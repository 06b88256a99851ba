"""Data traced to the models that were made from it: by manifests, and by dvc.lock and .dvc files of git's history."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from skline.errors import SklineError
from skline.lineage.data_trace import trace_data
from skline.lineage.snapshots import WORKING_TREE, cache_folder, recording_commit
from tests.skline.lineage.conftest import Project, register

TABLE = b"flight,late\n1,0\n"
MD5 = hashlib.md5(TABLE, usedforsecurity=False).hexdigest()
SHA256 = hashlib.sha256(TABLE).hexdigest()


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit_results(project: Project, digest: str, md5: str) -> str:
    """Commit the results of a run whose raw table has an md5; return the commit."""
    folder = project.folder
    (folder / "artifact.sha256").write_text(f"{digest}\n")
    (folder / "dvc.lock").write_text(
        f"stages:\n  ingest:\n    deps:\n    - {{path: data/source, md5: {'e' * 32}.dir}}\n"
        f"    outs:\n    - {{path: data/raw, md5: {md5}.dir}}\n    - {{path: reports/lineage.json}}\n"
    )
    (folder / "reports").mkdir(exist_ok=True)
    (folder / "reports/lineage.json").write_text(json.dumps({"source": "t.csv", "sha256": md5 * 2, "rows": 1}))
    (folder / "data/source").mkdir(parents=True, exist_ok=True)
    (folder / "data/source/t.csv.dvc").write_text(f"outs:\n- md5: {md5}\n  path: t.csv\n")
    git(folder, "add", "-A", "artifact.sha256", "dvc.lock", "reports", "data")
    git(folder, "commit", "-qm", "results")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def history(project: Project) -> Project:
    """Two registered versions whose results are committed: the first is the logged one, and was made from TABLE."""
    git(project.folder, "init", "-q")
    commit_results(project, project.packaged.digest, MD5)
    commit_results(project, "2" * 64, "f" * 32)
    register(project.store, project.packaged, artifact_sha256="2" * 64, version="4")
    register(project.store, project.packaged, artifact_sha256="5" * 64, version="5")
    return project


@pytest.mark.parametrize("by", ["file", "md5", "source"])
def test_data_leads_to_its_version_and_predictions(history: Project, by: str) -> None:
    path = history.folder / "t.csv"
    path.write_bytes(TABLE)
    requested = {"file": str(path), "md5": MD5, "source": f"sha256:{MD5 * 2}"}[by]
    trace = trace_data(history.log, history.store, requested, history.folder)
    [found] = trace.found
    commit = git(history.folder, "rev-parse", "HEAD~1")[:12]
    recorded_in = "reports/lineage.json" if by == "source" else "data/source/t.csv.dvc"
    assert [(file.name, file.recorded_in) for file in found.files] == [
        ("t.csv" if by == "source" else "data/source/t.csv", f"{recorded_in} of commit {commit}")
    ]
    assert (found.artifact_digest, found.versions) == (history.packaged.digest, ("demo/3",))
    assert [usage.predictions for usage in found.usages] == [60]
    assert trace.unknown == ("demo/5",)


def test_part_is_found_by_the_digest_in_the_manifest(history: Project) -> None:
    trace = trace_data(None, history.store, "0" * 64, history.folder)
    [found] = trace.found
    assert [(file.name, file.recorded_in) for file in found.files] == [("data/split/train.parquet", "the manifest")]
    assert found.usages == ()


def test_file_of_a_folder_is_found_where_the_cache_of_dvc_lists_it(history: Project) -> None:
    (history.folder / ".dvc").mkdir()
    (history.folder / ".dvc/config").write_text("[core]\n    analytics = false\n[cache]\n    dir = ../shared\n")
    folder = cache_folder(history.folder) / "files/md5" / MD5[:2]
    folder.mkdir(parents=True)
    (folder / f"{MD5[2:]}.dir").write_text(json.dumps([{"md5": "9" * 32, "relpath": "table.parquet"}]))
    [found] = trace_data(None, history.store, "9" * 32, history.folder).found
    assert [file.name for file in found.files] == ["data/raw/table.parquet"]


def test_results_that_are_not_committed_are_those_of_the_working_tree(history: Project) -> None:
    digest = "5" * 64
    assert recording_commit(history.folder, digest) is None
    (history.folder / "artifact.sha256").write_text(digest)
    assert recording_commit(history.folder, digest) == WORKING_TREE
    assert trace_data(None, history.store, "f" * 32, history.folder).unknown == ()


@pytest.mark.parametrize("requested", ["nothing.csv", ".", "abc"])
def test_what_is_neither_file_nor_digest_is_rejected(project: Project, requested: str) -> None:
    with pytest.raises(SklineError, match="is no file that can be read"):
        trace_data(None, project.store, requested, project.folder)


def test_unknown_data_leads_to_nothing(history: Project) -> None:
    assert trace_data(None, history.store, SHA256, history.folder).found == ()


def test_first_commit_of_a_shallow_clone_says_nothing_of_older_results(history: Project, tmp_path: Path) -> None:
    commit_results(history, "2" * 64, "a" * 32)  # of a run whose model was rejected
    for name, depth in (("shallow", "1"), ("deep", "9")):
        git(tmp_path, "clone", "-q", "--depth", depth, history.folder.as_uri(), name)
    assert recording_commit(tmp_path / "shallow", "2" * 64) is None
    assert recording_commit(tmp_path / "deep", "2" * 64) == git(history.folder, "rev-parse", "HEAD~1")
