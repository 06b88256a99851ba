"""The list of checks, and how they run: all at once, since the slow ones wait for other processes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from skline.doctor import (
    artifact,
    contract,
    engine,
    environment,
    mlflow,
    parameters,
    releases,
    remote,
    repository,
    requirements,
    template,
)
from skline.doctor.findings import Finding
from skline.doctor.running import OUTPUT_CHECKS, report_running, running_process

#: Checks by name, in the order of the report.
CHECKS: dict[str, Callable[[], list[Finding]]] = {
    "environment": environment.check,
    "engine": engine.check,
    "git": repository.check_git,
    "params": parameters.check,
    "contract": contract.check,
    "dvc": repository.check_dvc,
    "remote": remote.check,
    "artifact": artifact.check,
    "image": requirements.check,
    "mlflow": mlflow.check,
    "releases": releases.check,
    "template": template.check,
}


def run_checks() -> dict[str, list[Finding]]:
    """Run all checks on the project in the current folder; return the findings by the name of the check.

    While the pipeline runs, its outputs are not checked.
    """
    pid = running_process()
    checks = {name: check for name, check in CHECKS.items() if pid is None or name not in OUTPUT_CHECKS}
    with ThreadPoolExecutor(len(checks)) as pool:
        futures = {name: pool.submit(check) for name, check in checks.items()}
        findings = {name: future.result() for name, future in futures.items()}
    return findings if pid is None else {"pipeline": [report_running(pid)], **findings}
