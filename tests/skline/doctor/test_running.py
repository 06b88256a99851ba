"""`skline doctor` while the pipeline runs: outputs that a stage writes right now are no fault."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from skline.doctor import run, running
from skline.doctor.findings import Finding


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to an empty folder, in which every check finds something broken."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "CHECKS", {name: lambda: [Finding("broken", "gone")] for name in run.CHECKS})


def write_rwlock(text: str) -> None:
    """Write DVC's file of locks."""
    running.RWLOCK.parent.mkdir(parents=True)
    running.RWLOCK.write_text(text, encoding="utf-8")


def locks_of(pid: int) -> str:
    """Return the locks of a process, as DVC writes them."""
    return json.dumps({"write": {"/p/artifact": {"pid": pid, "cmd": "dvc repro"}}, "read": {}})


def ended_process() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_outputs_are_not_checked_while_a_stage_runs() -> None:
    write_rwlock(locks_of(os.getpid()))
    findings = run.run_checks()
    [finding] = findings.pop("pipeline")
    assert finding.level == "warning"
    assert f"the pipeline is running (process {os.getpid()})" in finding.message
    assert set(findings) == set(run.CHECKS) - set(running.OUTPUT_CHECKS)
    assert set(running.OUTPUT_CHECKS) < set(run.CHECKS)


@pytest.mark.parametrize("content", ["none", "no lock", "damaged", "killed"])
def test_all_is_checked_otherwise(content: str) -> None:
    if content != "none":
        write_rwlock({"no lock": "{}", "damaged": '{"write"', "killed": locks_of(ended_process())}[content])
    assert set(run.run_checks()) == set(run.CHECKS)
