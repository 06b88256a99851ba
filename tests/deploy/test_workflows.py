"""The workflows of GitHub and GitLab pass the checks, do the same, and move only images that were signed."""

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import deploy
from tests.deploy import checks
from tests.deploy.workflow_steps import Runner, gitlab_jobs, project_justfile, shared_steps, steps_of
from tests.fixtures.demo import ROOT

TEMPLATE = deploy.TEMPLATES / "github/.github"
WORKFLOWS = TEMPLATE / "workflows"
REPOSITORY = ROOT / ".github"
ALL = sorted([*WORKFLOWS.glob("*.yml"), *(REPOSITORY / "workflows").glob("*.yml")])
#: What a project has.
PROJECT = sorted([*WORKFLOWS.glob("*.yml"), REPOSITORY / "workflows/ci.yml"])
GITLAB = deploy.TEMPLATES / "gitlab/.gitlab-ci.yml"
IMAGE_SCRIPT = deploy.TEMPLATES / "ci/image.sh"
HERE = Path(sys.prefix)
DIGEST = f"sha256:{'a' * 64}"
GITHUB = {
    "github.run_id": "7", "github.run_attempt": "1", "github.token": "token", "github.repository": "Owner/churn",
    "github.server_url": "https://github.com", "github.event.client_payload.reason": "the alert SklinePerformance",
}  # fmt: skip
GITLAB_VARIABLES = {
    "CI_REGISTRY_IMAGE": "registry.example.org/owner/churn", "CI_COMMIT_SHA": "c" * 40, "CI_DEFAULT_BRANCH": "main",
    "CI_PROJECT_URL": "https://gitlab.example.org/owner/churn", "CI_SERVER_URL": "https://gitlab.example.org",
    "CI_PIPELINE_ID": "7", "CI_JOB_ID": "1", "CI_SERVER_HOST": "gitlab.example.org", "CI_PROJECT_PATH": "owner/churn",
    "CI_PROJECT_ID": "3", "CI_API_V4_URL": "https://gitlab.example.org/api/v4", "SKLINE_TOKEN": "secret",
}  # fmt: skip
#: Recipes that the workflows of projects call.
RECIPES = ("check", "image", "monitor", "repro", "results", "retrain", "smoke", "tables", "test", "wheel")


def environment(**variables: str) -> dict[str, str]:
    names = ("PYTHONPATH", "MLFLOW_TRACKING_URI")
    present = {name: value for name, value in os.environ.items() if name not in names and not name.startswith("PYTEST")}
    path = os.pathsep.join([str(HERE / "bin"), os.environ["PATH"]])
    github = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "Owner/churn", "GITHUB_REF_NAME": "main"}
    return present | github | {"PATH": path, "GITHUB_ACTOR": "owner"} | variables


def recipe(justfile: str, name: str) -> list[str]:
    """Return the lines of a recipe, without the defaults of its parameters."""
    [block] = re.findall(rf"^{name}(?: .*)?:.*\n(?:(?:    .*)?\n)*", justfile, re.M)
    return [re.sub(r'="\w+"', "", line) for line in block.strip().splitlines()]


@pytest.mark.parametrize("folder", [TEMPLATE, REPOSITORY], ids=["template", "repository"])
def test_workflows_pass_the_checks(folder: Path) -> None:
    checks.check_github(folder)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_workflow_has_limits_and_pinned_actions(path: Path) -> None:
    text = path.read_text()
    content = yaml.safe_load(text)
    assert content["permissions"] in ({}, {"contents": "read"})
    assert content["concurrency"]["group"]
    assert all(job["timeout-minutes"] for job in content["jobs"].values())
    assert all(re.fullmatch(r"[\w/.-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", use) for use in re.findall(r"uses: (.+)", text))


def test_an_action_has_the_same_version_in_all_workflows() -> None:
    uses = {use for path in ALL for use in re.findall(r"uses: (.+)", path.read_text())}
    assert len(uses) == len({use.partition("@")[0] for use in uses})


def test_only_one_job_may_open_issues_and_only_releases_may_sign() -> None:
    rights: dict[str, set[tuple[str, str]]] = {}
    for path in ALL:
        for name, job in yaml.safe_load(path.read_text())["jobs"].items():
            for right, value in job.get("permissions", {}).items():
                if value == "write":
                    rights.setdefault(right, set()).add((path.stem, name))
    assert rights == {
        "issues": {("template", "report")},
        "id-token": {("release", "publish"), ("docs", "publish")},
        "packages": {("release", "publish"), ("release", "canary"), ("release", "production")},
        "pages": {("docs", "publish")},
        "contents": {("retrain", "retrain")},
        "pull-requests": {("retrain", "retrain")},
    }


