"""The record of registered versions: what it lists, that it is only appended to, and that git merges both sides."""

import datetime as dt
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.errors import SklineError
from skline.files import read_json_lines
from skline.release.registered import (
    RecordedVerdict,
    RegisteredVersion,
    find_registered,
    parse_digest,
    record_version,
)
from tests.fixtures.demo import ROOT

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
PASSED, FAILED = RecordedVerdict(passed=True), RecordedVerdict(passed=False, failed=("roc_auc",))
LINES = st.builds(
    RegisteredVersion,
    time=st.datetimes(timezones=st.just(dt.UTC)),
    model=st.sampled_from(["a", "b"]),
    version=st.sampled_from(["1", "2"]),
    artifact_sha256=st.sampled_from(["a" * 64, "b" * 64]),
    contract_sha256=st.just("c" * 64),
    git_commit=st.none(),
    git_dirty=st.sampled_from([None, False, True]),
    verdict=st.sampled_from([None, PASSED, FAILED]),
    verdict_sha256=st.none(),
)


def line(version: str = "1", digest: str = "a" * 64, verdict: RecordedVerdict | None = PASSED) -> RegisteredVersion:
    return RegisteredVersion(
        time=NOW,
        model="demo",
        version=version,
        artifact_sha256=digest,
        contract_sha256="c" * 64,
        git_commit="0" * 40,
        verdict=verdict,
        verdict_sha256="d" * 64,
    )


def test_line_without_the_state_of_the_working_tree_is_read() -> None:
    written = json.loads(line().model_dump_json())
    del written["git_dirty"]
    assert RegisteredVersion.model_validate(written) == line()
    assert line().made_from == "from commit 000000000000"


@settings(max_examples=25)  # every line is flushed to disk
@given(lines=st.lists(LINES, max_size=8))
def test_newest_line_about_an_artifact_counts_and_no_line_is_repeated(
    lines: list[RegisteredVersion], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("record") / "registered.jsonl"
    newest: dict[tuple[str, str], RegisteredVersion] = {}
    for each in lines:
        before = path.read_bytes() if path.exists() else b""
        key = each.model, each.artifact_sha256
        assert record_version(path, each) == (key not in newest or newest[key].verdict != each.verdict)
        newest[key] = each
        elsewhere = {
            "time": NOW,
            "version": "7",
            "git_commit": "1" * 40,
            "git_dirty": True,
        }  # registered again, in another registry
        assert not record_version(path, each.model_copy(update=elsewhere))
        assert path.read_bytes().startswith(before)
    for (model, digest), expected in newest.items():
        assert find_registered(path, model, "7", digest).verdict == expected.verdict
    for model, digest in {("a", "a" * 64), ("b", "b" * 64), ("c", "a" * 64)} - newest.keys():
        with pytest.raises(SklineError, match="It was not fetched"):
            find_registered(path, model, "1", digest)


def test_line_that_a_crash_has_cut_off_is_reported_and_written_again(tmp_path: Path) -> None:
    path = tmp_path / "registered.jsonl"
    record_version(path, line())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SklineError, match=r"does not list among its 0 lines \(unreadable lines: 1\)"):
        find_registered(path, "demo", "1", "a" * 64)
    assert record_version(path, line())
    assert find_registered(path, "demo", "1", "a" * 64) == line()


@pytest.mark.parametrize("text", ["", "sha256:", "a" * 63, "A" * 64, "md5:" + "a" * 64])
def test_digest_of_a_person_is_64_hexadecimal_digits(text: str) -> None:
    assert parse_digest("sha256:" + "a" * 64) == parse_digest("a" * 64) == "a" * 64
    with pytest.raises(SklineError, match="is not a digest"):
        parse_digest(text)


def test_git_tracks_the_record_and_a_merge_keeps_the_lines_of_both_sides(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.invalid", "-c", "init.defaultBranch=main")
        done = subprocess.run(("git", *identity, *arguments), cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    record = tmp_path / "releases/registered.jsonl"
    for name in (".gitattributes", ".gitignore", "releases/.gitignore"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "releases/journal.jsonl").touch()
    git("init", "-q")
    record_version(record, line())
    git("add", "-A")
    git("commit", "-qm", "one")
    assert git("ls-files", "releases").split() == ["releases/.gitignore", "releases/registered.jsonl"]
    git("switch", "-qc", "other")
    record_version(record, line("2", "b" * 64))
    git("commit", "-qam", "two")
    git("switch", "-q", "main")
    record_version(record, line("3", "e" * 64))
    git("commit", "-qam", "three")
    git("merge", "-q", "-m", "both", "other")
    assert {each.version for each in read_json_lines(record, RegisteredVersion).values} == {"1", "2", "3"}
    assert read_json_lines(record, RegisteredVersion).damaged_lines == ()


@pytest.mark.parametrize("change", [{"git_commit": "--output=victim"}, {"time": "2026-01-01T00:00:00"}])
def test_line_with_an_option_for_git_or_without_a_time_zone_is_damaged(tmp_path: Path, change: dict[str, str]) -> None:
    path = tmp_path / "registered.jsonl"
    values = json.loads(line().model_dump_json())
    path.write_text(json.dumps(values) + "\n" + json.dumps(values | change) + "\n")
    assert read_json_lines(path, RegisteredVersion).damaged_lines == (2,)
