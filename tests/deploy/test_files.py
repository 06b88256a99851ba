"""The deployment files: those of the demo are rendered from the templates; their readers accept them."""

import subprocess
from pathlib import Path, PurePosixPath

import pytest

from scripts import deploy
from skline.deploy import templates
from skline.deploy.secrets import ensure_secrets
from skline.errors import SklineError
from skline.logs.settings import LogSettings
from skline.serving.settings import ServiceSettings
from tests.deploy import checks
from tests.fixtures.demo import ROOT

DEPLOY = ROOT / "deploy"


def files_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and "secrets" not in path.parts]


def test_files_of_the_demo_are_those_of_the_templates() -> None:
    remedy = "run `uv run python -m scripts.deploy`"
    for source, copy in deploy.COPIES.items():
        assert (ROOT / source).read_bytes() == (deploy.TEMPLATES / copy).read_bytes(), remedy
    assert {path: (ROOT / path).read_text() for path in deploy.rendered()} == deploy.rendered(), remedy


def test_every_template_belongs_to_a_kind() -> None:
    used = {folder for folders in templates.KINDS.values() for folder, _ in folders}
    assert used == {path.name for path in deploy.TEMPLATES.iterdir()}


@pytest.mark.parametrize(
    ("project", "name"), [("flights", "flights"), ("Churn_2.b", "churn-2-b"), ("a" * 60, "a" * 40)]
)
def test_name_of_a_project_becomes_one_of_a_container(project: str, name: str) -> None:
    assert templates.deployment_name(project) == name


def test_name_without_a_letter_in_front_is_an_error() -> None:
    with pytest.raises(
        SklineError, match=r"project.name is '2024'; a deployment needs a name that begins with a letter"
    ):
        templates.deployment_name("2024")


def test_files_are_written_once_and_edited_ones_are_found(tmp_path: Path) -> None:
    rendered = templates.render("compose", "churn")
    assert templates.write_files(tmp_path, rendered) == list(rendered)
    assert templates.write_files(tmp_path, rendered) == []
    assert (tmp_path / "deploy/backup.sh").stat().st_mode & 0o777 == 0o755
    edited = PurePosixPath("deploy/compose.yaml")
    (tmp_path / edited).write_text("name: mine\n")
    assert templates.different_files(tmp_path, rendered) == [edited]


def test_secrets_are_random_complete_and_never_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = ensure_secrets(tmp_path)
    before = {path: path.read_bytes() for path in written}
    assert ensure_secrets(tmp_path) == []
    assert {path: path.read_bytes() for path in written} == before
    assert len(set(before.values())) == len(before)
    folder = tmp_path / "deploy/secrets"
    assert folder.stat().st_mode & 0o777 == 0o700, "the files are readable, and the folder is not"
    assert {path.stat().st_mode & 0o777 for path in written} == {0o644}
    (folder / "postgres/predictions_password").unlink()
    assert ensure_secrets(tmp_path) == [folder / "postgres/predictions_password"]
    for name in ("SKLINE_LOG__DATABASE", "SKLINE_LOG__ENTITY_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SKLINE_SECRETS_DIR", str(folder / "service"))
    address = before[folder / "service/skline_log__database"].decode().strip()
    for log in (ServiceSettings().log, LogSettings.from_environment()):
        assert log.database == address
        assert log.entity_key is not None


def test_missing_folder_of_secrets_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKLINE_SECRETS_DIR", str(tmp_path / "absent"))
    with pytest.raises(SklineError, match="absent"):
        LogSettings.from_environment()


def test_texts_keep_the_rules_of_their_formats() -> None:
    checks.check_texts([ROOT / "Dockerfile", *files_of(DEPLOY)])


def test_compose_file_is_valid_and_its_containers_are_confined() -> None:
    checks.check_compose(DEPLOY / "compose.yaml")


def test_configuration_of_monitoring_is_valid(tmp_path: Path) -> None:
    checks.check_prometheus(DEPLOY / "prometheus")
    checks.check_alertmanager(DEPLOY / "alertmanager/alertmanager.yml", tmp_path)


def test_kubernetes_overlays_are_valid_and_their_pods_are_confined(tmp_path: Path) -> None:
    checks.check_kubernetes(DEPLOY / "k8s", tmp_path)


def test_configuration_of_caddy_is_valid() -> None:
    checks.check_caddy(DEPLOY / "proxy/Caddyfile")


def test_configuration_of_nginx_is_valid(tmp_path: Path) -> None:
    checks.check_nginx(DEPLOY / "proxy/nginx.conf", tmp_path)


def test_configuration_of_haproxy_is_valid(tmp_path: Path) -> None:
    checks.check_haproxy(DEPLOY / "proxy/haproxy.cfg", tmp_path)


def test_command_runs_again_after_its_time_and_ends_at_a_signal(tmp_path: Path) -> None:
    command = ["sh", str(DEPLOY / "every.sh"), "1", "sh", "-c", f"echo run >>{tmp_path}/runs; exit 10"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        lines = [running.stdout.readline() for _ in range(2)]
        running.terminate()
        assert running.wait(5) == 0
    assert all("ended with status 10" in line for line in lines)
    assert (tmp_path / "runs").read_text().count("run") >= 2


def test_pipeline_of_gitlab_is_valid() -> None:
    checks.check_gitlab(deploy.TEMPLATES / "gitlab/.gitlab-ci.yml")


def test_texts_of_the_workflows_keep_the_rules_of_their_formats() -> None:
    workflows = [path for folder in ("github", "gitlab", "ci") for path in files_of(deploy.TEMPLATES / folder)]
    checks.check_texts([*workflows, *files_of(ROOT / ".github")])
