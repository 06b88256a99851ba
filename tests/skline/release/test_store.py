"""Releases are published atomically, recorded in the journal, and rolled back from the disk alone."""

import argparse
import datetime as dt
import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from skline.commands.rollback import rollback as run_rollback
from skline.contract.derive import derive
from skline.errors import SklineError
from skline.release.experiment import BUCKETS, Experiment, RampStep
from skline.release.journal import Entry, read_journal, share_changes
from skline.release.manifest import Arm, Release, read_manifest
from skline.release.store import ReleaseStore, champion_only, same_arms
from tests.fixtures import demo
from tests.fixtures.disk import fill_disk, small_disk
from tests.skline.serving.test_app import Inputs, Number

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def arm(digest: str, version: str = "demo/1", **more: Any) -> Arm:
    return Arm(name="champion", version=version, artifact=f"artifacts/{digest}", sha256=digest, **more)


@pytest.fixture
def releases(tmp_path: Path, packaged: demo.Packaged) -> ReleaseStore:
    store = ReleaseStore(tmp_path / "releases")
    shutil.copytree(packaged.folder, store.artifacts / packaged.digest)
    return store


def promote(releases: ReleaseStore, digest: str, version: str) -> Entry:
    return releases.publish("promote", version, lambda _: {"arms": champion_only(arm(digest, version))})


def canary(releases: ReleaseStore, digest: str, version: str) -> Entry:
    experiment = Experiment(name=f"canary-{version[-1]}", kind="canary", salt="s", started_at=NOW)

    def build(release: Release | None) -> dict[str, Any]:
        assert release is not None
        challenger = arm(digest, version, weight=1000).model_copy(update={"name": "challenger"})
        return {"arms": (release.champion.model_copy(update={"weight": 9000}), challenger), "experiment": experiment}

    return releases.publish("canary", version, build)


def test_the_journal_has_every_change_in_order(releases: ReleaseStore, packaged: demo.Packaged) -> None:
    promote(releases, packaged.digest, "demo/1")
    canary(releases, "b" * 64, "demo/2")
    releases.abort("too slow")
    promote(releases, "b" * 64, "demo/2")
    restored = releases.rollback(None, "a complaint")
    journal = read_journal(releases.journal)
    assert [entry.action for entry in journal.entries] == ["promote", "canary", "abort", "promote", "rollback"]
    assert [entry.release.number for entry in journal.entries] == [1, 2, 3, 4, 5]
    assert [entry.follows for entry in journal.entries] == [None, 1, 2, 3, 4]
    assert (restored.restores, restored.why) == (3, "a complaint")
    assert all("@" in entry.who for entry in journal.entries)
    assert read_manifest(releases.manifest) == restored.release
    assert restored.release.champion.sha256 == packaged.digest


def test_a_rollback_ends_an_experiment_first_and_a_second_rollback_goes_further_back(
    releases: ReleaseStore, packaged: demo.Packaged
) -> None:
    promote(releases, packaged.digest, "demo/1")
    promote(releases, "b" * 64, "demo/2")
    canary(releases, "c" * 64, "demo/3")
    first = releases.rollback(None, "")
    assert (first.release.champion.version, first.release.experiment) == ("demo/2", None)
    second = releases.rollback(None, "")
    assert second.release.champion.version == "demo/1"
    with pytest.raises(SklineError, match="to serve demo/2 again, run `uv run skline rollback --to 4`"):
        releases.rollback(None, "")
    with pytest.raises(SklineError, match="has no release 77; its releases are 1, 2, 3, 4, 5"):
        releases.rollback(77, "")
    with pytest.raises(SklineError, match="serves demo/1 already, as release 1 did"):
        releases.rollback(1, "")


def test_without_another_champion_there_is_nothing_to_roll_back_to(
    releases: ReleaseStore, packaged: demo.Packaged
) -> None:
    promote(releases, packaged.digest, "demo/1")
    with pytest.raises(SklineError, match="demo/1 is the only champion so far"):
        releases.rollback(None, "")


def test_a_rollback_to_a_changed_artifact_changes_nothing(releases: ReleaseStore, packaged: demo.Packaged) -> None:
    promote(releases, packaged.digest, "demo/1")
    promote(releases, "b" * 64, "demo/2")
    (releases.artifacts / packaged.digest / "contract.json").write_text("{}")
    before = releases.manifest.read_bytes(), releases.journal.read_bytes()
    with pytest.raises(SklineError, match=r"contract\.json does not have the sha256"):
        releases.rollback(None, "")
    assert (releases.manifest.read_bytes(), releases.journal.read_bytes()) == before


