"""Keys are shown once, kept as hashes, and never lost by changes at the same time."""

import datetime as dt
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from skline import keys
from skline.errors import SklineError


def skline(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "skline.cli", "key", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_a_key_is_printed_once_listed_by_its_id_and_revoked(tmp_path: Path) -> None:
    made = skline("new", "--name", "billing", "--scopes", "predict,label", "--expires", "90d", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    token = made.stdout.splitlines()[-1]
    file = tmp_path / "keys.json"
    assert len(token) == keys.KEY_LENGTH
    assert file.stat().st_mode & 0o777 == 0o600
    stored = file.read_text()
    assert token not in stored
    assert token.rpartition("_")[2] not in stored
    [key] = json.loads(stored)["keys"]
    assert key["sha256"] == hashlib.sha256(token.encode()).hexdigest()
    assert (key["name"], key["scopes"]) == ("billing", ["predict", "label"])

    listed = skline("list", cwd=tmp_path).stdout
    assert f"{key['id']}  valid" in listed
    assert token not in listed
    assert skline("revoke", key["id"], cwd=tmp_path).returncode == 0
    assert f"{key['id']}  revoked" in skline("list", cwd=tmp_path).stdout
    first = keys.read(file)
    assert skline("revoke", key["id"], cwd=tmp_path).returncode == 0
    assert keys.read(file) == first


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("new", "--name", "a", "--scopes", "everything"), "scopes are predict, label, admin"),
        (("new", "--name", "a", "--scopes", ","), "scopes are predict, label, admin"),
        (("new", "--name", ""), "name of the new key"),
        (("new", "--name", "a", "--expires", "soon"), "write 2027-01-31"),
        (("new", "--name", "a", "--expires", "2020-01-01"), "choose a later time"),
        (("list",), "keys.json cannot be read"),
        (("revoke", "0123456789ab"), "keys.json cannot be read"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_file(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    done = skline(*words, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert told in done.stderr
    assert not (tmp_path / "keys.json").exists()


def test_an_id_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    key, _ = keys.add(tmp_path / "k", "one", ["predict"])
    with pytest.raises(SklineError, match=rf"{key.id} \(one\)"):
        keys.revoke(tmp_path / "k", "000000000000")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"keys": [{"id": "hunter2"}]}', '{"format": 2}', "\x00"])
def test_a_broken_file_is_refused_without_being_quoted(tmp_path: Path, content: str) -> None:
    file = tmp_path / "k"
    file.write_text(content)
    for use in (lambda: keys.read(file), lambda: keys.add(file, "a", ["predict"]), lambda: keys.revoke(file, "a")):
        with pytest.raises(SklineError, match="is no key file") as error:
            use()
        assert "hunter2" not in str(error.value)
    assert file.read_text() == content


def test_two_keys_of_one_id_are_no_key_file(tmp_path: Path) -> None:
    keys.add(tmp_path / "k", "one", ["predict"])
    facts = json.loads((tmp_path / "k").read_text())
    with pytest.raises(SklineError, match="same id"):
        keys.parse(json.dumps({"keys": facts["keys"] * 2}), "it")


def test_changes_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    script = (
        "from skline import keys; from pathlib import Path; import sys\n"
        "for n in range(15): keys.add(Path('k'), sys.argv[1] + str(n), ['predict'])"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, name], cwd=tmp_path) for name in "ab"]
    assert [process.wait(60) for process in running] == [0, 0]
    names = {key.name for key in keys.read(tmp_path / "k").keys}
    assert names == {f"{who}{number}" for who in "ab" for number in range(15)}


def test_a_time_without_a_zone_is_utc() -> None:
    assert keys.read_expiry("2090-01-31") == dt.datetime(2090, 1, 31, tzinfo=dt.UTC)
    assert keys.read_expiry("2090-01-31T12:00:00+02:00") == dt.datetime(2090, 1, 31, 10, tzinfo=dt.UTC)
