"""Projects, git worktrees, experiments and engines side by side: each uses the code of its own folder and engine."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import joblib
import pytest

from skline import engine
from tests.fixtures.demo import ROOT
from tests.fixtures.small_project import commit, git, make_project, run

pytestmark = pytest.mark.slow

#: The environment that runs the tests.
HERE = Path(sys.prefix)
#: Appended to a file of a model: says at import which folder it is imported from.
SAY_WHERE = "\nimport sys as _sys\nprint('MODEL', __file__, file=_sys.stderr)\n"
#: So that git finds an identity in the commits that DVC makes for experiments.
IDENTITY = {
    f"GIT_{who}_{what}": "test@example.invalid" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}


def dvc(folder: Path, *arguments: str, environment: Path = HERE, check: bool = True) -> str:
    done = run(folder, environment, sys.executable, "-m", "dvc", *arguments, check=check, **IDENTITY)
    return done.stdout + done.stderr


def set_bins(folder: Path, number: int) -> None:
    """Give the estimator a number of bins, by which the code that fitted it can be recognised."""
    path = folder / "src/model/pipeline.py"
    text, count = re.subn(r"Classifier\((max_bins=\d+, )?", f"Classifier(max_bins={number}, ", path.read_text())
    assert count == 1
    path.write_text(text)


BINS = """
import joblib
print(joblib.load("models/fitted.joblib").steps[-1][1].max_bins)
"""


def bins(folder: Path) -> int:
    """Return the number of bins of the fitted estimator."""
    return int(run(folder, HERE, sys.executable, "-c", BINS, PYTHONPATH="src").stdout.split()[-1])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose pipeline has run."""
    folder = make_project(tmp_path_factory.mktemp("side_by_side") / "project")
    with (folder / "src/model/pipeline.py").open("a") as file:
        file.write(SAY_WHERE)
    dvc(folder, "repro")  # whole: `dvc exp` fails where an output is missing
    commit(folder, "first model")
    return folder


def test_queued_experiment_runs_the_code_that_was_queued(project: Path) -> None:
    set_bins(project, 200)
    dvc(project, "exp", "run", "--queue", "--name", "queued", "train")
    set_bins(project, 150)
    output = dvc(project, "exp", "run", "--run-all")
    assert str(project / ".dvc/tmp/exps") in output, "the experiment runs in a copy"
    assert f"MODEL {project / 'src'}" not in output
    git(project, "checkout", "-q", ".")
    dvc(project, "exp", "apply", "queued")
    assert bins(project) == 200
    git(project, "checkout", "-q", ".")


def test_experiment_in_a_temporary_copy_runs_the_code_of_the_copy(project: Path) -> None:
    set_bins(project, 180)
    output = dvc(project, "exp", "run", "--temp", "--name", "temporary", "train")
    assert f"MODEL {project / '.dvc/tmp/exps'}" in output
    assert f"MODEL {project / 'src'}" not in output
    git(project, "checkout", "-q", ".")


def test_worktree_runs_its_own_code(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    git(project, "worktree", "add", "-q", "-b", "other", str(other))
    dvc(other, "cache", "dir", "--local", str(project / ".dvc/cache"))
    dvc(other, "checkout", "data/source/flights.csv.dvc")
    set_bins(other, 110)
    output = dvc(other, "repro", "train")
    assert f"MODEL {other / 'src'}" in output
    assert f"MODEL {project}/" not in output
    assert bins(other) == 110


@pytest.fixture(scope="module")
def other_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with another engine, whose stage `split` has other code; its libraries are those of the tests."""
    folder = tmp_path_factory.mktemp("other_engine")
    for name in ("src/skline", "pyproject.toml", "README.md"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, folder / name)
    with (folder / "src/skline/stages/split.py").open("a") as file:
        file.write("\nprint('SPLIT OF THE OTHER ENGINE')\n")
    environment = folder / "env"
    for command in (
        ["uv", "venv", "-q", "--python", sys.executable, str(environment)],
        ["uv", "pip", "install", "-q", "--no-deps", "--python", str(environment / "bin/python"), str(folder)],
    ):
        subprocess.run(command, check=True)
    [site_packages] = environment.glob("lib/python3*/site-packages")
    (site_packages / "tests.pth").write_text(str(Path(joblib.__file__).parents[1]))
    return environment


def test_two_projects_with_two_engines_each_run_their_own(
    project: Path, other_environment: Path, tmp_path: Path
) -> None:
    other = make_project(tmp_path / "other")
    refused = dvc(other, "repro", "split", environment=other_environment, check=False)
    assert f"engine.json records skline {engine.version()}" in refused
    assert str(other_environment) in refused
    assert "SPLIT OF THE OTHER ENGINE" not in refused

    synced = run(other, other_environment, "skline", "sync").stdout
    assert "other code for split;" in synced
    output = dvc(other, "repro", "split", environment=other_environment)
    assert "SPLIT OF THE OTHER ENGINE" in output
    assert "Stage 'validate' didn't change" in output, "its code is the same in both engines"
    assert "up to date" in dvc(other, "repro", "split", environment=other_environment)

    assert "SPLIT OF THE OTHER ENGINE" not in dvc(project, "repro", "-f", "-s", "split")
    assert "for every stage" in run(project, HERE, "skline", "sync", "--check").stdout
    assert run(other, HERE, "skline", "sync", "--check", check=False).returncode == 1