def test_scripts_of_steps_are_valid_for_shellcheck(tmp_path: Path) -> None:
    for path in ALL:
        for job in yaml.safe_load(path.read_text())["jobs"]:
            for number, step in enumerate(steps_of(path, job)):
                (tmp_path / f"{path.stem}-{job}-{number}.sh").write_text("#!/bin/bash\n" + step["run"])
    for name, job in gitlab_jobs(GITLAB).items():
        if "script" in job:
            (tmp_path / f"gitlab-{name}.sh").write_text("#!/bin/bash\n" + "\n".join(job["script"]))
    for name in ("monitor", "results", "retrain", "smoke"):
        lines = [re.sub(r"\{\{(\w+)\}\}", r"\1", line) for line in recipe(project_justfile(), name)[1:]]
        head = [] if lines[0].strip().startswith("#!") else ["#!/bin/bash"]
        (tmp_path / f"just-{name}.sh").write_text("\n".join([*head, *(line[4:] for line in lines), ""]))
    checks.run("shellcheck", *sorted(tmp_path.iterdir()))


def test_recipes_of_the_workflows_are_the_same_in_this_repository_and_in_projects() -> None:
    own = (ROOT / "justfile").read_text()
    for name in ("monitor", "results", "retrain", "smoke", "tables"):
        assert recipe(own, name) == recipe(project_justfile(), name)
    used = {name for path in [*PROJECT, GITLAB] for name in re.findall(r"uv run just ([\w-]+)", path.read_text())}
    assert used == set(RECIPES)
    for path in ALL:
        for name in re.findall(r"uv run just ([\w-]+)", path.read_text()):
            assert recipe(own, name), name
    for name in used:
        assert recipe(project_justfile(), name), name


def test_gitlab_has_the_jobs_of_github_with_the_same_steps() -> None:
    github = {
        name: shared_steps([step["run"] for step in steps_of(path, name)])
        for path in PROJECT
        for name in yaml.safe_load(path.read_text())["jobs"]
    }
    gitlab = {name: shared_steps(job.get("script", [])) for name, job in gitlab_jobs(GITLAB).items()}
    assert gitlab.pop("container_scanning") == []  # an action does this on GitHub
    assert gitlab == github
    assert all(github.values())


@pytest.mark.parametrize(("status", "expected"), [(0, 0), (10, 0), (20, 20), (1, 1)])
def test_run_of_monitoring_fails_for_an_alarm_and_an_error(tmp_path: Path, status: int, expected: int) -> None:
    [step] = [each for each in steps_of(WORKFLOWS / "monitor.yml", "monitor") if "just monitor" in each["run"]]
    runner = Runner(tmp_path, tmp_path / "runner", environment(), GITHUB)
    runner.write_program("skline", f"exit {status}")
    assert runner.run(step).returncode == expected


@pytest.mark.parametrize(
    ("statuses", "expected", "calls"),
    [
        ({"monitor": 20, "retrain": 0}, 0, ["monitor", "retrain --reason the alert SklinePerformance"]),
        ({"monitor": 1, "retrain": 0}, 1, ["monitor"]),
        ({"monitor": 0, "retrain": 4}, 4, ["monitor", "retrain --reason the alert SklinePerformance"]),
    ],
)
def test_run_of_retraining_decides_by_monitoring_and_fails_for_a_rejected_candidate(
    tmp_path: Path, statuses: dict[str, int], expected: int, calls: list[str]
) -> None:
    [step] = [each for each in steps_of(WORKFLOWS / "retrain.yml", "retrain") if "just retrain" in each["run"]]
    runner = Runner(tmp_path, tmp_path / "runner", environment(), GITHUB)
    cases = " ".join(f"{name}) exit {status} ;;" for name, status in statuses.items())
    runner.write_program("skline", f'echo "skline $*" >> "$CALLS/calls"\ncase "$1" in {cases} esac')
    assert runner.run(step).returncode == expected
    assert runner.calls("skline") == calls


def releasing(folder: Path, **variables: str) -> Runner:
    """Return a runner of a project that has a model and the script of its releases."""
    checks.tool("jq", "jq")
    (folder / "deploy").mkdir()
    (folder / "deploy/image.sh").write_bytes(IMAGE_SCRIPT.read_bytes())
    (folder / "artifact.sha256").write_text("b" * 64 + "\n")
    return Runner(folder, folder / "runner", environment(GITHUB_SHA="c" * 40, **variables), GITHUB)


