"""Deployment files of a rendered project have its name, and pass the checks of the demo's."""

from pathlib import Path

import pytest

from tests.deploy import checks
from tests.template.running import init_project, run_module
from tests.template.tables import TABLES


@pytest.mark.slow
def test_project_gets_deployment_files_of_its_own(project: Path, tmp_path: Path) -> None:
    init_project(project, TABLES["punctuation"]())
    before = {path for path in project.rglob("*") if path.is_file()}
    for kind in ("compose", "k8s", "gitlab", "github"):
        run_module(project, "skline.cli", "deploy", "init", kind)
    files = sorted({path for path in project.rglob("*") if path.is_file()} - before)
    assert files
    assert not [path for path in files if "__NAME__" in path.read_text() or "flights" in path.read_text()]
    checks.check_texts(files)
    deploy = project / "deploy"
    assert "\nname: a-table\n" in (deploy / "compose.yaml").read_text()
    checks.check_compose(deploy / "compose.yaml")
    checks.check_prometheus(deploy / "prometheus")
    checks.check_alertmanager(deploy / "alertmanager/alertmanager.yml", tmp_path)
    checks.check_caddy(deploy / "proxy/Caddyfile")
    checks.check_kubernetes(deploy / "k8s", tmp_path)
    checks.check_gitlab(project / ".gitlab-ci.yml")
    checks.check_github(project / ".github")
    (deploy / "compose.yaml").write_text("name: mine\n")
    message = run_module(project, "skline.cli", "deploy", "init", "compose", status=1)
    assert message.startswith(
        "error: these files exist with another content: deploy/compose.yaml; nothing was written."
    )
    assert "1 of " in run_module(project, "skline.cli", "deploy", "init", "compose", "--force")
    assert "11 secrets written" in run_module(project, "skline.cli", "deploy", "secrets")
    assert (deploy / ".gitignore").read_text() == "/.env\n/secrets/\n"
