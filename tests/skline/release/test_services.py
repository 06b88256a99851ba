"""What running services say about a release, as the command that published it reports it."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from skline.commands.flag import set_flag
from skline.commands.rollback import rollback
from skline.contract.derive import derive
from skline.errors import SklineError
from skline.release.services import (
    ServiceState,
    StatusFile,
    describe_statuses,
    has_rejected,
    read_statuses,
    wait_for_services,
)
from tests.fixtures import demo
from tests.fixtures.releases import ServedReleases, version_of, wait_for_release
from tests.skline.serving.test_app import Inputs, Number

FLAG = argparse.Namespace(name="explain", state="off", reason="")


def state(release: int | None, checked: int | None, rejected: str | None = None) -> ServiceState:
    return ServiceState(
        address="127.0.0.1:8000", version=f"demo@{release}", release=release, checked=checked, rejected=rejected
    )


def test_commands_report_whether_a_service_follows_or_rejects_a_release(
    tmp_path: Path, packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.DataFrame({"a": np.arange(9.0), "class, %": np.arange(9.0)})
    fitted = LinearRegression().fit(frame, frame["a"])
    other = demo.package(tmp_path / "other", fitted, derive(Inputs, Number, {}), [{"a": 1.0, "class, %": 2.0}])
    releases = ServedReleases(tmp_path)
    releases.promote(other)
    releases.promote(packaged)
    monkeypatch.chdir(tmp_path)
    with releases.serve() as client:
        wait_for_release(client, 2)
        with pytest.raises(SklineError, match="release 3 is published, and 1 of 1 running processes reject it"):
            rollback(argparse.Namespace(to=None, reason="a complaint"))
        printed = capsys.readouterr().out
        assert f"127.0.0.1:8000: rejected: {version_of(other)} has another contract than" in printed
        assert f"(in service: {version_of(packaged)})" in printed
        assert printed.startswith("release 3 is published: ")
        assert "in force" not in printed
        rollback(argparse.Namespace(to=2, reason="back"))
        printed = capsys.readouterr().out
        assert f"127.0.0.1:8000: in service: {version_of(packaged)}\n" in printed
        assert "until it is restarted" not in printed, "the service has said that it serves the release"
        set_flag(FLAG)
        assert f"127.0.0.1:8000: in service: {version_of(packaged)}\n" in capsys.readouterr().out
    assert list((tmp_path / "releases/services").iterdir()) == []
    set_flag(FLAG)
    assert "no service on this machine follows releases/release.json" in capsys.readouterr().out


def test_a_service_that_cannot_write_its_status_serves_and_is_not_seen(
    tmp_path: Path, packaged: demo.Packaged, caplog: pytest.LogCaptureFixture
) -> None:
    releases = ServedReleases(tmp_path)
    releases.promote(packaged)
    (tmp_path / "releases/services").touch()  # not a folder: as on a read-only file system, nothing can be created
    with caplog.at_level("INFO", "skline.serving"), releases.serve() as client:
        wait_for_release(client, releases.set_flags(explain=False))
        assert read_statuses(releases.store.manifest) == []
    assert caplog.text.count("`skline promote` and `rollback` do not see this service") == 1


def test_status_is_written_again_if_it_was_deleted_and_a_leftover_is_removed(tmp_path: Path) -> None:
    manifest = tmp_path / "releases/release.json"
    service = StatusFile(manifest)
    service.write(state(1, 1))
    assert not manifest.parent.exists()  # where nothing can be released, there is nobody to tell
    manifest.parent.mkdir()
    service.write(state(1, 1))
    [status] = read_statuses(manifest)
    assert (status.release, status.checked) == (1, 1)
    for path in (manifest.parent / "services").iterdir():
        path.unlink()
    service.write(state(1, 1))
    assert len(read_statuses(manifest)) == 1
    leftover = manifest.parent / "services/1-dead.json"
    leftover.write_text(status.model_dump_json())
    leftover.with_suffix(".lock").touch()  # nobody holds it: the kernel has freed it
    assert len(read_statuses(manifest)) == 1
    assert not leftover.exists()
    service.remove()
    assert list((manifest.parent / "services").iterdir()) == []


def test_command_waits_for_all_processes_and_says_what_each_does(tmp_path: Path) -> None:
    manifest = tmp_path / "release.json"
    services = [StatusFile(manifest) for _ in range(5)]
    states = [state(2, 2), state(2, 2), state(1, 2, "it is broken"), state(1, 1), state(1, 2)]
    for service, each in zip(services, states, strict=True):
        service.write(each)
    statuses = wait_for_services(manifest, 2, seconds=0.1)
    assert sum(has_rejected(status, 2) for status in statuses) == 1
    assert set(describe_statuses(statuses, 2)) == {
        "127.0.0.1:8000 (2 processes): in service: demo@2",
        "127.0.0.1:8000: rejected: it is broken (in service: demo@1)",
        "127.0.0.1:8000: no answer within 10 s, perhaps it still loads the model; in service: demo@1",
        "127.0.0.1:8000: failed, see its log; in service: demo@1",
    }
    for service in services:
        service.write(state(3, 3))
    assert describe_statuses(wait_for_services(manifest, 2), 2) == ["127.0.0.1:8000 (5 processes): in service: demo@3"]
    for service in services:
        service.remove()