def step_with(path: Path, job: str, text: str) -> dict[str, Any]:
    [step] = [each for each in steps_of(path, job) if text in each["run"]]
    return step


def test_release_signs_and_moves_the_digest_that_was_pushed(tmp_path: Path) -> None:
    runner = releasing(tmp_path, METADATA=f'{{"containerimage.digest": "{DIGEST}"}}')
    path, image = WORKFLOWS / "release.yml", "ghcr.io/owner/churn"
    done = runner.run(step_with(path, "publish", "push"))
    assert done.returncode == 0, done.stderr
    assert runner.values["steps.push.outputs.digest"] == DIGEST
    assert runner.calls("cosign") == []
    assert runner.run(step_with(path, "publish", "sign")).returncode == 0
    assert runner.calls("cosign") == [f"sign --yes {image}@{DIGEST}"]
    [build] = [call for call in runner.calls("docker") if call.startswith("buildx build")]
    assert f"--build-arg ARTIFACT_DIGEST={'b' * 64} -t {image}:{'c' * 40} ." in build
    runner.values["needs.publish.outputs.digest"] = DIGEST
    for job in ("canary", "production"):
        assert runner.run(step_with(path, job, "move")).returncode == 0
        assert runner.calls("cosign")[-1] == (
            "verify --certificate-identity "
            "https://github.com/Owner/churn/.github/workflows/release.yml@refs/heads/main "
            f"--certificate-oidc-issuer https://token.actions.githubusercontent.com {image}@{DIGEST}"
        )
        assert runner.calls("docker")[-1] == f"buildx imagetools create -t {image}:{job} {image}@{DIGEST}"


def test_release_neither_signs_without_a_digest_nor_returns_to_a_tag(tmp_path: Path) -> None:
    runner = releasing(tmp_path, METADATA="{}")
    path = WORKFLOWS / "release.yml"
    assert runner.run(step_with(path, "publish", "push")).returncode != 0
    assert "steps.push.outputs.digest" not in runner.values
    assert runner.run(step_with(path, "publish", "sign")).returncode == 1
    runner.values["inputs.digest"] = "latest"
    done = runner.run(step_with(path, "production", "move"))
    assert (done.returncode, done.stderr) == (1, "not a digest: 'latest'; write sha256: and 64 hexadecimal digits\n")
    assert runner.calls("cosign") == []


def test_image_that_nobody_signed_is_not_moved(tmp_path: Path) -> None:
    runner = releasing(tmp_path)
    runner.write_program("cosign", "exit 1")
    runner.values["inputs.digest"] = DIGEST
    assert runner.run(step_with(WORKFLOWS / "release.yml", "production", "move")).returncode == 1
    assert not [call for call in runner.calls("docker") if "imagetools" in call]


def test_gitlab_signs_and_moves_the_digest_that_was_pushed(tmp_path: Path) -> None:
    runner = releasing(tmp_path, METADATA=f'{{"containerimage.digest": "{DIGEST}"}}', **GITLAB_VARIABLES)
    jobs, image = gitlab_jobs(GITLAB), GITLAB_VARIABLES["CI_REGISTRY_IMAGE"]
    done = runner.run_job(jobs["publish"])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "image.env").read_text() == f"DIGEST={DIGEST}\n"
    assert runner.calls("cosign") == [f"sign --yes {image}@{DIGEST}"]
    runner.environment["DIGEST"] = DIGEST
    for job in ("canary", "production"):
        assert runner.run_job(jobs[job]).returncode == 0
        assert runner.calls("cosign")[-1] == (
            "verify --certificate-identity https://gitlab.example.org/owner/churn//.gitlab-ci.yml@refs/heads/main "
            f"--certificate-oidc-issuer https://gitlab.example.org {image}@{DIGEST}"
        )
        assert runner.calls("docker")[-1] == f"buildx imagetools create -t {image}:{job} {image}@{DIGEST}"


@pytest.mark.parametrize(("found", "call"), [("", "issue create"), ("12", "issue comment 12")])
def test_failure_with_the_latest_versions_opens_one_issue(tmp_path: Path, found: str, call: str) -> None:
    runner = Runner(tmp_path, tmp_path / "runner", environment(), GITHUB)
    runner.write_program("gh", f'echo "gh $*" >> "$CALLS/calls"\n[ "$2" != list ] || echo "{found}"')
    [step] = steps_of(REPOSITORY / "workflows/template.yml", "report")
    assert runner.run(step).returncode == 0
    calls = runner.calls("gh")
    assert len(calls) == 2
    assert calls[1].startswith(call)
    assert "https://github.com/Owner/churn/actions/runs/7" in calls[1]
