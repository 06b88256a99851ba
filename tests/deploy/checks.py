"""Checks of deployment files by the tools that will read them, or by linters of their formats."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from skline.logs.settings import LogSettings

#: Where Debian's servers are, which are not in every user's PATH.
SEARCH_PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"])
YAML_RULES = (
    "{extends: default, rules: {line-length: {max: 160}, document-start: disable, truthy: {check-keys: false}, "
    "braces: {max-spaces-inside: 1}, comments: {min-spaces-from-content: 1}}}"
)
#: An exact version, as far as an image without a digest can be exact.
EXACT_TAG = re.compile(r".+:v?\d+\.\d+(\.\d+)?([-.\w]*)(@sha256:[0-9a-f]{64})?")


def tool(name: str, package: str) -> str:
    """Return the path of a program; skip the test without it, or fail where CI should have installed it."""
    path = shutil.which(name, path=SEARCH_PATH)
    if path is None:
        reason = f"{name} is not installed; on Debian: apt-get install {package}"
        if os.environ.get("CI") and sys.platform == "linux":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def run(*command: str | Path, **environment: str) -> str:
    """Run a program, which has to succeed; return its output."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PATH": SEARCH_PATH} | environment
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def check_texts(files: Iterable[Path]) -> None:
    """Lint YAML, shell scripts and Dockerfiles."""
    files = list(files)
    run("yamllint", "--strict", "-d", YAML_RULES, *[path for path in files if path.suffix in (".yaml", ".yml")])
    run("shellcheck", *[path for path in files if path.suffix == ".sh"])
    if dockerfiles := [path for path in files if path.name.endswith("Dockerfile")]:
        run("hadolint", *dockerfiles)


def check_compose(path: Path) -> None:
    """Check a compose file by its schema, and by the rules that every container of it keeps."""
    run("check-jsonschema", "-q", "--builtin-schema", "vendor.compose-spec", path)
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    for name, service in content["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not str(service["user"]).startswith(("0", "root")), name
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}, name
        assert "healthcheck" in service or "every.sh" in str(service["command"]), name
        assert service["image"].startswith("${") or EXACT_TAG.fullmatch(service["image"]), service["image"]
        for mount in service.get("volumes", ()):
            assert "docker.sock" not in mount, name
            if mount.startswith("./") and not mount.startswith("./secrets/"):
                assert (path.parent / mount.split(":")[0]).exists(), mount
    networks, services = content["networks"], content["services"]
    assert [name for name, service in services.items() if "postgres-data" in str(service)] == ["postgres"]
    assert services["postgres"]["networks"] == ["database"]
    assert networks["database"] == {"internal": True}
    published = {name for name, service in services.items() if "ports" in service}
    assert published == {"proxy", "grafana"}
    assert not {"database"} & set(services["proxy"]["networks"] + services["grafana"]["networks"])


def check_prometheus(folder: Path) -> None:
    """Check the configuration and the rules."""
    promtool = tool("promtool", "prometheus")
    run(promtool, "check", "config", "--syntax-only", folder / "prometheus.yml")
    run(promtool, "check", "rules", folder / "rules.yml")


def check_alertmanager(path: Path, folder: Path) -> None:
    """Check the configuration; Debian's Alertmanager is older than `url_file`, and gets an address instead."""
    text = path.read_text()
    assert text.count("url_file: /run/alertmanager/webhook_url") == 1
    older = folder / "alertmanager.yml"
    older.write_text(text.replace("url_file: /run/alertmanager/webhook_url", "url: http://127.0.0.1:9/"))
    run(tool("amtool", "prometheus-alertmanager"), "check-config", older)


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for localhost; return it with its key in one file, and the key."""
    both, key, public = folder / "model.pem", folder / "model.key", folder / "public.pem"
    run(
        tool("openssl", "openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        "-keyout", key, "-out", public, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
    )  # fmt: skip
    both.write_text(public.read_text() + key.read_text())
    return both, key


def check_caddy(path: Path) -> None:
    """Check the configuration with and without TLS and a prefix, and its form."""
    caddy = "caddy"  # from the group dev
    for settings in ({}, {"SITE_ADDRESS": "ml.example.org", "PREFIX": "/ml", "UPSTREAMS": "one:8000 two:8000"}):
        run(caddy, "validate", "--config", path, "--adapter", "caddyfile", **settings)
    assert run(caddy, "fmt", path) == path.read_text()


def check_nginx(path: Path, folder: Path) -> None:
    """Check the configuration with a certificate of the test."""
    both, key = certificate(folder)
    text = (
        path.read_text().replace("/etc/ssl/certs/model.pem", str(both)).replace("/etc/ssl/private/model.key", str(key))
    )
    (folder / "nginx.conf").write_text(text.replace("/run/nginx.pid", str(folder / "nginx.pid")))
    run(tool("nginx", "nginx-light"), "-t", "-c", folder / "nginx.conf", "-e", "stderr")


def check_haproxy(path: Path, folder: Path) -> None:
    """Check the configuration with a certificate of the test."""
    both, _ = certificate(folder)
    (folder / "haproxy.cfg").write_text(path.read_text().replace("/etc/ssl/private/model.pem", str(both)))
    run(tool("haproxy", "haproxy"), "-c", "-f", folder / "haproxy.cfg")


def check_gitlab(path: Path) -> None:
    """Check the pipeline by its schema."""
    run("check-jsonschema", "-q", "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", path)


def check_github(folder: Path) -> None:
    """Check the workflows of a folder .github and its Dependabot by their schemas and for what would let others in."""
    workflows = sorted((folder / "workflows").glob("*.yml"))
    assert workflows
    run("check-jsonschema", "-q", "--builtin-schema", "vendor.github-workflows", *workflows)
    if (dependabot := folder / "dependabot.yml").exists():
        run("check-jsonschema", "-q", "--builtin-schema", "vendor.dependabot", dependabot)
    run("zizmor", "--offline", "-q", folder)


def kustomized(overlay: Path) -> list[dict[str, Any]]:
    """Return the objects of an overlay; skip the test without kubectl, which is part of CI's images."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed, whose `kustomize` builds overlays")
    return [each for each in yaml.safe_load_all(run(kubectl, "kustomize", overlay)) if each]


