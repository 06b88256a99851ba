"""What `skline monitor` passes on about the services on this machine."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from skline.cli import parser
from skline.errors import SklineError
from skline.monitoring.job import Job
from skline.release.services import ServiceState, StatusFile
from tests.fixtures import demo
from tests.fixtures.releases import ServedReleases

REASON = "demo@2 has another contract than demo@1; restart the service to serve it"


def monitored(monkeypatch: pytest.MonkeyPatch, *words: str) -> Job:
    """Return the job that the command would run."""
    jobs: list[Job] = []

    def run(job: Job, *_: Any) -> None:
        jobs.append(job)
        raise SklineError("not run")

    monkeypatch.setattr("skline.monitoring.run.run", run)
    arguments: argparse.Namespace = parser().parse_args(["monitor", *words])
    with pytest.raises(SklineError, match="not run"):
        arguments.run(arguments)
    return jobs[0]


def test_a_window_that_ends_now_has_the_services_that_reject_the_release(
    tmp_path: Path, packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_text("project: {name: demo}\nsource: {uri: t.csv}\n")
    monkeypatch.chdir(tmp_path)
    releases = ServedReleases(tmp_path)
    releases.promote(packaged)
    assert monitored(monkeypatch).rejections == ()
    service = StatusFile(releases.store.manifest)
    service.write(ServiceState(address="127.0.0.1:8000", version="demo@1", release=1, checked=2, rejected=REASON))
    assert monitored(monkeypatch).rejections == (f"the service at 127.0.0.1:8000 still serves demo@1: {REASON}",)
    assert monitored(monkeypatch, "--asof", "2026-01-01").rejections == ()
    service.remove()
    assert monitored(monkeypatch).rejections == ()


def test_history_without_windows_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments: argparse.Namespace = parser().parse_args(["monitor", "history"])
    assert arguments.run(arguments) == 0
    assert "no window has been monitored yet" in capsys.readouterr().out