def test_rollback_from_a_damaged_manifest(releases: ReleaseStore, packaged: demo.Packaged) -> None:
    promote(releases, packaged.digest, "demo/1")
    promote(releases, "b" * 64, "demo/2")
    releases.manifest.write_text("{")
    assert releases.rollback(None, "").release.champion.version == "demo/1"
    assert releases.current() == read_manifest(releases.manifest)


KILLED = """
import os, signal, sys
from pathlib import Path
from skline.release import store
from skline.release.store import ReleaseStore, same_arms

append = store.append_entry

def append_and_die(*arguments):
    append(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

store.append_entry = append_and_die
ReleaseStore(Path(sys.argv[1])).publish("flag", "killed", same_arms)
"""


def test_a_release_whose_command_was_killed_before_it_was_published_is_never_in_force(
    releases: ReleaseStore, packaged: demo.Packaged
) -> None:
    promote(releases, packaged.digest, "demo/1")
    for _ in range(2):
        killed = subprocess.run([sys.executable, "-c", KILLED, releases.folder], check=False)
        assert killed.returncode == -signal.SIGKILL
    assert [entry.what for entry in read_journal(releases.journal).entries] == ["demo/1", "killed", "killed"]
    manifest = releases.manifest.read_bytes()
    releases.manifest.write_text("{")
    current = releases.current()
    assert current is not None
    assert current.number == 1
    releases.manifest.write_bytes(manifest)
    promote(releases, "b" * 64, "demo/2")
    assert [entry.release.number for entry in releases.history()] == [4, 1]
    releases.manifest.write_text("{")
    assert releases.rollback(None, "").release.champion.version == "demo/1"


