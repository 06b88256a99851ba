"""Releases are changed in one step, told by the journal, and taken back without anything but the disk."""

import datetime as dt
import json
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import pytest

from skline.errors import SklineError
from skline.release import journal, manifest
from skline.release.changes import Releases, alone, kept
from skline.release.experiment import BUCKETS, Experiment
from skline.release.manifest import Arm, Release
from tests import demo

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def arm(digest: str, version: str = "demo/1", **more: Any) -> Arm:
    return Arm(name="champion", version=version, artifact=f"artifacts/{digest}", sha256=digest, **more)


@pytest.fixture
def releases(tmp_path: Path, packaged: demo.Packaged) -> Releases:
    found = Releases(tmp_path / "releases")
    shutil.copytree(packaged.folder, found.artifacts / packaged.digest)
    return found


def promote(releases: Releases, digest: str, version: str) -> journal.Entry:
    return releases.change("promote", version, lambda _: {"arms": alone(arm(digest, version))})


def canary(releases: Releases, digest: str, version: str) -> journal.Entry:
    experiment = Experiment(name=f"canary-{version[-1]}", kind="canary", salt="s", started_at=NOW)

    def change(release: Release | None) -> dict[str, Any]:
        assert release is not None
        challenger = arm(digest, version, weight=1000).model_copy(update={"name": "challenger"})
        return {"arms": (release.champion.model_copy(update={"weight": 9000}), challenger), "experiment": experiment}

    return releases.change("canary", version, change)


def test_the_journal_tells_of_every_change_before_it_is_in_force(releases: Releases, packaged: demo.Packaged) -> None:
    promote(releases, packaged.digest, "demo/1")
    canary(releases, "b" * 64, "demo/2")
    releases.abort("too slow")
    promote(releases, "b" * 64, "demo/2")
    back = releases.rollback(None, "a complaint")
    told = journal.read(releases.journal)
    assert [entry.action for entry in told.entries] == ["promote", "canary", "abort", "promote", "rollback"]
    assert [entry.release.number for entry in told.entries] == [1, 2, 3, 4, 5]
    assert [entry.follows for entry in told.entries] == [None, 1, 2, 3, 4]
    assert (back.restores, back.why) == (3, "a complaint")
    assert all("@" in entry.who for entry in told.entries)
    assert manifest.read(releases.manifest) == back.release
    assert back.release.champion.sha256 == packaged.digest


def test_a_rollback_ends_an_experiment_first_and_a_second_one_does_not_undo_the_first(
    releases: Releases, packaged: demo.Packaged
) -> None:
    promote(releases, packaged.digest, "demo/1")
    promote(releases, "b" * 64, "demo/2")
    canary(releases, "c" * 64, "demo/3")
    first = releases.rollback(None, "")
    assert (first.release.champion.version, first.release.experiment) == ("demo/2", None)
    second = releases.rollback(None, "")
    assert second.release.champion.version == "demo/1"
    with pytest.raises(SklineError, match="no release before 5 had another champion"):
        releases.rollback(None, "")
    with pytest.raises(SklineError, match="tells of no release 77; it has 1, 2, 3, 4, 5"):
        releases.rollback(77, "")
    with pytest.raises(SklineError, match="serves demo/1 already, as release 1 did"):
        releases.rollback(1, "")


def test_a_rollback_to_an_artifact_that_is_gone_or_changed_changes_nothing(
    releases: Releases, packaged: demo.Packaged
) -> None:
    promote(releases, packaged.digest, "demo/1")
    promote(releases, "b" * 64, "demo/2")
    (releases.artifacts / packaged.digest / "contract.json").write_text("{}")
    before = releases.manifest.read_bytes(), releases.journal.read_bytes()
    with pytest.raises(SklineError, match=r"contract\.json does not have the sha256"):
        releases.rollback(None, "")
    assert (releases.manifest.read_bytes(), releases.journal.read_bytes()) == before


def test_a_damaged_manifest_can_be_rolled_back_from(releases: Releases, packaged: demo.Packaged) -> None:
    promote(releases, packaged.digest, "demo/1")
    promote(releases, "b" * 64, "demo/2")
    releases.manifest.write_text("{")
    assert releases.rollback(None, "").release.champion.version == "demo/1"
    assert releases.current() == manifest.read(releases.manifest)


def test_what_was_written_down_but_never_published_is_not_gone_back_to(
    releases: Releases, packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(releases, packaged.digest, "demo/1")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(manifest, "publish", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        promote(releases, "f" * 64, "demo/9")
    promote(releases, "b" * 64, "demo/2")
    assert [entry.release.number for entry in releases.history()] == [3, 1]
    assert releases.rollback(None, "").release.champion.version == "demo/1"


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_line_that_was_cut_off_is_named_and_left_out_and_later_ones_are_whole(
    cut: int, releases: Releases, packaged: demo.Packaged
) -> None:
    promote(releases, packaged.digest, "demo/1")
    promote(releases, "b" * 64, "demo/2")
    releases.journal.write_bytes(releases.journal.read_bytes()[:-cut])
    told = journal.read(releases.journal)
    assert len(told.entries) + len(told.damaged) == 2
    assert len(told.damaged) == (cut > 1)  # the last byte is the line's end
    promote(releases, "c" * 64, "demo/3")
    told = journal.read(releases.journal)
    assert told.entries[-1].release.champion.version == "demo/3"
    assert told.entries[-1].release.number == 3
    assert releases.rollback(1, "").release.champion.version == "demo/1"


def test_flags_are_kept_by_promotions_and_rollbacks(releases: Releases, packaged: demo.Packaged) -> None:
    with pytest.raises(SklineError, match="there is none yet"):
        releases.flag("explain", on=False, why="")
    promote(releases, packaged.digest, "demo/1")
    releases.flag("explain", on=False, why="too slow today")
    promote(releases, "b" * 64, "demo/2")
    assert releases.rollback(None, "").release.flags.explain is False


def race(folder: Path, start: Any) -> None:
    releases = Releases(folder)
    start.wait(20)
    for _ in range(5):
        releases.change("flag", "x", lambda release: {} if release is None else kept(release))


@pytest.mark.slow
def test_commands_at_the_same_time_take_turns(releases: Releases, packaged: demo.Packaged) -> None:
    promote(releases, packaged.digest, "demo/1")
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    processes = [context.Process(target=race, args=(releases.folder, start)) for _ in range(3)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    told = journal.read(releases.journal)
    assert [entry.release.number for entry in told.entries] == list(range(1, 17))
    assert [entry.follows for entry in told.entries[1:]] == list(range(1, 16))


def test_a_manifest_that_makes_no_sense_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "release.json"
    good = Release(number=1, published_at=NOW, arms=alone(arm("a" * 64)))
    for change, words in [
        ({"arms": []}, "at least 1 item"),
        ({"arms": [arm("a" * 64, weight=1).model_dump()]}, f"must sum to {BUCKETS}"),
        ({"arms": [{**arm("a" * 64).model_dump(), "artifact": "s3://x"}]}, "the service fetches nothing"),
        ({"number": 0}, "greater than or equal to 1"),
        ({"extra": 1}, "extra"),
    ]:
        path.write_text(json.dumps(good.model_dump(mode="json") | change))
        with pytest.raises(SklineError, match=r"release\.json is no release manifest") as refused:
            manifest.read(path)
        assert words in str(refused.value)
