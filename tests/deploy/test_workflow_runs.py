"""Drills: the jobs that monitor and retrain on this machine, with a repository of git and DVC, but without GitHub."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.test_workflows import GITHUB, GITLAB, GITLAB_VARIABLES, HERE, WORKFLOWS, environment
from tests.deploy.workflow_steps import Runner, gitlab_jobs, steps_of
from tests.fixtures.small_project import commit, git, make_project, run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a model, whose data are in a remote; tests must not change it."""
    folder = tmp_path_factory.mktemp("workflows")
    project = make_project(folder / "project")
    run(project, HERE, "dvc", "remote", "add", "-d", "storage", str(folder / "remote"))
    run(project, HERE, "dvc", "repro")
    commit(project, "a model")
    run(project, HERE, "dvc", "push")
    git(project, "branch", "-M", "main")
    return project


@pytest.fixture
def checkout(trained: Path, tmp_path: Path) -> Path:
    """A clone of the project and of its remote, with labelled predictions in its log."""
    from tests.e2e.test_retraining import log_predictions

    checkout, remote = tmp_path / "checkout", tmp_path / "remote"
    shutil.copytree(trained.parent / "remote", remote)
    git(tmp_path, "clone", "-q", "--bare", str(trained), str(tmp_path / "origin"))
    git(tmp_path, "clone", "-q", str(tmp_path / "origin"), str(checkout))
    run(checkout, HERE, "dvc", "remote", "modify", "storage", "url", str(remote))
    commit(checkout, "a remote of its own")
    git(checkout, "push", "-q")
    log_predictions(checkout, (checkout / "artifact.sha256").read_text().strip())
    return checkout


def head_of(project: Path) -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def check_description(body: str, report: str) -> None:
    """Check that a description of a training says what it changes."""
    assert "**May be released: " in body
    assert f"[Report](<{report}>)" in body
    assert re.search(r"\| `data/source` \| `\w{9}` \| `\w{9}` \|", body)
    assert re.search(r"\| `rows in train` \| `\d+` \| `\d+` \|", body)


def test_monitoring_and_retraining_on_github_open_a_pull_request_with_the_difference(
    tmp_path: Path, checkout: Path
) -> None:
    variables = environment(GITHUB_SHA=head_of(checkout), SKLINE_LOG__DATABASE="logs/predictions.db")
    runner = Runner(checkout, tmp_path / "runner", variables, GITHUB)
    for path, job in ((WORKFLOWS / "monitor.yml", "monitor"), (WORKFLOWS / "retrain.yml", "retrain")):
        for step in steps_of(path, job):
            done = runner.run(step)
            assert done.returncode == 0, f"{step['run']}\n{done.stdout}{done.stderr}"
    assert runner.values["steps.results.outputs.branch"] == "retrain-7-1"
    assert runner.calls("gh") == [
        f"pr create --base main --head retrain-7-1 --title Train a new model --body-file {tmp_path}/runner/body.md"
    ]
    body = (tmp_path / "runner/body.md").read_text()
    assert body == (tmp_path / "runner/github_step_summary").read_text()
    check_description(body, "https://github.com/Owner/churn/blob/retrain-7-1/reports/report.html")
    git(tmp_path, "clone", "-q", "-b", "retrain-7-1", str(tmp_path / "origin"), str(tmp_path / "reviewer"))
    run(tmp_path / "reviewer", HERE, "dvc", "pull")
    assert (tmp_path / "reviewer/artifact/manifest.json").exists()
    runner.values |= {"github.run_attempt": "2", "steps.results.outputs.branch": ""}
    again = runner.run(steps_of(WORKFLOWS / "retrain.yml", "retrain")[-2])
    assert (again.returncode, again.stdout) == (0, "nothing was trained\n")
    assert runner.values["steps.results.outputs.branch"] == ""


def test_retraining_on_gitlab_opens_a_merge_request_with_the_difference(tmp_path: Path, checkout: Path) -> None:
    variables = environment(**GITLAB_VARIABLES) | {
        "CI_COMMIT_SHA": head_of(checkout), "SKLINE_LOG__DATABASE": "logs/predictions.db", "REASON": "a test",
        "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{tmp_path}/origin.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://oauth2:secret@gitlab.example.org/owner/churn.git",
    }  # fmt: skip
    runner = Runner(checkout, tmp_path / "runner", variables)
    jobs = gitlab_jobs(GITLAB)
    for name in ("monitor", "retrain"):
        done = runner.run_job(jobs[name])
        assert done.returncode == 0, done.stdout + done.stderr
    [call] = runner.calls("curl")
    assert "--form source_branch=retrain-7-1 --form target_branch=main" in call
    assert call.endswith("https://gitlab.example.org/api/v4/projects/3/merge_requests")
    report = "https://gitlab.example.org/owner/churn/-/blob/retrain-7-1/reports/report.html"
    check_description((checkout / "body.md").read_text(), report)
    git(tmp_path, "clone", "-q", "-b", "retrain-7-1", str(tmp_path / "origin"), str(tmp_path / "reviewer"))