def test_a_release_whose_manifest_does_not_fit_on_the_disk_changes_nothing(
    releases: ReleaseStore, packaged: demo.Packaged, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", "64k"):
        small = ReleaseStore(tmp_path / "disk" / "releases")
        promote(small, packaged.digest, "demo/1")  # its line leaves space for others in the same block
        before = small.journal.read_bytes(), small.manifest.read_bytes()
        disk = fill_disk(small.folder)
        next(disk)
        with pytest.raises(OSError, match="No space left on device"):
            promote(small, "b" * 64, "demo/2")
        assert (small.journal.read_bytes(), small.manifest.read_bytes()) == before
        list(disk)
        assert promote(small, "b" * 64, "demo/2").release.number == 2
        assert sorted(path.name for path in small.folder.iterdir()) == [".lock", "journal.jsonl", "release.json"]


def test_a_release_that_cannot_be_recorded_is_not_published(
    releases: ReleaseStore, packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise SklineError("journal.jsonl cannot be written")

    promote(releases, packaged.digest, "demo/1")
    before = releases.manifest.read_bytes(), sorted(releases.folder.iterdir())
    with monkeypatch.context() as patch, pytest.raises(SklineError, match="cannot be written"):
        patch.setattr("skline.release.store.append_entry", fail)
        promote(releases, "b" * 64, "demo/2")
    assert (releases.manifest.read_bytes(), sorted(releases.folder.iterdir())) == before


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_truncated_line_is_reported_and_later_lines_are_complete(
    cut: int, releases: ReleaseStore, packaged: demo.Packaged
) -> None:
    promote(releases, packaged.digest, "demo/1")
    promote(releases, "b" * 64, "demo/2")
    releases.journal.write_bytes(releases.journal.read_bytes()[:-cut])
    journal = read_journal(releases.journal)
    assert len(journal.entries) + len(journal.damaged_lines) == 2
    assert len(journal.damaged_lines) == (cut > 1)  # the last byte is the line break
    promote(releases, "c" * 64, "demo/3")
    journal = read_journal(releases.journal)
    assert journal.entries[-1].release.champion.version == "demo/3"
    assert journal.entries[-1].release.number == 3
    assert releases.rollback(1, "").release.champion.version == "demo/1"


def test_promotions_and_rollbacks_keep_flags(releases: ReleaseStore, packaged: demo.Packaged) -> None:
    with pytest.raises(SklineError, match="there is none yet"):
        releases.set_flag("explain", on=False, why="")
    promote(releases, packaged.digest, "demo/1")
    releases.set_flag("explain", on=False, why="too slow today")
    promote(releases, "b" * 64, "demo/2")
    assert releases.rollback(None, "").release.flags.explain is False


def test_changes_of_a_share_are_those_of_releases_and_of_the_steps_of_a_ramp(
    releases: ReleaseStore, packaged: demo.Packaged
) -> None:
    promote(releases, packaged.digest, "demo/1")
    first = canary(releases, "b" * 64, "demo/2")
    releases.set_flag("explain", on=False, why="")
    experiment = first.release.experiment
    assert experiment is not None
    steps = (RampStep(after_seconds=0, weight=1000), RampStep(after_seconds=60, weight=2000))
    ramp = releases.publish(
        "ramp",
        "",
        lambda release: same_arms(release) | {"experiment": experiment.model_copy(update={"steps": steps})},  # type: ignore[arg-type]
    )
    canary(releases, "c" * 64, "demo/3")
    changes = share_changes(read_journal(releases.journal), experiment)
    started = experiment.started_at
    published = [first.release.published_at, ramp.release.published_at]
    assert changes == sorted([started, started + dt.timedelta(seconds=60), *published])


def publish_repeatedly(folder: Path, start: Any) -> None:
    releases = ReleaseStore(folder)
    start.wait(20)
    for _ in range(5):
        releases.publish("flag", "x", lambda release: {} if release is None else same_arms(release))


@pytest.mark.slow
def test_concurrent_commands_are_serialised(releases: ReleaseStore, packaged: demo.Packaged) -> None:
    promote(releases, packaged.digest, "demo/1")
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    processes = [context.Process(target=publish_repeatedly, args=(releases.folder, start)) for _ in range(3)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    journal = read_journal(releases.journal)
    assert [entry.release.number for entry in journal.entries] == list(range(1, 17))
    assert [entry.follows for entry in journal.entries[1:]] == list(range(1, 16))


def test_an_invalid_manifest_is_rejected_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "release.json"
    valid = Release(number=1, published_at=NOW, arms=champion_only(arm("a" * 64)))
    for change, reason in [
        ({"arms": []}, "at least 1 item"),
        ({"arms": [arm("a" * 64, weight=1).model_dump()]}, f"must sum to {BUCKETS}"),
        ({"arms": [{**arm("a" * 64).model_dump(), "artifact": "s3://x"}]}, "the service does not fetch artifacts"),
        ({"number": 0}, "greater than or equal to 1"),
        ({"published_at": "2026-01-01T00:00:00"}, "published_at: Input should have timezone info"),
        ({"extra": 1}, "extra"),
    ]:
        path.write_text(json.dumps(valid.model_dump(mode="json") | change))
        with pytest.raises(SklineError, match=r"release\.json is not a valid release manifest") as rejected:
            read_manifest(path)
        assert reason in str(rejected.value)


def test_a_rollback_to_another_contract_says_that_running_services_reject_it(
    releases: ReleaseStore,
    packaged: demo.Packaged,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    frame = pd.DataFrame({"a": np.arange(9.0), "class, %": np.arange(9.0)})
    fitted = LinearRegression().fit(frame, frame["a"])
    other = demo.package(tmp_path / "other", fitted, derive(Inputs, Number, {}), [{"a": 1.0, "class, %": 2.0}])
    shutil.copytree(other.folder, releases.artifacts / other.digest)
    promote(releases, other.digest, "demo/1")
    promote(releases, packaged.digest, "demo/2")
    monkeypatch.chdir(tmp_path)
    run_rollback(argparse.Namespace(to=None, reason="a complaint"))
    output = capsys.readouterr().out
    assert "release 3 is published: rollback demo/1 as in release 1, instead of demo/2" in output
    assert "note: its contract differs from that of the champion before: a running service" in output


def test_a_rollback_from_a_damaged_champion_succeeds(
    releases: ReleaseStore,
    packaged: demo.Packaged,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    promote(releases, packaged.digest, "demo/1")
    promote(releases, "b" * 64, "demo/2")  # its artifact does not exist
    monkeypatch.chdir(tmp_path)
    run_rollback(argparse.Namespace(to=None, reason="a complaint"))
    assert "note: whether running services accept the contract could not be checked" in capsys.readouterr().out
    assert read_manifest(releases.manifest).champion.sha256 == packaged.digest