def check_kubernetes(folder: Path, temporary: Path) -> None:
    """Check the objects of all overlays by the schemas of Kubernetes, and their pods by the rules for every pod."""
    objects = {overlay.name: kustomized(overlay) for overlay in sorted((folder / "overlays").iterdir())}
    assert objects.keys() == {"canary", "dev", "production"}
    for name, each in objects.items():
        known = [item for item in each if not item["apiVersion"].startswith("monitoring.coreos.com/")]
        (temporary / f"{name}.yaml").write_text(yaml.safe_dump_all(known))
    run("kubernetes-validate", "--strict", "--no-warn", *[temporary / f"{name}.yaml" for name in objects])
    pods = [_pod(item) for each in objects.values() for item in each if item["kind"] in ("Deployment", "CronJob")]
    assert len(pods) == 6
    for pod in pods:
        _check_pod(pod)
    production = {(item["kind"], item["metadata"]["name"]): item for item in objects["production"]}
    _check_shutdown(production)
    _check_selectors(objects["production"], objects["canary"])
    [rules] = [item for item in objects["production"] if item["kind"] == "PrometheusRule"]
    (temporary / "rules.yml").write_text(yaml.safe_dump(rules["spec"]))
    run(tool("promtool", "prometheus"), "check", "rules", temporary / "rules.yml")


def _pod(item: dict[str, Any]) -> dict[str, Any]:
    spec = item["spec"]["jobTemplate"]["spec"] if item["kind"] == "CronJob" else item["spec"]
    pod: dict[str, Any] = spec["template"]["spec"]
    return pod


def _check_pod(pod: dict[str, Any]) -> None:
    """Check what Kubernetes calls a restricted pod, and besides: no token, a read-only root, limits."""
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert EXACT_TAG.fullmatch(container["image"]) or container["image"].endswith(":dev")


def _check_shutdown(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Check that a pod has the time that its shutdown takes, and is not ready before it stops."""
    [deployment] = [item for (kind, _), item in objects.items() if kind == "Deployment"]
    [settings] = [item["data"] for (kind, name), item in objects.items() if kind == "ConfigMap" and "settings" in name]
    pod = _pod(deployment)
    [container] = pod["containers"]
    pre_stop = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain, request = float(settings["SKLINE_DRAIN_SECONDS"]), float(settings["SKLINE_LIMITS__REQUEST_SECONDS"])
    log = LogSettings.model_fields["drain_seconds"].default
    assert pod["terminationGracePeriodSeconds"] >= pre_stop + drain + request + log
    readiness = container["readinessProbe"]
    assert readiness["periodSeconds"] * readiness["failureThreshold"] < drain
    paths = {"startupProbe": "/health/ready", "readinessProbe": "/health/ready", "livenessProbe": "/health/live"}
    assert {probe: container[probe]["httpGet"]["path"] for probe in paths} == paths


def _check_selectors(production: list[dict[str, Any]], canary: list[dict[str, Any]]) -> None:
    """Check that the service reaches the pods of both deployments, and that each deployment owns its pods alone."""
    [service] = [item for item in production if item["kind"] == "Service"]
    deployments = [item for item in [*production, *canary] if item["kind"] == "Deployment"]
    labels = [item["spec"]["template"]["metadata"]["labels"] for item in deployments]
    for item, own, other in zip(deployments, labels, reversed(labels), strict=True):
        assert service["spec"]["selector"].items() <= own.items()
        assert item["spec"]["selector"]["matchLabels"].items() <= own.items()
        assert not item["spec"]["selector"]["matchLabels"].items() <= other.items()
    assert len(deployments) == 2
