"""Run every check, all at once, and tell what they found."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from skline.doctor.finding import Finding

MARKS = {"ok": "ok    ", "look": "look  ", "broken": "BROKEN"}


def checks() -> dict[str, Callable[[], list[Finding]]]:
    """Every check by its subject, in the order in which they are told."""
    from skline.doctor import environment, leftovers, packaged, parameters, repository, table, tracking

    return {
        "environment": environment.check,
        "git": repository.check_git,
        "params": parameters.check,
        "contract": table.check,
        "dvc": repository.check_dvc,
        "artifact": packaged.check,
        "mlflow": tracking.check,
        "template": leftovers.check,
    }


def examine() -> dict[str, list[Finding]]:
    """Carry out the checks on the project in the current folder; the slow ones wait for others' processes."""
    chosen = checks()
    with ThreadPoolExecutor(len(chosen)) as pool:
        running = {name: pool.submit(check) for name, check in chosen.items()}
        return {name: future.result() for name, future in running.items()}


def told(found: Mapping[str, list[Finding]]) -> str:
    """Write the findings for a person."""
    lines = []
    for subject, findings in found.items():
        for finding in findings:
            lines.append(f"{MARKS[finding.level]}  {subject:<12} {finding.what}")
            lines += [f"{'':22} {detail}" for detail in finding.details]
            if finding.remedy:
                lines.append(f"{'':20} → {finding.remedy}")
    return "\n".join(lines)


def as_json(found: Mapping[str, list[Finding]]) -> str:
    """Write the findings for a program: a list of objects."""
    rows = [{"check": subject} | finding._asdict() for subject, findings in found.items() for finding in findings]
    return json.dumps(rows, ensure_ascii=False, indent=2)
